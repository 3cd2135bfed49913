"""A webhook whose `order` changes while much waits for it: the rest follows bit by bit, and nobody waits for that."""

import anyio
from fakes import SpiedStore
from outboxes import BAD, GOOD, Outbox, pumps
from virtual import VirtualClock
from worlds import turning

from watcher.core.model import END_OF_TIME
from watcher.keep import Keeper

MANY = 1600


async def heads(store: SpiedStore) -> int:
    return sum([len(await store.heads("ops", again=again, now=END_OF_TIME, limit=9999)) for again in (False, True)])


async def test_a_change_of_order_returns_at_once_and_all_that_waits_follows(
    outbox: Outbox, store: SpiedStore, clock: VirtualClock
) -> None:
    every = pumps(store, clock=clock, transport=outbox.transport)
    keeper = Keeper(keep=END_OF_TIME - clock.now(), store=store, outbox=every, clock=clock)
    outbox.transport.script("ops", BAD)
    async with every.open():
        await every.change({"ops": outbox.section(retry=["1h"])}, callbacks=None)
        await outbox.tell("w", events=MANY)
        await every.change({"ops": outbox.section(retry=["1h"], order="none")}, callbacks=None)
        assert await heads(store) < MANY
        async with turning(keeper):
            await anyio.sleep(3)
            assert (await heads(store), keeper.is_turning) == (MANY, True)
            await every.change({"ops": outbox.section(retry=["1h"])}, callbacks=None)
            await anyio.sleep(3)
            assert await heads(store) == 1
            keeper.stop()


async def test_all_that_is_let_go_of_is_sent_and_once(outbox: Outbox, store: SpiedStore, clock: VirtualClock) -> None:
    every = pumps(store, clock=clock, transport=outbox.transport)
    keeper = Keeper(keep=END_OF_TIME - clock.now(), store=store, outbox=every, clock=clock)
    outbox.transport.script("ops", BAD, GOOD)
    await outbox.tell("w", events=MANY)
    async with every.open(), turning(keeper):
        await every.change({"ops": outbox.section(retry=["1h"])}, callbacks=None)
        await anyio.sleep(1)
        await every.change({"ops": outbox.section(retry=["1h"], order="none")}, callbacks=None)
        await anyio.sleep(5)
        keeper.stop()
    assert sorted(outbox.received()) == [("w", number) for number in range(1, MANY + 1)]
