"""A crew whose configuration changes: limits hold at once, and neither a late store nor a stop gets in the way."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from changing import D7, OPS, World, world_of
from fakes import Answer, SpiedStore
from virtual import VirtualClock
from worlds import log_of

from watcher.core.errors import StoreError
from watcher.poll import Poller


@pytest.fixture
def world(store: SpiedStore, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return world_of(store, clock=clock, folder=tmp_path, monkeypatch=monkeypatch)


async def test_limits_change_at_once(world: World) -> None:
    async with world.at_work(world.config()):
        await world.follow("a", "b")
        lacks = [world.crew.room.lack]
        for most in (2, 3):
            await world.change(world.config(watcher={"max_watches": most, "keep": f"{most}h"}))
            await anyio.sleep(1.1)
            lacks.append(world.crew.room.lack)

    assert lacks == [None, "2 watches are open, which is watcher.max_watches", None]
    assert world.crew._keeper.keep == timedelta(hours=3)


async def test_a_store_that_does_not_answer_delays_a_change_and_ends_nothing(world: World) -> None:
    async with world.at_work(world.config()):
        await world.follow("a")
        for name in ("conditions", "endpoint", "undelivered"):
            world.store.fail(name, times=3, error=StoreError("the disk is full"))
        await world.change(world.config(providers={"d7": {**D7, "rate": 7}}, webhooks={"ops": {**OPS, "rate": 7}}))
        await anyio.sleep(5)
        world.polls.script("a", log_of("a", "delivered"))
        await anyio.sleep(5)

    assert [sequence for _, sequence, _ in world.told()] == [1, 2, 3, 4, 5]


async def test_a_bug_in_a_loop_that_came_with_a_change_ends_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def buggy(_: Poller) -> None:
        raise RuntimeError("a bug in a loop")

    async def turn() -> None:
        async with world.at_work(world.config()):
            monkeypatch.setattr(Poller, "run", buggy)
            await world.change(world.config(providers={"d7": D7, "new": D7}))
            await anyio.sleep_forever()

    with pytest.raises(ExceptionGroup) as raised:
        await turn()
    assert raised.group_contains(RuntimeError, match="a bug in a loop")


async def test_a_stop_in_the_midst_of_a_change_is_as_orderly_as_any(world: World) -> None:
    world.posts.script("ops", Answer(204, takes=4))
    world.polls.script("slow", log_of("slow", "sent", takes=3))
    async with world.at_work(world.config()):
        await world.follow("slow", "a")
        with anyio.move_on_after(1):
            await world.change(world.config(providers={"new": D7}, webhooks={"new": OPS}))
            pytest.fail("there was nothing to wait for")

    assert world.now >= 4  # what was in flight is finished, and what came of it is stored
    assert [sequence for watch, sequence, _ in world.told() if watch == "a"] == [1]
    slow = await world.store.watch("uid-slow")
    assert slow is not None
    assert slow.sequence == 2
