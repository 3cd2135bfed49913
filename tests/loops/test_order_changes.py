"""A webhook whose `order` changes while much waits for it: the rest follows bit by bit, and nobody waits for that."""

import anyio
import pytest
from fakes import Answer, SpiedStore
from outboxes import BAD, GOOD, Outbox, pumps
from virtual import VirtualClock
from worlds import turning

from watcher.core.model import END_OF_TIME
from watcher.keep import Keeper
from watcher.stores import sqlite

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


@pytest.mark.parametrize("batch", [0, 5])
async def test_once_all_is_lined_up_no_watch_has_two_posts_in_flight_and_all_go_in_order(
    outbox: Outbox, store: SpiedStore, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(sqlite, "FEW", 20)
    every = pumps(store, clock=clock, transport=outbox.transport)
    keeper = Keeper(keep=END_OF_TIME - clock.now(), store=store, outbox=every, clock=clock)
    outbox.transport.script("ops", Answer(204, takes=1))
    async with every.open():
        await every.change({"ops": outbox.section(order="none", rate=0.001)}, callbacks=None)
        await outbox.tell("w", events=MANY // 4)
        await anyio.sleep(1)
        await every.change({"ops": outbox.section(concurrency=4, batch=batch)}, callbacks=None)
        async with turning(keeper):
            while await heads(store) > 1:
                await anyio.sleep(0.1)
            await anyio.sleep(2)  # what was in flight has come back
            outbox.transport.most_in_flight.clear()
            begin = len(outbox.transport.sent)
            await anyio.sleep(30)
            keeper.stop()

    assert outbox.transport.most_in_flight["ops"] == 1
    if not batch:
        after = outbox.received()[begin:]
        assert (len(after), after) == (30, sorted(after))


async def test_what_is_lined_up_already_goes_in_order_while_other_webhooks_are_being_arranged(
    outbox: Outbox, store: SpiedStore, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "FEW", 20)
    every = pumps(store, clock=clock, transport=outbox.transport)
    keeper = Keeper(keep=END_OF_TIME - clock.now(), store=store, outbox=every, clock=clock)
    outbox.transport.script("ops", Answer(204, takes=1))
    await store.endpoint("ops", ordered=False)
    await outbox.tell("w", events=200)
    await outbox.tell("v", events=MANY, to=("unknown",))
    async with every.open():
        await every.change({"ops": outbox.section(concurrency=4)}, callbacks=None)
        await store.endpoint("unknown", ordered=False)
        await anyio.sleep(2.5)  # some arrived, and more were fetched
        async with turning(keeper):
            while await heads(store) > 1:
                await anyio.sleep(0.1)
            await anyio.sleep(3)
            outbox.transport.most_in_flight.clear()
            await anyio.sleep(2)
            assert (outbox.transport.most_in_flight["ops"], keeper._is_arranging) == (1, True)
            keeper.stop()
