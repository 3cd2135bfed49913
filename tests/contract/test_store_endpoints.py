"""The contract of `store.Store`, once, for every store: what is known of a webhook; with and without lanes; batches."""

from dataclasses import replace
from datetime import timedelta

import pytest
from store_values import LATER, NOON, Backend, a_step, a_watch, added, head_of, heads_of, sent, settled, told, waiting

from watcher.core.delivery import Attempt, Decision, Delivery, Phases
from watcher.core.endpoint import Disabled, Endpoint
from watcher.core.errors import LeaseLostError
from watcher.core.intent import Switch
from watcher.store import Store

SECOND = timedelta(seconds=1)
GOOD = Attempt(7, NOON, 0.25, 200, "192.0.2.1", {"server": "nginx"}, b"thanks", timing=Phases(connect=0.1))
SHAKEN = Endpoint(
    "ops",
    section="a fingerprint",
    disabled=Disabled.SILENT,
    disabled_at=NOON + SECOND,
    paused_until=NOON + 2 * SECOND,
    opened_at=NOON + 3 * SECOND,
    probe_at=NOON + 4 * SECOND,
    probe_wait=timedelta(minutes=2),
    failing_since=NOON + 5 * SECOND,
    failed_at=NOON + 6 * SECOND,
    last_good=GOOD,
)
KEPT = replace(SHAKEN, last_good=replace(GOOD, headers={}, body=b""))


# --- what is known ------------------------------------------------------------------------------------------------


async def test_of_a_new_webhook_nothing_is_known(store: Store, backend: Backend) -> None:
    assert await store.endpoint("ops", ordered=True) == Endpoint("ops")
    assert await (await backend.records()).endpoints() == [Endpoint("ops")]


async def test_what_is_known_of_a_webhook_is_written_with_what_was_settled(store: Store, backend: Backend) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    await store.settle([settled(await head_of(store), Decision.DELIVERED)], endpoint=SHAKEN)
    assert await store.endpoint("ops", ordered=True) == KEPT
    assert await store.endpoint("audit", ordered=False) == Endpoint("audit")
    await store.settle([], endpoint=replace(SHAKEN, name="audit"))
    assert await (await backend.records()).endpoints() == [replace(KEPT, name="audit"), KEPT]


async def test_what_is_known_of_a_webhook_outlives_the_process(backend: Backend) -> None:
    store = await backend.store()
    await store.lease()
    await store.settle([], endpoint=SHAKEN)
    await store.close()
    again = await backend.store()
    await again.lease()
    assert await again.endpoint("ops", ordered=True) == KEPT


async def test_a_switch_is_wanted_until_it_is_done(store: Store, backend: Backend) -> None:
    command = await backend.store()
    await command.want(Switch(0, "ops", on=False))
    await command.want(Switch(0, "ops", on=True))
    first, second = await store.intents()
    assert [first, second] == [Switch(first.id, "ops", on=False), Switch(second.id, "ops", on=True)]
    assert isinstance(first, Switch)
    with pytest.raises(LeaseLostError):
        await command.done(first, SHAKEN, now=NOON)
    await store.done(first, SHAKEN, now=NOON)
    assert await store.intents() == [second]
    assert await store.endpoint("ops", ordered=True) == KEPT


# --- with lanes and without ---------------------------------------------------------------------------------------


async def test_without_order_each_delivery_stands_by_itself(store: Store) -> None:
    await store.endpoint("ops", ordered=False)
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=3, to=("ops", "audit"))
    assert await heads_of(store, "ops") == [("order-42", 1), ("order-42", 2), ("order-42", 3)]
    assert await heads_of(store, "audit") == [("order-42", 1)]
    await store.settle([settled((await waiting(store))[1], Decision.DELIVERED)])
    assert await heads_of(store, "ops") == [("order-42", 1), ("order-42", 3)]
    assert await store.members(await head_of(store), limit=9) == [await head_of(store)]


async def test_order_can_be_turned_off_and_on_for_what_waits_already(store: Store) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    await told(store, a, events=3, to=("ops", "audit"))
    await told(store, b, events=2)
    await store.endpoint("ops", ordered=False)
    assert len(await heads_of(store)) == 5
    await told(store, replace(a, sequence=3), events=1)
    assert len(await heads_of(store)) == 6
    await store.endpoint("ops", ordered=True)
    assert sorted(await heads_of(store)) == [("a", 1), ("b", 1)]
    assert await heads_of(store, "audit") == [("a", 1)]
    assert [one for one in await sent(store) if one[0] == "a"] == [("a", 1), ("a", 2), ("a", 3), ("a", 4)]


