"""A webhook that is enabled while much waits to go again: it goes on at once, and nothing stops for the rest."""

import anyio
import pytest
from fakes import Answer, SpiedStore
from outboxes import GOOD, Outbox, pumps
from recorded import IDS
from store_values import settled, waiting
from virtual import VirtualClock
from worlds import Polling, turning

from watcher.core.delivery import Decision
from watcher.core.endpoint import Disabled
from watcher.core.model import END_OF_TIME
from watcher.stores import sqlite

REFUSED = Answer(400, takes=0.1)


@pytest.fixture(autouse=True)
def small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "FEW", 2)


async def test_what_is_due_is_sent_while_the_rest_is_not(
    outbox: Outbox, store: SpiedStore, clock: VirtualClock
) -> None:
    every = pumps(store, clock=clock, transport=outbox.transport)
    outbox.transport.script("ops", *[REFUSED] * len(IDS), GOOD)
    await outbox.tell(*IDS)
    async with every.open():
        await every.change({"ops": outbox.section(retry=["1h"])}, callbacks=None)
        await anyio.sleep(60)
        switch = await outbox.wanted()
        assert not await every.switch(switch)
        await anyio.sleep(1)
        assert len(outbox.received()) == len(IDS) + 2
        while not await every.switch(switch):
            pass
        await anyio.sleep(1)

    assert sorted(outbox.received()) == sorted([(each, 1) for each in IDS] * 2)


async def test_what_the_webhook_says_meanwhile_is_heard(outbox: Outbox, store: SpiedStore, clock: VirtualClock) -> None:
    every = pumps(store, clock=clock, transport=outbox.transport)
    outbox.transport.script("ops", *[REFUSED] * len(IDS), Answer(429, headers={"retry-after": "600"}), GOOD)
    await outbox.tell(*IDS)
    async with every.open():
        await every.change({"ops": outbox.section(retry=["1h"], concurrency=1)}, callbacks=None)
        await anyio.sleep(60)
        switch = await outbox.wanted()
        assert not await every.switch(switch)
        await anyio.sleep(1)
        while not await every.switch(switch):
            pass
        await anyio.sleep(598)
        assert len(outbox.received()) == len(IDS) + 1
        await anyio.sleep(60)

    assert len(outbox.received()) == 2 * len(IDS) + 1


async def put_off(outbox: Outbox) -> None:
    """Have a delivery of each watch wait for much later, and nobody send to their webhook."""
    await outbox.store.endpoint("ops", ordered=True)
    await outbox.tell(*IDS)
    heads = await waiting(outbox.store, now=END_OF_TIME)
    await outbox.store.settle([settled(head, Decision.RETRY, next_at=END_OF_TIME) for head in heads])


async def test_however_long_it_takes_the_feed_turns(outbox: Outbox, store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await put_off(outbox)
    await outbox.wanted()
    store.slow["done"] = 20
    async with turning(world.feed):
        for _ in range(20 * len(IDS) // 2):
            await anyio.sleep(1)
            assert world.feed.is_turning
        await anyio.sleep(30)

    assert await store.intents() == []
    assert {head.due_at < clock.now() for head in await waiting(store, now=END_OF_TIME)} == {True}


async def test_a_webhook_that_is_disabled_meanwhile_is_so_at_once(
    outbox: Outbox, store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await put_off(outbox)
    await outbox.wanted()
    store.slow["done"] = 1
    async with turning(world.feed):
        await anyio.sleep(1.5)
        await outbox.wanted(on=False)
        await anyio.sleep(2)
        assert (await store.endpoint("ops", ordered=True)).disabled is Disabled.COMMAND
        await anyio.sleep(60)

    assert (await store.endpoint("ops", ordered=True)).disabled is Disabled.COMMAND
    assert await store.intents() == []
