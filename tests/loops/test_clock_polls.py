"""A wall clock that was wrong for a while: no poll waits for a time that is long to come, and no watch ends by it."""

from datetime import timedelta
from itertools import pairwise

import anyio
import pytest
from fakes import Answer, SpiedStore
from virtual import VirtualClock
from worlds import Polling, log_of

from watcher.core.model import Condition, Ending

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


def told_ahead(clock: VirtualClock) -> Condition:
    """Return what a clock that is an hour ahead makes of a provider that wants a second's rest."""
    ahead = clock.now() + HOUR
    return Condition("d7", uid="condition of d7", paused_at=ahead, paused_until=ahead + SECOND)


async def test_a_rest_of_a_provider_that_another_worker_learnt_by_a_clock_ahead_is_no_longer(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    async with world.polling():
        await anyio.sleep(1)
        for _ in range(5):  # it is told of it again and again
            world.pollers["d7"].learn(told_ahead(clock))
            await anyio.sleep(0.1)
        await anyio.sleep(600)
    times = world.transport.times("op")
    assert max(later - earlier for earlier, later in pairwise(times)) < 400


async def test_a_rest_of_a_provider_that_a_clock_ahead_has_stored_is_no_longer(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock, {"d7": told_ahead(clock)})
    await world.follow("op")
    await world.run(seconds=60)
    assert world.transport.times("op")[0] == pytest.approx(1, abs=0.5)


async def test_a_rest_that_a_right_clock_was_told_of_after_one_ahead_outlives_a_restart(
    store: SpiedStore, clock: VirtualClock
) -> None:
    clock.step(HOUR)
    world = Polling(store, clock)
    await world.follow("a")
    short, long = (Answer(429, headers={"retry-after": seconds}) for seconds in ("1", "600"))
    world.transport.script("a", short, short, long, log_of("a", "sent"))
    async with world.polling():
        await anyio.sleep(1.5)
        clock.step(-HOUR)
        await anyio.sleep(60)
    told_at = world.transport.times("a")[-1]
    (condition,) = await store.conditions()
    again = Polling(store, clock, {"d7": condition})
    await again.run(seconds=700)
    assert again.transport.times("a")[0] - told_at >= 600


@pytest.mark.parametrize("word", ["sent", "missing"])
async def test_a_clock_that_is_ahead_for_a_while_ends_no_watch(
    store: SpiedStore, clock: VirtualClock, word: str
) -> None:
    world = Polling(store, clock, d7={"grace": "1h"})
    await world.follow("a")
    missing = [Answer(404)] * 500 if word == "missing" else []
    world.transport.script("a", *missing, log_of("a", "sent"))
    async with world.polling():
        await anyio.sleep(30)
        clock.step(4 * DAY)
        await anyio.sleep(300)
        clock.step(-4 * DAY)
        await anyio.sleep(300)
    watch = await store.watch("uid-a")
    assert watch is not None
    assert (watch.ending, len(world.transport.times("a")) > 3) == (None, True)


async def test_a_clock_that_was_put_right_is_believed_after_a_while(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("a", deadline=HOUR)
    async with world.polling():
        await anyio.sleep(30)
        clock.step(2 * HOUR)
        await anyio.sleep(599)
        watch = await store.watch("uid-a")
        assert watch is not None
        assert watch.ending is None
        await anyio.sleep(600)
    watch = await store.watch("uid-a")
    assert watch is not None
    assert watch.ending is Ending.EXPIRED
