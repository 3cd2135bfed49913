"""Watches that pass their deadline while nobody may ask: each ends soon, once, however many there are."""

from collections.abc import Sequence
from datetime import timedelta

import anyio
import pytest
from fakes import SpiedStore
from virtual import EPOCH, VirtualClock
from worlds import Polling, log_of, turning

from watcher.core.errors import StoreError
from watcher.core.model import Condition, Ending, Step
from watcher.poll import SOME

MINUTE = timedelta(minutes=1)


def paused(clock: VirtualClock, *, minutes: int) -> Condition:
    return Condition("d7", uid="condition of d7", paused_until=clock.now() + minutes * MINUTE, paused_at=clock.now())


async def test_more_than_end_together_end_one_lot_after_the_other(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, {"d7": paused(clock, minutes=10)})
    late = [f"late-{number}" for number in range(4 * SOME)]
    await world.follow(*late, deadline=MINUTE)
    await world.follow("on-time")
    most = 0
    async with world.polling():
        await anyio.sleep(59)
        store.slow["commit"] = 0.1
        while clock.monotonic() < EPOCH + 60 + 15 and world.feed.open > 1:
            await anyio.sleep(0.01)
            most = max(most, len(world.pollers["d7"]._rota.asking))
        assert world.feed.open == 1
    assert (most, world.transport.sent) == (SOME, [])
    endings = {watch.ending for name in late if (watch := await store.watch(f"uid-{name}"))}
    assert endings == {Ending.EXPIRED}


async def test_while_the_store_refuses_late_watches_are_left_for_a_while(
    store: SpiedStore, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = 0

    async def refuse(_: Sequence[Step]) -> list[Exception | None]:
        nonlocal refused
        refused += 1
        raise StoreError("the disk is full")

    world = Polling(store, clock, {"d7": paused(clock, minutes=10)})
    await world.follow(*(f"late-{number}" for number in range(2 * SOME)), deadline=MINUTE)
    async with world.polling():
        with monkeypatch.context() as full:
            full.setattr(store, "commit", refuse)
            await anyio.sleep(60 + 35)
        assert refused in range(SOME, 5 * SOME)
        await anyio.sleep(30)
        assert world.feed.open == 0


async def test_a_pause_that_ends_while_they_are_ended_is_over_for_the_others_at_once(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock, {"d7": paused(clock, minutes=1)}, d7={"rate": 1000, "concurrency": 1})
    late = [f"late-{number}" for number in range(8 * SOME)]
    await world.follow("on-time")
    await world.follow(*late, deadline=timedelta(seconds=45))
    store.slow["commit"] = 2.0
    world.transport._otherwise = lambda request: log_of(request.url.rpartition("/")[2], "sent")
    async with turning(*world.loops):
        await anyio.sleep(66)
        assert world.transport.times("on-time")[0] < 63
        store.slow.clear()
        await anyio.sleep(60)
        assert world.feed.open == 1
    asked = {sent.last for sent in world.transport.sent}
    assert len(asked) in range(2, 8 * SOME)
