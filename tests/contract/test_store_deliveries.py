"""The contract of `ports.Store`, once, for every store: the outbox."""

from dataclasses import replace
from datetime import timedelta

import pytest
from store_values import (
    LATER,
    NOON,
    Backend,
    a_watch,
    added,
    an_event,
    head_of,
    heads_of,
    settled,
    told,
)

from watcher.core.delivery import Decision, Delivery
from watcher.ports import Store


async def test_a_head_is_all_that_a_post_needs(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    (head,) = await store.heads("ops", now=LATER, limit=10)
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
    at = NOON + timedelta(seconds=1)
    assert await store.heads("ops", now=at - timedelta(microseconds=1), limit=10) == []
    assert [head.event.watch for head in await store.heads("ops", now=at, limit=10)] == ["a"]
    assert [head.event.watch for head in await store.heads("ops", now=LATER, limit=1)] == ["a"]
    assert [head.event.watch for head in await store.heads("ops", now=LATER, limit=2)] == ["a", "b"]


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


async def test_a_retry_holds_its_lane_until_it_is_due(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    head = await head_of(store)
    again_at = NOON + timedelta(minutes=5, microseconds=1)
    await store.settle([settled(head, Decision.RETRY, next_at=again_at)])
    assert await store.heads("ops", now=again_at - timedelta(microseconds=1), limit=10) == []
    assert await store.heads("ops", now=again_at, limit=10) == [replace(head, attempts=1, due_at=again_at)]


async def test_settling_twice_is_settling_once(store: Store, backend: Backend) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=3)
    done = settled(await head_of(store), Decision.DELIVERED)
    await store.settle([done, done])
    await store.settle([settled(done.delivery, Decision.RETRY, next_at=LATER)])
    assert await heads_of(store) == [("order-42", 2)]
    rows = await (await backend.records()).deliveries(watch="order-42")
    assert [(row.status, row.attempts, row.last_status) for row in rows] == [
        ("delivered", 1, 204),
        ("waiting", 0, None),
        ("waiting", 0, None),
    ]


async def test_a_lane_that_was_empty_has_a_head_again(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=1)
    await store.settle([settled(await head_of(store), Decision.DELIVERED)])
    await told(store, watch, events=2)
    assert await heads_of(store) == [("order-42", 2)]
