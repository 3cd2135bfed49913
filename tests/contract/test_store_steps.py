"""The contract of `store.Store`, once, for every store: loading watches and writing steps."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import orjson
from store_values import (
    EVERYTHING,
    NOON,
    Backend,
    a_step,
    a_watch,
    added,
    an_event,
    cancellation,
    epoch_of,
    heads_of,
    told,
)

from watcher.core.errors import StaleWatchError, StoreError
from watcher.core.intent import Cancel
from watcher.core.model import Ending, Reason, Snapshot, State, Step, Trouble
from watcher.core.rows import Opened
from watcher.store import Store


async def test_load_pages_through_the_open_watches_in_the_order_of_arrival(store: Store) -> None:
    watches = await added(store, *(a_watch(name) for name in ("c", "b", "a", "d")))
    await store.commit([a_step(watches[1], ending=Ending.FAILED)])
    first = await store.load(after=0, limit=2)
    rest = await store.load(after=first[-1].row, limit=2)
    assert [opened.id for opened in first + rest] == ["c", "a", "d"]
    assert await store.load(after=rest[-1].row, limit=2) == []


async def test_load_brings_what_the_schedule_needs(store: Store) -> None:
    fresh, known = await added(store, a_watch("fresh"), a_watch("known"))
    snapshot = Snapshot("sent", State.PENDING, not_before=NOON + timedelta(days=7))
    trouble = Trouble(Reason.DENIED, since=NOON, http_status=401, told=True)
    step = a_step(known)
    await store.commit([replace(step, watch=replace(step.watch, snapshot=snapshot, trouble=trouble))])
    first, second = await store.load(after=0, limit=10)
    assert first == Opened(
        row=first.row,
        uid=fresh.uid,
        id="fresh",
        provider="d7",
        params=orjson.dumps(fresh.params).decode(),
        accepted_at=NOON,
        changed_at=None,
        deadline_at=fresh.submitted_at + timedelta(days=3),
        state=None,
    )
    assert (second.changed_at, second.deadline_at, second.state) == (
        NOON + timedelta(seconds=1),
        NOON + timedelta(days=10),
        State.PENDING,
    )


async def test_a_step_is_stored_whole(store: Store, backend: Backend) -> None:
    (watch,) = await added(store, replace(a_watch(), labels=EVERYTHING.labels, webhooks=None))
    after = replace(EVERYTHING, epoch=watch.epoch)
    told = an_event(watch, sequence=1, to=("ops", "audit"))
    assert await store.commit([Step(after, before=0, events=(told,), writes=True)]) == [None]
    assert await store.watch(watch.uid) == after
    records = await backend.records()
    assert [row.event for row in await records.events()] == [replace(told, to=())]
    assert [row.webhook for row in await records.deliveries(watch="order-42")] == ["ops", "audit"]


async def test_a_step_without_events_is_stored_and_nothing_seen_stays_nothing_seen(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    troubled = replace(watch, trouble=Trouble(Reason.UNREACHABLE, since=NOON, http_status=None, told=True))
    assert await store.commit([Step(troubled, before=0, writes=True)]) == [None]
    assert await store.watch(watch.uid) == troubled
    assert await store.commit([Step(watch, before=0, writes=True)]) == [None]
    assert await store.watch(watch.uid) == watch


async def test_a_step_from_an_old_sequence_is_stale(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    after = await told(store, watch, events=2)
    (answer,) = await store.commit([a_step(watch, status="lost")])
    assert isinstance(answer, StaleWatchError)
    assert await store.watch(watch.uid) == after


async def test_a_step_from_an_old_epoch_is_stale(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    epoch = epoch_of(await store.lease())
    (answer,) = await store.commit([a_step(watch)])
    assert isinstance(answer, StaleWatchError)
    assert await store.watch(watch.uid) == replace(watch, epoch=epoch)


async def test_a_finished_watch_never_changes(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    last = a_step(watch, ending=Ending.EXPIRED)
    assert await store.commit([last]) == [None]
    (answer,) = await store.commit([a_step(replace(last.watch, ending=None))])
    assert isinstance(answer, StaleWatchError)
    assert await store.watch(watch.uid) == last.watch


async def test_an_unknown_watch_is_stale(store: Store) -> None:
    epoch = epoch_of(await store.lease())
    (answer,) = await store.commit([a_step(replace(a_watch(), epoch=epoch))])
    assert isinstance(answer, StaleWatchError)


async def test_of_two_steps_from_the_same_state_one_is_written(store: Store, backend: Backend) -> None:
    (watch,) = await added(store, a_watch())
    answers = await asyncio.gather(*(store.commit([a_step(watch, status=f"s{number}")]) for number in range(5)))
    assert sorted(type(answer).__name__ for (answer,) in answers) == ["NoneType"] + ["StaleWatchError"] * 4
    assert [row.event.sequence for row in await (await backend.records()).events()] == [1]


async def test_one_bad_step_does_not_fail_the_others_and_leaves_no_trace(store: Store, backend: Backend) -> None:
    good, bad, last = await added(store, a_watch("good"), a_watch("bad"), a_watch("last"))
    broken = a_step(bad, events=2)
    broken = replace(broken, events=(*broken.events, an_event(bad, sequence=2)))
    unwritable = a_step(bad)
    unwritable = replace(unwritable, events=(replace(unwritable.events[0], id="\ud800"),))
    answers = await store.commit([a_step(good), broken, unwritable, a_step(last)])
    assert [type(answer) for answer in answers] == [type(None), StoreError, StoreError, type(None)]
    assert await store.watch(bad.uid) == bad
    assert [row.event.watch for row in await (await backend.records()).events()] == ["good", "last"]
    assert await heads_of(store) == [("good", 1), ("last", 1)]


async def test_an_intent_ends_with_the_step_that_carries_it_out(store: Store) -> None:
    first, second = await added(store, a_watch("first"), a_watch("second"))
    await store.add([cancellation("first"), cancellation("second")])
    intent, other = await store.intents()
    step = replace(a_step(first, ending=Ending.CANCELLED), intent=intent.id)
    assert await store.commit([step]) == [None]
    assert await store.intents() == [other]
    assert other == Cancel(other.id, second.uid)


async def test_an_intent_ends_with_its_watch_too(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await store.add([cancellation("order-42")])
    await store.commit([a_step(watch, ending=Ending.SUCCEEDED)])
    assert await store.intents() == []


async def test_an_intent_outlives_a_step_that_failed(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await store.add([cancellation("order-42")])
    (intent,) = await store.intents()
    await told(store, watch, events=1)
    await store.commit([replace(a_step(watch, ending=Ending.CANCELLED), intent=intent.id)])
    assert await store.intents() == [intent]