async def test_order_that_stays_as_it_is_moves_nothing(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await store.endpoint("ops", ordered=True)
    await told(store, watch, events=2)
    refused = settled(await head_of(store), Decision.RETRY, loosens_at=NOON)
    await store.settle([refused])
    loose = await heads_of(store)
    await store.endpoint("ops", ordered=True)
    assert sorted(loose) == sorted(await heads_of(store)) == [("order-42", 1), ("order-42", 2)]


# --- what was refused for too long --------------------------------------------------------------------------------


async def test_what_is_refused_for_too_long_holds_back_nothing_any_more(store: Store) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    for watch in (a, b):
        await told(store, watch, events=3)
    at = NOON + timedelta(hours=1)
    await store.settle([settled(await head_of(store, watch="a"), Decision.RETRY, next_at=LATER, loosens_at=at)])
    assert await store.loosen(now=at - timedelta(microseconds=1)) == 0
    assert await store.loosen(now=at) == 1
    assert await store.loosen(now=LATER) == 0
    assert sorted(await heads_of(store)) == [("a", 1), ("a", 2), ("b", 1)]
    refused = await head_of(store, watch="a")
    await store.settle([settled(await head_of(store, watch="a"), Decision.DELIVERED)])
    assert refused.due_at == at
    assert sorted(await heads_of(store)) == [("a", 1), ("a", 3), ("b", 1)]


async def test_a_lane_that_loosened_is_a_lane_like_any_other(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=1)
    await store.settle([settled(await head_of(store), Decision.RETRY, loosens_at=NOON)])
    await told(store, watch, events=2)
    assert await heads_of(store) == [("order-42", 2), ("order-42", 1)]
    loose = (await store.heads("ops", again=True, now=LATER, limit=1))[0]
    await store.settle([settled(loose, Decision.DELIVERED)])
    assert await heads_of(store) == [("order-42", 2)]


async def test_an_attempt_that_ends_when_patience_does_loosens_at_once(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    head = await head_of(store)
    ended_at = head.due_at + timedelta(seconds=0.25)
    await store.settle([settled(head, Decision.RETRY, loosens_at=ended_at)])
    assert await heads_of(store) == [("order-42", 2), ("order-42", 1)]


async def test_many_lanes_loosen_together(store: Store) -> None:
    watches = await added(store, *(a_watch(f"w{number}") for number in range(1100)))
    assert await store.commit([a_step(watch, events=2) for watch in watches]) == [None] * 1100
    refused = [settled(head, Decision.RETRY, loosens_at=LATER) for head in await waiting(store, limit=2000)]
    await store.settle(refused)
    assert await store.loosen(now=LATER) == 1100
    assert len(await store.heads("ops", again=False, now=LATER, limit=2000)) == 1100


# --- batches ------------------------------------------------------------------------------------------------------


def sequences(deliveries: list[Delivery]) -> list[int | None]:
    return [each.event.sequence for each in deliveries]


async def test_with_a_head_goes_what_waits_behind_it_in_its_lane(store: Store) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    await told(store, a, events=5)
    await told(store, b, events=5)
    head = await head_of(store, watch="b")
    members = await store.members(head, limit=3)
    assert members[0] == head
    assert [(each.event.watch, each.event.sequence) for each in members] == [("b", 1), ("b", 2), ("b", 3)]
    assert sequences(await store.members(head, limit=9)) == [1, 2, 3, 4, 5]


async def test_a_batch_is_sent_again_with_the_same_members_also_after_a_restart(store: Store, backend: Backend) -> None:
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=3, to=("ops", "audit"))
    members = await store.members(await head_of(store), limit=9)
    await store.settle([settled(each, Decision.RETRY, batch="bat_1") for each in members])
    await told(store, watch, events=1)
    await store.close()
    again = await backend.store()
    await again.lease()
    assert await heads_of(again) == [("order-42", 1)]
    assert sequences(await again.members(await head_of(again), limit=9)) == [1, 2, 3]
    assert sequences(await again.members(await head_of(again), limit=2)) == [1, 2]
    assert sequences(await again.members(await head_of(again, "audit"), limit=9)) == [1, 2, 3]


async def test_a_batch_that_is_done_makes_room_for_what_is_behind_it(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=5)
    members = await store.members(await head_of(store), limit=3)
    await store.settle([settled(each, Decision.DELIVERED) for each in members])
    assert await heads_of(store) == [("order-42", 4)]


async def test_half_a_batch_may_be_done(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=4)
    members = await store.members(await head_of(store), limit=4)
    next_at = NOON + timedelta(minutes=5)
    first, second = members[:2], members[2:]
    await store.settle(
        [settled(each, Decision.DELIVERED) for each in first]
        + [settled(each, Decision.RETRY, batch="bat_2", next_at=next_at) for each in second]
    )
    head = await head_of(store)
    assert (head.event.sequence, head.due_at, head.batch) == (3, next_at, "bat_2")
    assert sequences(await store.members(head, limit=9)) == [3, 4]


async def test_without_order_a_batch_is_of_any_watches(store: Store) -> None:
    await store.endpoint("ops", ordered=False)
    for watch in await added(store, a_watch("a"), a_watch("b")):
        await told(store, watch, events=2)
    heads = await waiting(store)
    await store.settle([settled(each, Decision.RETRY, batch="bat_1") for each in heads[1:]])
    last = (await waiting(store))[-1]
    assert last.batch == "bat_1"
    members = await store.members(last, limit=9)
    assert members[0] == last
    assert {each.id for each in members} == {each.id for each in heads[1:]}


async def test_a_batch_loosens_as_a_whole(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=4)
    members = await store.members(await head_of(store), limit=2)
    await store.settle([settled(each, Decision.RETRY, batch="bat_1", loosens_at=LATER) for each in members])
    assert await store.loosen(now=LATER) == 1
    assert await heads_of(store) == [("order-42", 3), ("order-42", 1), ("order-42", 2)]
    assert sequences(await store.members(await head_of(store), limit=9)) == [3, 4]
    assert sequences(await store.members((await waiting(store))[1], limit=9)) == [1, 2]
