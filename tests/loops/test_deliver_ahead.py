"""Deliveries are fetched ahead: a store that answers late keeps no POST waiting, and nothing goes twice for that."""

import anyio
import pytest
from fakes import Answer, SpiedStore
from outboxes import BAD, Outbox
from store_values import settled, waiting
from virtual import VirtualClock
from worlds import turning

from watcher.at_hand import AtHand
from watcher.bell import Bell
from watcher.core.delivery import Decision
from watcher.core.errors import StoreError
from watcher.core.webhook_section import Webhook
from watcher.hold import Hold


def no_complaint(error: StoreError) -> None:
    raise error


async def test_what_is_at_hand_is_sent_while_the_store_is_asked_for_more(outbox: Outbox, store: SpiedStore) -> None:
    outbox.transport.script("ops", Answer(204, takes=1))
    await outbox.tell(*(f"w{number}" for number in range(12)))
    async with turning(await outbox.pump(concurrency=1)):
        await anyio.sleep(0.5)
        store.slow["heads"] = 20
        await anyio.sleep(15)

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
    outbox: Outbox, store: SpiedStore, clock: VirtualClock
) -> None:
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
