"""A wall clock that was wrong for a while: nothing is old by it before it is believed."""

from datetime import timedelta

import anyio
import pytest
from fakes import SpiedStore
from outboxes import BAD, GOOD, Outbox, pumps
from virtual import EPOCH, VirtualClock
from worlds import turning

from watcher.keep import Keeper

DAY = timedelta(days=1)


async def test_a_clock_that_is_ahead_for_a_while_makes_nothing_old(
    outbox: Outbox, store: SpiedStore, clock: VirtualClock
) -> None:
    outbox.transport.script("ops", BAD)
    keeper = Keeper(
        keep=30 * DAY, store=store, outbox=pumps(store, clock=clock, transport=outbox.transport), clock=clock
    )
    async with turning(pump := await outbox.pump(retry=["1h"] * 3), keeper):
        await outbox.tell("w", events=2)
        pump.wake()
        await anyio.sleep(30)
        clock.step(31 * DAY)
        await anyio.sleep(130)
        clock.step(-31 * DAY)
        outbox.transport.script("ops", GOOD)
        await anyio.sleep(3 * 3600)
    assert outbox.received() == [("w", 1), ("w", 1), ("w", 2)]
    assert clock.monotonic() - EPOCH > 3 * 3600


async def test_what_is_old_by_a_clock_that_was_put_right_is_forgotten_after_a_while(
    outbox: Outbox, store: SpiedStore, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.keep.BELIEVED_AFTER", 600)
    clock.step(-3650 * DAY)
    await outbox.tell("w")
    keeper = Keeper(
        keep=30 * DAY, store=store, outbox=pumps(store, clock=clock, transport=outbox.transport), clock=clock
    )
    async with turning(keeper):
        await anyio.sleep(60)
        clock.step(3650 * DAY)
        await anyio.sleep(590)
        assert await store.undelivered() == ["ops"]
        await anyio.sleep(130)
        assert await store.undelivered() == []
