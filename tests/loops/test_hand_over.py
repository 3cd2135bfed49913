"""Shards that come and go while watches are added, polled and cancelled: each watch is on the schedule once."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
import pytest_asyncio
from fakes import Answer, SpiedStore
from store_values import a_step
from structlog.testing import capture_logs
from virtual import EPOCH, VirtualClock
from worlds import Polling, cancel, log_of, turning

from watcher.core.errors import StoreError
from watcher.core.lease import SHARDS, Lease, shard_of
from watcher.core.model import Step, Watch
from watcher.core.rows import Opened
from watcher.hold import Hold
from watcher.store import Store

OURS, COMING = range(128), range(128, SHARDS)
NAMES = [f"op-{number}" for number in range(100)]
MINE = [name for name in NAMES if shard_of(f"uid-{name}") in OURS]
THEIRS = [name for name in NAMES if shard_of(f"uid-{name}") in COMING]


class Sharing(SpiedStore):
    """A store of which some shards are held, as they are when it is asked; it answers when the test says."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.held: Collection[int] = OURS
        self.epoch = 1
        self.answers = anyio.Event()
        self.answers.set()

    async def load(
        self, *, after: int, limit: int, provider: str | None = None, shards: Collection[int] | None = None
    ) -> list[Opened]:
        asked = self.held if shards is None else shards
        rows = await super().load(after=after, limit=limit, provider=provider)
        await self.answers.wait()
        return [one for one in rows if shard_of(one.uid) in asked]

    async def watch(self, uid: str) -> Watch | None:
        found = await super().watch(uid)
        return found and replace(found, epoch=self.epoch)

    async def commit(self, steps: Sequence[Step]) -> list[Exception | None]:
        return await super().commit([replace(step, watch=replace(step.watch, epoch=1)) for step in steps])


class World(Polling):
    """A poller and its feed, of one worker among others."""

    def __init__(self, store: SpiedStore, clock: VirtualClock) -> None:
        self.sharing = Sharing(store)
        self.hold = Hold(clock)
        super().__init__(self.sharing, clock, hold=self.hold, d7={"rate": 1000, "burst": 100})
        self.take(OURS)

    def take(self, shards: Collection[int], *, epoch: int = 1) -> None:
        """Hold these, and no others."""
        lease = Lease(dict.fromkeys(shards, epoch), lasts=timedelta(days=1))
        self.sharing.held, self.sharing.epoch = shards, epoch
        self.hold.extend(lease, asked_at=self.clock.monotonic())
        self.hold.shrink(lease)
        self.hold.grow(lease)
        self.pollers["d7"].follow()

    def asked(self) -> set[str]:
        return {sent.last for sent in self.transport.sent}


@pytest_asyncio.fixture
async def world(store: SpiedStore, clock: VirtualClock) -> World:
    return World(store, clock)


async def test_a_watch_that_was_just_being_loaded_when_its_shard_came_is_polled_once(world: World) -> None:
    await world.follow(*NAMES)
    world.sharing.answers = anyio.Event()
    async with turning(*world.loops), anyio.create_task_group() as gaining:
        await anyio.sleep(1)
        world.take(range(SHARDS))
        gaining.start_soon(world.feed.gain, COMING)
        await anyio.sleep(1)
        world.sharing.answers.set()
        await anyio.sleep(1.5)
        assert sorted(sent.last for sent in world.transport.sent) == sorted(NAMES)
    assert world.feed.open == len(NAMES)


async def test_what_is_cancelled_while_its_shard_comes_or_goes_is_counted_once(world: World) -> None:
    await world.follow(*NAMES)
    async with turning(*world.loops):
        await anyio.sleep(1)
        world.take(OURS[:64])
        await cancel(world.store, *NAMES)
        await anyio.sleep(1)
        assert world.feed.open == 0
    assert [state for state, number in world.pollers["d7"].open.items() if number < 0] == []


async def test_shards_that_could_not_be_loaded_come_whole_the_next_time(world: World) -> None:
    await world.follow(*NAMES)
    async with turning(*world.loops):
        await anyio.sleep(1)
        assert world.asked() == set(MINE)
        world.take(range(SHARDS))
        world.sharing.fail("load")
        with pytest.raises(StoreError):
            await world.feed.gain(COMING)
        world.take(OURS)
        world.take(range(SHARDS))
        await world.feed.gain(COMING)
        await anyio.sleep(1)
    assert (world.asked(), world.feed.open) == (set(NAMES), len(NAMES))


