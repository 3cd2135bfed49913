"""The contract of `ports.Records`, once, for every store: what the commands ask."""

from dataclasses import replace
from datetime import timedelta

import pytest
from store_values import (
    EVERYTHING,
    NOON,
    Backend,
    a_step,
    a_watch,
    added,
    an_event,
    arrival,
    cancellation,
    head_of,
    refusal,
    settled,
    told,
)

from watcher.core.delivery import Decision
from watcher.core.event import provider_changed
from watcher.core.model import Condition, Ending, EventType, Reason, State, Step, Trouble
from watcher.core.rows import DeliveryRow, Overview, RejectedRow
from watcher.ports import Records
from watcher.store import Store

TROUBLE = Trouble(Reason.DENIED, since=NOON, http_status=401, polls=3, told=True)


@pytest.fixture
async def records(backend: Backend, store: Store) -> Records:
    """Read what the owner has written."""
    return await backend.records()


async def _four(store: Store) -> None:
    """Store a fresh watch, one in progress and in trouble, a cancelled one and another provider's success."""
    _, going, cancelled, done = await added(
        store, a_watch("fresh"), a_watch("going"), a_watch("cancelled"), a_watch("done", provider="ukg")
    )
    step = a_step(going)
    steps = [
        replace(step, watch=replace(step.watch, trouble=TROUBLE)),
        a_step(cancelled, ending=Ending.CANCELLED),
        a_step(done, ending=Ending.SUCCEEDED),
    ]
    assert await store.commit(steps) == [None, None, None]


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (None, ["fresh", "going", "cancelled", "done"]),
        ("open", ["fresh", "going"]),
        ("trouble", ["going"]),
        (State.PENDING, ["fresh"]),
        (State.IN_PROGRESS, ["going"]),
        (State.SUCCEEDED, ["done"]),
        (Ending.CANCELLED, ["cancelled"]),
        ("gone", []),
    ],
)
async def test_watches_are_found_by_state(store: Store, records: Records, state: str | None, found: list[str]) -> None:
    await _four(store)
    assert [row.watch.id for row in await records.watches(state=state)] == found


async def test_watches_are_found_by_provider_and_labels_page_by_page(store: Store, records: Records) -> None:
    await _four(store)
    odd = {'a.b "c"': "x", "order": "odd"}
    await added(store, replace(a_watch("odd"), labels=odd))
    assert [row.watch.id for row in await records.watches(provider="ukg")] == ["done"]
    assert [row.watch.id for row in await records.watches(provider="d7", labels={"order": "going"})] == ["going"]
    assert [row.watch.id for row in await records.watches(labels=odd)] == ["odd"]
    assert await records.watches(labels={**odd, "another": "x"}) == []
    first = await records.watches(limit=3)
    assert [row.watch.id for row in await records.watches(after=first[-1].row, limit=1)] == ["done"]


async def test_a_watch_is_shown_whole(store: Store, records: Records) -> None:
    (watch,) = await added(store, replace(a_watch(), labels=EVERYTHING.labels, webhooks=None))
    whole = replace(EVERYTHING, epoch=watch.epoch)
    await store.commit([Step(whole, before=0, events=(an_event(watch, sequence=1),), writes=True)])
    assert await records.find("order-42") == EVERYTHING
    assert [row.watch for row in await records.watches()] == [EVERYTHING]
    assert await records.find("nothing") is None


async def test_events_come_in_the_order_of_commits(store: Store, records: Records) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    a = await told(store, a, events=2)
    await told(store, b, events=1)
    await told(store, a, events=1)
    rows = await records.events()
    assert [(row.event.watch, row.event.sequence) for row in rows] == [("a", 1), ("a", 2), ("b", 1), ("a", 3)]
    assert rows[2].event == replace(an_event(b, sequence=1), to=())
    assert await records.events(after=rows[0].cursor, limit=2) == rows[1:3]
    assert await records.events(after=rows[-1].cursor) == []


async def test_events_are_found_by_watch_and_time(store: Store, records: Records) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    await told(store, a, events=3)
    await told(store, b, events=2)
    rows = await records.events()
    since = NOON + timedelta(seconds=2)
    assert await records.events(watch="b") == rows[3:]
    assert await records.events(since=since) == [rows[1], rows[2], rows[4]]
    assert await records.events(watch="a", since=since, after=rows[1].cursor) == [rows[2]]
    assert await records.events(watch="nothing") == []


