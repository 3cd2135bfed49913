"""The contract of `store.Store`, once, for every store: what is old is given up and forgotten, a little at a time."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from store_values import (
    LATER,
    NOON,
    Backend,
    a_step,
    a_watch,
    added,
    an_event,
    arrival,
    cancellation,
    head_of,
    heads_of,
    refusal,
    sent,
    settled,
    told,
    waiting,
)

from watcher.core.delivery import Decision
from watcher.core.errors import LeaseLostError
from watcher.core.event import provider_changed
from watcher.core.intent import Replay
from watcher.core.model import Callback, Condition, Ending, Reason, Step, Watch
from watcher.core.rows import Admission, Pruned
from watcher.ports import Records
from watcher.store import Store

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
NEVER = NOON - 1000 * DAY


@pytest.fixture
async def records(backend: Backend, store: Store) -> Records:
    """Read what the owner has written."""
    return await backend.records()


async def pruned(store: Store, *, before: datetime, ids_before: datetime = NEVER, limit: int = 100) -> Pruned:
    """Prune until there is nothing left; return the sum."""
    rows, given_up = 0, Counter[str]()
    while (some := await store.prune(before=before, ids_before=ids_before, limit=limit)).rows:
        rows += some.rows
        given_up.update(some.given_up)
    return Pruned(rows, dict(given_up))


async def finished(store: Store, *ids: str, at: datetime = NOON, to: tuple[str, ...] = ("ops",)) -> list[Watch]:
    """Store watches that finished then, with two events each."""
    watches = await added(store, *(replace(a_watch(name), callback=Callback("https://a.example")) for name in ids))
    steps = [a_step(watch, events=2, to=to, ending=Ending.SUCCEEDED) for watch in watches]
    moved = [
        replace(
            step,
            watch=replace(step.watch, finished_at=at),
            events=tuple(replace(event, at=at) for event in step.events),
        )
        for step in steps
    ]
    assert await store.commit(moved) == [None] * len(moved)
    return [step.watch for step in moved]


# --- what waits too long ------------------------------------------------------------------------------------------


async def test_what_waits_too_long_is_given_up_and_its_lane_moves_on(store: Store, records: Records) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    await told(store, b, events=1, to=("ops", "audit"))
    await told(store, a, events=4)
    assert await pruned(store, before=NOON + 3 * SECOND) == Pruned(4, {"ops": 3, "audit": 1})
    assert await heads_of(store) == [("a", 3)]
    rows = await records.deliveries(watch="a")
    assert [row.status for row in rows] == ["exhausted", "exhausted", "waiting", "waiting"]
    assert await sent(store) == [("a", 3), ("a", 4)]


async def test_nothing_is_given_up_before_its_time(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    assert await pruned(store, before=NOON + SECOND) == Pruned()
    assert await heads_of(store) == [("order-42", 1)]


async def test_what_is_sent_again_waits_since_then(store: Store) -> None:
    old, new = await added(store, a_watch("old"), a_watch("new"))
    await told(store, old, events=2)
    await sent(store)
    late = NOON + 50 * DAY
    event = replace(an_event(new, sequence=1, to=()), at=late)
    assert await store.commit([Step(replace(new, sequence=1), before=0, events=(event,), writes=True)]) == [None]
    await store.want(Replay(0, rate=1.0, webhook="ops", since=NOON))
    (intent,) = await store.intents()
    assert isinstance(intent, Replay)
    assert await store.replay(intent, now=NOON, limit=2) == 2
    assert await pruned(store, before=late) == Pruned()
    assert await heads_of(store) == [("old", 1)]
    assert (await pruned(store, before=late + SECOND)).given_up == {"ops": 2}


async def test_what_is_sent_again_where_nothing_else_happens_is_given_up_as_late_as_anything_else(store: Store) -> None:
    old, new = await added(store, a_watch("old"), a_watch("new"))
    await told(store, old, events=1)
    await sent(store)
    late = NOON + 50 * DAY
    await store.want(Replay(0, rate=1.0, webhook="ops", since=NOON))
    (intent,) = await store.intents()
    assert isinstance(intent, Replay)
    assert await store.replay(intent, now=late, limit=2) == 1
    event = replace(an_event(new, sequence=1), at=late + SECOND)
    assert await store.commit([Step(replace(new, sequence=1), before=0, events=(event,), writes=True)]) == [None]
    await store.settle([settled(await head_of(store, watch="old"), Decision.RETRY, next_at=late + DAY)])
    assert await pruned(store, before=late) == Pruned()
    assert (await pruned(store, before=late + SECOND)).given_up == {"ops": 1}
    assert await heads_of(store) == [("new", 1)]


# --- finished watches -----------------------------------------------------------------------------------------------


async def test_of_a_watch_that_finished_long_ago_only_what_recognises_its_id_is_left(
    store: Store, records: Records
) -> None:
    old, new = await finished(store, "old"), await finished(store, "new", at=NOON + DAY)
    await store.settle([settled(await head_of(store, watch="old"), Decision.RETRY)])
    assert await sent(store)
    assert (await pruned(store, before=NOON + DAY)).given_up == {}
    assert await store.watch(old[0].uid) == replace(
        old[0], labels={}, webhooks=None, callback=None, snapshot=None, trouble=None
    )
    assert await store.watch(new[0].uid) == new[0]
    assert [row.event.watch for row in await records.events()] == ["new", "new"]
    assert await records.deliveries(watch="old") == []
    assert [row.watch.id for row in await records.watches()] == ["old", "new"]
    assert [row.watch.id for row in await records.watches(state="succeeded")] == ["old", "new"]
    assert (await records.overview()).watches == {("d7", "succeeded"): 2}


async def test_an_id_is_known_long_after_its_details_went_and_then_forgotten(store: Store, records: Records) -> None:
    (watch,) = await finished(store, "old")
    await sent(store)
    await pruned(store, before=NOON + DAY, ids_before=NOON)
    same, other = a_watch("old"), a_watch("old", operation="another")
    assert await store.add([arrival(same), arrival(other), cancellation("old")]) == [
        Admission.KNOWN,
        Admission.CONFLICT,
        Admission.KNOWN,
    ]
    await pruned(store, before=NOON + DAY, ids_before=NOON + SECOND)
    assert await store.watch(watch.uid) is None
    assert await records.find("old") is None
    assert await store.add([arrival(replace(other, uid="another"))]) == [Admission.NEW]


async def test_an_open_watch_keeps_everything(store: Store, records: Records) -> None:
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=3)
    await sent(store)
    assert await pruned(store, before=LATER, ids_before=LATER) == Pruned()
    assert await store.watch(watch.uid) == watch
    assert len(await records.events()) == 3
    assert len(await records.deliveries(watch="order-42")) == 3


async def test_an_event_stays_while_one_of_its_deliveries_waits(store: Store, records: Records) -> None:
    await finished(store, "old", to=("ops", "audit"))
    await sent(store, "ops")
    await sent(store, "audit")
    await finished(store, "new", at=NOON + 50 * DAY, to=())
    (row, *_) = await records.events(watch="old")
    await store.want(Replay(0, rate=1.0, events=(row.event.id,), webhook="audit"))
    (intent,) = await store.intents()
    assert isinstance(intent, Replay)
    await store.replay(intent, now=NOON, limit=9)
    await pruned(store, before=NOON + DAY, ids_before=NOON + DAY)
    assert await records.events(watch="old") == [row]
    deliveries = await records.deliveries(watch="old")
    assert {each.webhook: each.status for each in deliveries} == {"audit": "waiting", "ops": "delivered"}
    head = await head_of(store, "audit")
    assert (head.event, (await store.watch(head.event.uid) or a_watch()).labels) == (row.event, {"order": "old"})
    await store.settle([settled(head, Decision.DELIVERED)])
    await pruned(store, before=NOON + 3 * DAY, ids_before=NOON + 3 * DAY)
    assert await records.find("old") is None
    assert [each.event.watch for each in await records.events()] == ["new", "new"]


async def test_a_finished_watch_whose_events_wait_is_looked_at_once_a_day(store: Store, records: Records) -> None:
    await finished(store, "old")
    await sent(store)
    now = NOON + 50 * DAY
    await store.want(Replay(0, rate=1.0, webhook="ops", since=NOON))
    (intent,) = await store.intents()
    assert isinstance(intent, Replay)
    assert await store.replay(intent, now=now, limit=9) == 2
    before = NOON + 40 * DAY
    assert (await pruned(store, before=before)).rows == 1
    assert await pruned(store, before=before + 3600 * SECOND) == Pruned()
    await sent(store)
    assert await pruned(store, before=before + DAY) == Pruned()
    assert (await pruned(store, before=before + DAY + SECOND)).rows == 5
    assert await records.events() == []


async def test_what_waits_for_a_watch_that_finished_is_given_up_and_forgotten(store: Store, records: Records) -> None:
    await finished(store, "old")
    assert (await pruned(store, before=NOON + DAY)).given_up == {"ops": 2}
    assert await records.events() == []
    assert await store.undelivered() == []


# --- the rest -------------------------------------------------------------------------------------------------------


async def test_what_happened_to_providers_is_forgotten_too(store: Store, records: Records) -> None:
    down = provider_changed(Condition("d7", "condition"), reason=Reason.UNREACHABLE, at=NOON, watches=3)
    up = provider_changed(down.condition, reason=None, at=NOON + DAY, watches=2)
    await store.report(replace(down, event=replace(down.event, to=("ops",))))
    await store.report(up)
    assert (await pruned(store, before=NOON + DAY)).given_up == {"ops": 1}
    assert [row.event for row in await records.events()] == [up.event]
    assert await store.conditions() == [up.condition]


async def test_refused_requests_are_forgotten(store: Store, records: Records) -> None:
    await store.add([refusal("rubbish", line=line) for line in range(25)])
    (newest,) = await records.rejected(limit=1)
    assert await pruned(store, before=newest.at, limit=10) == Pruned()
    assert len(await records.rejected()) == 25
    assert (await pruned(store, before=newest.at + SECOND, limit=10)).rows >= 25
    assert await records.rejected() == []


async def test_only_the_owner_prunes(store: Store, backend: Backend) -> None:
    await finished(store, "old")
    with pytest.raises(LeaseLostError):
        await (await backend.store()).prune(before=LATER, ids_before=LATER, limit=9)
    assert len(await waiting(store)) == 1


async def test_a_big_prune_goes_in_small_steps(store: Store, records: Records) -> None:
    for first in range(0, 200, 50):
        await finished(store, *(f"w{number}" for number in range(first, first + 50)))
    (many,) = await added(store, a_watch("many"))
    await store.commit([a_step(many, events=300, ending=Ending.SUCCEEDED)])
    limit, steps = 40, []
    while (some := await store.prune(before=LATER, ids_before=LATER, limit=limit)).rows:
        steps.append(some.rows)
        assert some.rows <= 3 * limit
    assert len(steps) > 700 * 3 / (3 * limit)
    assert await records.events() == []
    assert await records.watches() == []
    assert await store.prune(before=LATER, ids_before=LATER, limit=limit) == Pruned()