async def test_a_shard_that_comes_back_while_a_watch_of_it_is_asked_is_not_polled_twice_as_often(world: World) -> None:
    (one, *_) = MINE
    await world.follow(one)
    world.transport.script(one, log_of(one, "sent", takes=1.1))
    async with turning(*world.loops):
        await anyio.sleep(1)
        world.take([])
        world.take(OURS)
        world.sharing.answers = anyio.Event()
        async with anyio.create_task_group() as gaining:
            gaining.start_soon(world.feed.gain, OURS)
            await anyio.sleep(1)  # its poll is over by now
            world.sharing.answers.set()
        assert world.feed.open == 1
        await anyio.sleep(600)
    assert world.feed.open == 1


async def had_by_others(world: World, uid: str) -> None:
    """Lose all shards, have another worker see that a watch is well and its message delivered, and have them again."""
    world.take([])
    watch = await world.store.watch(uid)
    assert watch is not None
    await world.store.commit([a_step(replace(watch, trouble=None), status="delivered")])
    world.take(OURS, epoch=3)
    await world.feed.gain(OURS)


async def known_of(world: World, uid: str) -> tuple[int, str]:
    watch = await world.store.watch(uid)
    assert watch is not None
    assert watch.snapshot is not None
    return watch.sequence, watch.snapshot.status


async def test_an_answer_that_was_asked_for_before_others_had_the_watch_is_not_recorded(world: World) -> None:
    (one, *_) = MINE
    await world.follow(one)
    world.transport.script(one, log_of(one, "sent"), log_of(one, "scheduled", takes=10), Answer(404))
    async with turning(*world.loops):
        await anyio.sleep(3)
        before, _ = await known_of(world, f"uid-{one}")
        await had_by_others(world, f"uid-{one}")
        await anyio.sleep(12)
        assert await known_of(world, f"uid-{one}") == (before + 1, "delivered")
        assert (world.feed.open, len(world.transport.sent)) == (1, 3)


async def test_bytes_that_are_known_here_may_be_news_after_others_had_the_watch(world: World) -> None:
    (one, *_) = MINE
    await world.follow(one)
    world.transport.script(one, log_of(one, "sent"), log_of(one, "sent", takes=10), log_of(one, "sent"))
    async with turning(*world.loops):
        await anyio.sleep(3)
        before, status = await known_of(world, f"uid-{one}")
        await had_by_others(world, f"uid-{one}")
        await anyio.sleep(70)
        after, again = await known_of(world, f"uid-{one}")
        assert (after > before + 1, again) == (True, status)


async def test_a_recovery_that_others_told_while_a_watch_is_asked_is_not_told_again(world: World) -> None:
    (one, *_) = MINE
    await world.follow(one)
    sent = log_of(one, "sent")
    world.transport.script(one, sent, Answer(400), log_of(one, "sent", takes=10), sent)
    async with turning(*world.loops):
        with capture_logs() as logs:
            await anyio.sleep(68)
            assert "watch.trouble" in {line["event"] for line in logs}
        assert world.transport.in_flight[one] == 1
        await had_by_others(world, f"uid-{one}")
        with capture_logs() as logs:
            await anyio.sleep(120)
        assert {"watch.trouble", "watch.recovered"}.isdisjoint(line["event"] for line in logs)
    assert len(world.transport.sent) > 4


async def test_what_is_cancelled_while_it_is_asked_and_then_handed_over_is_counted_off_once(world: World) -> None:
    one, other, *_ = MINE
    await world.follow(one, other)
    world.transport.script(one, log_of(one, "sent", takes=10))
    async with turning(*world.loops):
        await anyio.sleep(1)
        await cancel(world.store, one)
        await anyio.sleep(1)
        world.take([])
        await anyio.sleep(15)
    assert world.pollers["d7"].open.total() == 0


async def test_what_expires_while_its_shard_goes_and_comes_back_is_asked_once_at_a_time(world: World) -> None:
    names = MINE[:6]
    await world.follow(*names, deadline=timedelta(seconds=60))
    world.transport._otherwise = lambda _: Answer(429, headers={"retry-after": "70"})
    async with turning(*world.loops):
        await anyio.sleep(58)
        world.sharing.slow["watch"] = 1.0
        while not world.sharing.calls["commit"]:
            await anyio.sleep(0.1)
        await anyio.sleep(0.2)
        world.take([])
        world.take(OURS)
        await world.feed.gain(OURS)
        world.sharing.fail("commit", times=3)
        await anyio.sleep(69 - (world.clock.monotonic() - EPOCH))
        world.sharing.slow.clear()
        world.transport._otherwise = lambda request: log_of(request.url.rpartition("/")[2], "sent", takes=3)
        await anyio.sleep(60)
    assert (world.feed.open, world.pollers["d7"].open.total()) == (0, 0)
