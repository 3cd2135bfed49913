"""Deliveries are fetched ahead: a store that answers late keeps no POST waiting, and nothing goes twice for that."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from fakes import Answer, SpiedStore
from outboxes import BAD, GOOD, Outbox
from recorded import rows
from store_values import head_of, settled, waiting
from virtual import VirtualClock
from worlds import turning

from watcher.at_hand import FEW, AtHand
from watcher.bell import Bell
from watcher.budget import AROUND, Budget, size
from watcher.core.delivery import Decision
from watcher.core.errors import StoreError
from watcher.core.intent import Replay
from watcher.core.webhook_section import Webhook
from watcher.hold import Hold


def no_complaint(error: StoreError) -> None:
    raise error


async def test_what_is_at_hand_is_sent_while_the_store_is_asked_for_more(outbox: Outbox, store: SpiedStore) -> None:
    outbox.transport.script("ops", Answer(204, takes=1))
    await outbox.tell(*(f"w{number}" for number in range(12)))
    async with turning(await outbox.pump(concurrency=1)):
        await anyio.sleep(1.5)  # one arrived, and more were fetched
        store.slow["heads"] = 20
        await anyio.sleep(14)

    assert outbox.transport.times("ops") == [float(second) for second in range(12)]


async def test_nothing_goes_again_as_long_as_a_first_attempt_may_be_found(
    outbox: Outbox, store: SpiedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)
    outbox.transport.script("ops", BAD, BAD, BAD, Answer(204, takes=3))
    await outbox.tell("a", "b", "c")
    pump = await outbox.pump(retry=["10s"], concurrency=1)
    async with turning(pump):
        await anyio.sleep(11)  # one goes again, the others are at hand
        store.slow["heads"] = 5
        await outbox.tell("first")
        pump.wake()
        await anyio.sleep(60)

    order = [watch for watch, _ in outbox.received()]
    assert order == ["a", "b", "c", "a", "first", "b", "c"]


async def test_what_went_with_another_while_the_store_was_asked_does_not_go_twice(
    outbox: Outbox, store: SpiedStore, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.at_hand.FEW", 32)
    ids = [f"w{number}" for number in range(33)]  # of 32 that are fetched at once the last is half a pair
    await outbox.tell(*ids)
    await store.endpoint("ops", ordered=False)
    for place, head in enumerate(await waiting(store)):
        pair = f"bat_{(place + 1) // 2}" if place else None
        await store.settle([settled(head, Decision.RETRY, next_at=clock.now(), batch=pair)])
    terms = Webhook(url="https://hooks.example/ops", unsigned=True, order="none", batch=2, concurrency=1)
    at_hand = AtHand("ops", terms=terms, store=store, clock=clock, bell=Bell(), hold=Hold(clock), complain=no_complaint)

    async def send() -> list[str | None]:
        now = clock.now()
        head = at_hand.take(again=True, avoid=lambda _: False)
        parcel = await at_hand.gather(head, again=True, now=now)
        done = [settled(one, Decision.DELIVERED) for one in parcel]
        await store.settle(done)
        at_hand.settle(done, again=True, now=now)
        return [one.event.watch for one in parcel]

    await at_hand.look(clock.now())
    sent = [await send() for _ in range(9)]
    store.slow["heads"] = 60
    async with anyio.create_task_group() as looking:
        looking.start_soon(at_hand.look, clock.now())
        await anyio.sleep(61)  # for first attempts, too
        sent += [await send() for _ in range(8)]

    assert [watch for parcel in sent for watch in parcel] == ids
    now = clock.now()
    await at_hand.look(now)
    assert at_hand.offers(now=now) == (False, False)


@pytest.mark.parametrize("batch", [0, 10])
async def test_what_was_given_up_while_it_was_at_hand_is_not_sent_unless_it_is_wanted_again(
    outbox: Outbox, tmp_path: Path, batch: int
) -> None:
    outbox.transport.script("ops", Answer(410), Answer(410), GOOD)
    await outbox.tell("a", "b", "c", "d")
    pump = await outbox.pump(batch=batch, concurrency=2)
    async with turning(pump):
        await anyio.sleep(3600)
        await outbox.tell("c")
        await prune(outbox, age=timedelta(minutes=10))
        await pump.switch(await outbox.wanted())
        await anyio.sleep(60)
        assert outbox.received() == [("a", 1), ("b", 1), ("c", 2)]
        await replay(outbox)
        pump.wake()
        await anyio.sleep(60)

    assert await rows(tmp_path, status="waiting") == []
    assert sorted(outbox.received()[3:]) == [("a", 1), ("b", 1), ("c", 1), ("d", 1)]


@pytest.mark.parametrize("batch", [0, 10])
async def test_what_was_given_up_is_not_sent_however_slowly_others_go_before_it(
    outbox: Outbox, tmp_path: Path, batch: int
) -> None:
    await outbox.tell(*(f"w{number}" for number in range(9)))
    async with turning(await outbox.pump(rate=0.005, batch=batch)):
        await anyio.sleep(500)
        assert len(outbox.received()) == 3
        await prune(outbox, age=timedelta(0))
        await anyio.sleep(2000)

    assert len(outbox.received()) == 3
    assert await rows(tmp_path, status="exhausted") == [("exhausted", 0)] * 6


async def test_what_stood_behind_what_was_given_up_a_moment_ago_goes_without_it(outbox: Outbox, tmp_path: Path) -> None:
    outbox.transport.script("ops", Answer(204, takes=30))
    await outbox.tell("a")
    await outbox.tell("b", events=2)
    pump = await outbox.pump(batch=10, concurrency=1)
    async with turning(pump):
        await anyio.sleep(20)
        await prune(outbox, age=timedelta(0))
        await outbox.tell("b")
        await anyio.sleep(60)
        assert outbox.received() == [("a", 1), ("b", 3)]
        await replay(outbox)
        pump.wake()
        await anyio.sleep(60)

    assert await rows(tmp_path) == [("delivered", 1)] * 4


async def test_who_shares_a_budget_has_no_more_at_hand_together_and_each_has_some(
    outbox: Outbox, store: SpiedStore, clock: VirtualClock
) -> None:
    number = 40
    both = await sharing(outbox, outbox.section(), watches=number)
    fetched: dict[str, int] = {}
    for name, at_hand in both.items():
        await at_hand.look(clock.now())
        done = [settled(at_hand.take(again=False, avoid=lambda _: False), Decision.DELIVERED)]
        await store.settle(done)
        at_hand.settle(done, again=False, now=clock.now())
        for _ in range(number):
            await at_hand.look(clock.now())
        fetched[name] = len(at_hand._held)
    assert fetched == {"ops": 20, "audit": 1}
    both["ops"].close()
    await both["audit"].look(clock.now())
    assert len(both["audit"]._held) == 20


async def test_who_shares_a_budget_and_is_told_to_look_anew_has_no_more_at_hand_either(
    outbox: Outbox, store: SpiedStore, clock: VirtualClock
) -> None:
    both = await sharing(outbox, outbox.section(), watches=40)
    for at_hand in both.values():
        await at_hand.look(clock.now())
        done = [settled(at_hand.take(again=False, avoid=lambda _: False), Decision.DELIVERED)]
        await store.settle(done)
        at_hand.settle(done, again=False, now=clock.now())
        at_hand.follow()
    store.slow["hasten"] = store.slow["heads"] = 1
    async with anyio.create_task_group() as looking:
        for at_hand in both.values():
            looking.start_soon(at_hand.look, clock.now())
    assert sum(len(at_hand._held) for at_hand in both.values()) <= 20 + 2 * FEW


async def test_a_batch_is_no_reason_to_have_more_at_hand_than_the_budget_allows(
    outbox: Outbox, store: SpiedStore, clock: VirtualClock
) -> None:
    both = await sharing(outbox, outbox.section(order="none", batch=100), watches=40)
    for at_hand in both.values():
        await at_hand.look(clock.now())
    affordable = 20 * size(await head_of(store)) // AROUND  # as far as is known before any was fetched
    assert [len(at_hand._held) for at_hand in both.values()] == [affordable, FEW]


async def sharing(outbox: Outbox, terms: Webhook, *, watches: int) -> dict[str, AtHand]:
    """Let a delivery of each watch wait for two webhooks, which may have 20 at hand together."""
    names = ("ops", "audit")
    await outbox.tell(*(f"w{each}" for each in range(watches)), to=names)
    budget = Budget(20 * size(await head_of(outbox.store)))
    for name in names:
        await outbox.store.endpoint(name, ordered=terms.order == "watch")
    return {
        name: AtHand(
            name,
            terms=terms,
            store=outbox.store,
            clock=outbox.clock,
            bell=Bell(),
            hold=Hold(outbox.clock),
            complain=no_complaint,
            budget=budget,
        )
        for name in names
    }


async def replay(outbox: Outbox) -> None:
    """Send again what was given up."""
    long_ago = outbox.clock.now() - timedelta(days=1)
    await outbox.store.want(Replay(0, rate=9, webhook="ops", since=long_ago, exhausted=True))
    (intent,) = await outbox.store.intents()
    assert isinstance(intent, Replay)
    assert await outbox.store.replay(intent, now=outbox.clock.now(), limit=9)


async def prune(outbox: Outbox, *, age: timedelta) -> None:
    """Give up what has waited for so long."""
    before = outbox.clock.now() - age
    assert (await outbox.store.prune(before=before, ids_before=before, limit=500)).given_up