async def test_deliveries_of_a_watch_say_how_far_they_are(store: Store, records: Records) -> None:
    watch, other = await added(store, a_watch(), a_watch("other"))
    await told(store, watch, events=3)
    await told(store, other, events=1)
    again_at = NOON + timedelta(minutes=1)
    await store.settle([settled(await head_of(store), Decision.EXHAUSTED)])
    second = settled(await head_of(store, watch="order-42"), Decision.RETRY, next_at=again_at)
    await store.settle([second])
    rows = await records.deliveries(watch="order-42")
    untried = DeliveryRow(
        id=rows[2].id,
        webhook="ops",
        event_id="evt_uid-order-42_3",
        type=EventType.STATUS,
        watch="order-42",
        sequence=3,
        status="waiting",
        attempts=0,
        due_at=NOON + timedelta(seconds=3),
        last_at=None,
        last_status=None,
        last_error=None,
        duration=None,
        is_behind=True,
    )
    failed = replace(
        untried,
        id=rows[1].id,
        event_id="evt_uid-order-42_2",
        sequence=2,
        attempts=1,
        due_at=again_at,
        last_at=second.attempt.at,
        last_status=500,
        last_error="500 Internal Server Error",
        duration=0.25,
        is_behind=False,
    )
    given_up = replace(
        failed,
        id=rows[0].id,
        event_id="evt_uid-order-42_1",
        sequence=1,
        status="exhausted",
        due_at=None,
        last_at=NOON + timedelta(seconds=1),
    )
    assert rows == [given_up, failed, untried]
    assert await records.deliveries(watch="order-42", limit=1) == rows[:1]
    assert await records.deliveries(watch="nothing") == []


async def test_deliveries_are_found_by_what_is_asked_page_by_page(store: Store, records: Records) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    await told(store, a, events=2, to=("ops", "audit"))
    await told(store, b, events=2, to=("ops",))
    for webhook, watch in (("ops", "a"), ("ops", "b"), ("audit", "a")):
        await store.settle([settled(await head_of(store, webhook, watch=watch), Decision.EXHAUSTED)])
    await store.settle([settled(await head_of(store, watch="b"), Decision.DELIVERED)])
    everything = await records.deliveries()
    a1, a1_audit, a2, a2_audit, b1, b2 = everything
    assert [(row.watch, row.sequence, row.webhook) for row in everything] == [
        ("a", 1, "ops"),
        ("a", 1, "audit"),
        ("a", 2, "ops"),
        ("a", 2, "audit"),
        ("b", 1, "ops"),
        ("b", 2, "ops"),
    ]
    assert await records.deliveries(after=a1.id, limit=2) == [a1_audit, a2]
    assert await records.deliveries(webhook="audit") == [a1_audit, a2_audit]
    assert await records.deliveries(status="exhausted") == [a1, a1_audit, b1]
    assert await records.deliveries(status="exhausted", webhook="ops", after=a1.id) == [b1]
    assert await records.deliveries(status="delivered") == [b2]
    assert await records.deliveries(status="waiting", webhook="ops") == [a2]
    assert await records.deliveries(event=a1.event_id) == [a1, a1_audit]
    assert await records.deliveries(event=a1.event_id, watch="b") == []
    assert await records.deliveries(watch="a", event=a2.event_id, webhook="audit") == [a2_audit]
    assert await records.deliveries(since=NOON + timedelta(seconds=2)) == [a2, a2_audit, b2]
    assert await records.deliveries(since=NOON + timedelta(seconds=2), status="exhausted") == []
    assert await records.deliveries(watch="b", since=NOON + timedelta(seconds=2)) == [b2]


async def test_deliveries_of_what_happened_to_a_provider_belong_to_no_watch(store: Store, records: Records) -> None:
    down = provider_changed(Condition("d7", "condition"), reason=Reason.UNREACHABLE, at=NOON, watches=3)
    await store.report(replace(down, event=replace(down.event, to=("ops",))))
    (row,) = await records.deliveries()
    assert (row.event_id, row.type, row.watch, row.sequence) == (down.event.id, EventType.PROVIDER_DOWN, None, None)
    assert await records.deliveries(event=down.event.id) == [row]


async def test_refused_requests_come_the_newest_first(store: Store, records: Records) -> None:
    await store.add([refusal(f"reason {line}", line=line) for line in (1, 2, 3)])
    first, second = await records.rejected(limit=2)
    assert first == RejectedRow(first.at, "inbox", "watches.jsonl:3", "reason 3", b"rubbish")
    assert second.where == "watches.jsonl:2"


async def test_the_overview_counts(store: Store, records: Records) -> None:
    await _four(store)
    await store.add([cancellation("fresh"), refusal("rubbish", line=9), arrival(a_watch("fresh"))])
    await store.settle([settled(await head_of(store), Decision.EXHAUSTED)])
    overview = await records.overview()
    assert overview == Overview(
        watches={("d7", "pending"): 1, ("d7", "in_progress"): 1, ("d7", "cancelled"): 1, ("ukg", "succeeded"): 1},
        troubled={"d7": 1},
        waiting={"ops": 2},
        oldest_waiting={"ops": NOON + timedelta(seconds=1)},
        exhausted={"ops": 1},
        rejected=1,
        intents=1,
        down={},
        owner=overview.owner,
        cursor=3,
    )
    assert overview.owner is not None


async def test_nobody_owns_a_store_that_never_had_an_owner(backend: Backend) -> None:
    await backend.store()
    records = await backend.records()
    assert await records.overview() == Overview({}, {}, {}, {}, {}, rejected=0, intents=0, down={}, owner=None)


async def test_nobody_owns_a_store_that_was_let_go(store: Store, records: Records) -> None:
    await store.release()
    assert (await records.overview()).owner is None


async def test_records_close_again_in_peace(records: Records) -> None:
    await records.close()
    await records.close()
