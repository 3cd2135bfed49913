"""A wall clock that was ahead, and was put right while no daemon ran: nothing waits for a time that is long to come."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest_asyncio
from running import Stage, stage

from watcher.clock import SystemClock
from watcher.core.endpoint import Endpoint, paused
from watcher.core.model import Condition
from watcher.demo.story import PLOTS
from watcher.stores.sqlite import SqliteStore

ASKED = timedelta(seconds=1)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as world:
        yield world


async def remembered(world: Stage, *, condition: Condition, endpoint: Endpoint) -> None:
    """Let a store know these, as if a daemon had written them."""
    store = await SqliteStore.open(world.folder / "watcher.db")
    await store.lease()
    await store.pause(condition)
    await store.settle([], endpoint=endpoint)
    await store.close()


async def test_what_was_told_to_wait_a_second_does_not_wait_an_hour(world: Stage) -> None:
    plot, ahead = PLOTS[0], SystemClock.now() + timedelta(hours=1)
    condition = Condition(plot.provider, "uid", paused_at=ahead, paused_until=ahead + ASKED)
    await remembered(world, condition=condition, endpoint=paused(Endpoint("ops"), until=ahead + ASKED, now=ahead))
    async with world.daemon():
        world.ask_for(world.begin(plot))
        with anyio.fail_after(20):
            while [one.type for one in world.receiver.arrivals][-1:] != ["watch.finished"]:
                await anyio.sleep(0.02)
    store = await SqliteStore.open(world.folder / "watcher.db")
    (shortened,) = [one for one in await store.conditions() if one.provider == plot.provider]
    await store.close()
    assert shortened.paused_at is not None
    assert shortened.paused_at < ahead - timedelta(minutes=30)  # or it would be put off again at each start
