"""The contract of `store.Store`, once, for every store: the outbox, its lanes, and what became of an attempt."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from store_values import LATER, NOON, Backend, a_watch, added, an_event, head_of, heads_of, sent, settled, told, waiting

from watcher.core.delivery import Attempt, Decision, Delivery, Phases
from watcher.core.errors import LeaseLostError
from watcher.core.model import Callback
from watcher.store import Store

SECOND = timedelta(seconds=1)
CALLBACK = "callback:https://caller.example"


# --- heads ------------------------------------------------------------------------------------------------------


async def test_a_head_is_all_that_a_post_needs(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    (head,) = await store.heads("ops", again=False, now=LATER, limit=10)
    event = replace(an_event(watch, sequence=1), to=())
    assert head == Delivery(head.id, "ops", event, attempts=0, due_at=event.at)


async def test_the_first_of_each_lane_may_be_sent_and_nothing_else(store: Store) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    a = await told(store, a, events=3)
    await told(store, b, events=1, to=("ops", "audit"))
    await told(store, a, events=1, to=("audit",))
    assert await heads_of(store, "ops") == [("a", 1), ("b", 1)]
    assert await heads_of(store, "audit") == [("b", 1), ("a", 4)]
    assert await heads_of(store, "nobody") == []


async def test_heads_come_once_they_are_due_the_oldest_first_and_not_too_many(store: Store) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    await told(store, a, events=1)
    await told(store, await told(store, b, events=1, to=()), events=1)
    at = NOON + SECOND

    async def due(now: datetime, *, limit: int = 10) -> list[str | None]:
        heads = await store.heads("ops", again=False, now=now, limit=limit)
        return [head.event.watch for head in heads]

    assert await due(at - timedelta(microseconds=1)) == []
    assert await due(at) == ["a"]
    assert await due(LATER, limit=1) == ["a"]
    assert await due(LATER) == ["a", "b"]


async def test_what_was_sent_before_is_asked_for_apart(store: Store) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    await told(store, a, events=1)
    await told(store, b, events=1)
    await store.settle([settled(await head_of(store, watch="a"), Decision.RETRY)])
    fresh = await store.heads("ops", again=False, now=LATER, limit=10)
    retries = await store.heads("ops", again=True, now=LATER, limit=10)
    assert [head.event.watch for head in fresh] == ["b"]
    assert [head.event.watch for head in retries] == ["a"]


async def test_those_that_are_in_flight_are_left_out_and_make_room_for_others(store: Store) -> None:
    for watch in await added(store, *(a_watch(name) for name in "abcd")):
        await told(store, watch, events=2)
    heads = await waiting(store)
    flying = [head.id for head in heads if head.event.watch in {"a", "c"}]
    rest = await store.heads("ops", again=False, now=LATER, limit=2, but=flying)
    assert [head.event.watch for head in rest] == ["b", "d"]


async def test_a_busy_watch_takes_turns_with_the_others(store: Store) -> None:
    a, b, c = await added(store, a_watch("a"), a_watch("b"), a_watch("c"))
    await told(store, a, events=4)
    for watch in (b, c):
        await told(store, watch, events=1)
    assert await sent(store) == [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("a", 3), ("a", 4)]


# --- what became of it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", [Decision.DELIVERED, Decision.EXHAUSTED])
async def test_what_is_done_makes_room_for_the_next_of_its_lane(store: Store, decision: Decision) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    await told(store, a, events=3)
    await told(store, b, events=1)
    seen = []
    for _ in range(4):
        head = await head_of(store)
        seen.append((head.event.watch, head.event.sequence))
        await store.settle([settled(head, decision)])
    assert sorted(seen) == [("a", 1), ("a", 2), ("a", 3), ("b", 1)]
    assert await heads_of(store) == []


async def test_the_next_of_a_lane_is_due_when_the_attempt_ended(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    done = settled(await head_of(store), Decision.DELIVERED)
    late = replace(done, attempt=replace(done.attempt, at=NOON + 60 * SECOND, duration=0.25))
    await store.settle([late])
    assert (await head_of(store)).due_at == NOON + 60.25 * SECOND


async def test_a_retry_holds_its_lane_until_it_is_due(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    head = await head_of(store)
    again_at = NOON + timedelta(minutes=5, microseconds=1)
    await store.settle([settled(head, Decision.RETRY, next_at=again_at)])
    assert await waiting(store, now=again_at - timedelta(microseconds=1)) == []
    assert await waiting(store, now=again_at) == [replace(head, attempts=1, due_at=again_at)]


async def test_everything_that_decides_about_a_retry_is_kept(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=1)
    head = await head_of(store)
    after = replace(
        head,
        attempts=1,
        burnt=2,
        spared=3,
        thin=True,
        refused_since=NOON + SECOND,
        loosens_at=LATER + SECOND,
        batch="bat_1",
        due_at=NOON + 5 * SECOND,
    )
    await store.settle([replace(settled(head, Decision.RETRY), delivery=after)])
    assert await waiting(store) == [after]


async def test_settling_twice_is_settling_once(store: Store, backend: Backend) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=3)
    done = settled(await head_of(store), Decision.DELIVERED)
    await store.settle([done, done])
    await store.settle([settled(done.delivery, Decision.RETRY, next_at=LATER)])
    await store.settle([settled(done.delivery, Decision.ENDED)])
    assert await heads_of(store) == [("order-42", 2)]
    records = await backend.records()
    rows = await records.deliveries(watch="order-42")
    assert [(row.status, row.attempts, row.last_status) for row in rows] == [
        ("delivered", 1, 204),
        ("waiting", 0, None),
        ("waiting", 0, None),
    ]
    assert await records.attempts(delivery=rows[0].id) == []


async def test_a_lane_that_was_empty_has_a_head_again(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=1)
    await store.settle([settled(await head_of(store), Decision.DELIVERED)])
    await told(store, watch, events=2)
    assert await heads_of(store) == [("order-42", 2)]


async def test_failed_attempts_are_kept_whole_and_of_a_batch_at_one_member(store: Store, backend: Backend) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    first = settled(await head_of(store), Decision.RETRY)
    await store.settle([first])
    second = settled(await head_of(store), Decision.RETRY, is_kept=False)
    third = settled(second.delivery, Decision.EXHAUSTED)
    fourth = settled(third.delivery, Decision.DELIVERED)
    await store.settle([second])
    await store.settle([third])
    await store.settle([fourth])
    attempts = await (await backend.records()).attempts(delivery=first.delivery.id)
    assert attempts == [first.attempt, third.attempt]
    assert attempts[0] == Attempt(
        number=1,
        at=NOON + SECOND,
        duration=0.25,
        status=500,
        address="192.0.2.1",
        headers={"server": "nginx"},
        body=b"sorry",
        error="500 Internal Server Error",
        timing=Phases(dns=0.01, first_byte=0.2),
    )


@pytest.mark.parametrize("batch", [None, "bat_1"])
@pytest.mark.parametrize("ordered", [True, False])
async def test_what_waits_no_more_takes_nothing_with_it(store: Store, *, batch: str | None, ordered: bool) -> None:
    await store.endpoint("ops", ordered=ordered)
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=3)
    await store.settle([settled(await head_of(store), Decision.RETRY, batch=batch)])
    head = next(one for one in await waiting(store) if one.event.sequence == 1)
    assert (await store.members(head, limit=9))[0] == head
    await store.settle([settled(head, Decision.EXHAUSTED)])
    assert await store.members(head, limit=9) == []


async def test_a_webhook_is_undelivered_while_anything_waits_for_it(store: Store) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    assert await store.undelivered() == []
    await told(store, a, events=2, to=("ops", "audit"))
    await told(store, b, events=2, to=("ops",))
    assert sorted(await store.undelivered()) == ["audit", "ops"]
    await sent(store, "ops")
    assert await store.undelivered() == ["audit"]


async def test_only_the_owner_settles_and_lines_up(store: Store, backend: Backend) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=1)
    head = await head_of(store)
    other = await backend.store()
    for verb in (
        other.settle([settled(head, Decision.DELIVERED)]),
        other.endpoint("ops", ordered=False),
        other.loosen(now=LATER),
    ):
        with pytest.raises(LeaseLostError):
            await verb
    assert await waiting(store) == [head]


# --- callbacks --------------------------------------------------------------------------------------------------


async def test_where_a_callback_goes_stands_in_its_watch_and_with_its_deliveries(store: Store) -> None:
    callback = Callback("https://caller.example/done", "sealed")
    (watch,) = await added(store, replace(a_watch(), callback=callback))
    assert watch.callback == callback
    await told(store, watch, events=1, to=("ops", CALLBACK))
    assert (await head_of(store, CALLBACK)).callback == callback
    assert (await head_of(store, "ops")).callback is None
    assert await store.members(await head_of(store, CALLBACK), limit=9) == await waiting(store, CALLBACK)


async def test_a_callback_that_is_gone_gives_up_its_lane_and_nobody_elses(store: Store, backend: Backend) -> None:
    callback = Callback("https://caller.example/done")
    a, b = await added(store, *(replace(a_watch(name), callback=callback) for name in "ab"))
    for watch in (a, b):
        await told(store, watch, events=3, to=("ops", CALLBACK))
    head = await head_of(store, CALLBACK, watch="a")
    await store.settle([settled(head, Decision.ENDED)])
    assert await heads_of(store, CALLBACK) == [("b", 1)]
    assert sorted(await heads_of(store, "ops")) == [("a", 1), ("b", 1)]
    rows = await (await backend.records()).deliveries(watch="a", webhook=CALLBACK)
    assert [(row.status, row.attempts) for row in rows] == [("exhausted", 1), ("exhausted", 0), ("exhausted", 0)]
    ended, going = await store.watch(a.uid), await store.watch(b.uid)
    assert ended is not None and ended.callback is None  # noqa: PT018
    assert going is not None and going.callback == callback  # noqa: PT018


async def test_what_comes_for_a_callback_that_is_gone_goes_nowhere(store: Store) -> None:
    (watch,) = await added(store, replace(a_watch(), callback=Callback("https://caller.example/done")))
    watch = await told(store, watch, events=1, to=(CALLBACK,))
    await store.settle([settled(await head_of(store, CALLBACK), Decision.ENDED)])
    await told(store, watch, events=1, to=("ops", CALLBACK))
    assert await store.undelivered() == ["ops"]
