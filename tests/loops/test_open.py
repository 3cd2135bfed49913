"""How many watches are open: at an account, as `provider.down` tells it, and in all, as there is room for more."""

from collections.abc import Sequence
from datetime import timedelta

import anyio
import orjson
import pytest
from fakes import Silence, SpiedStore
from virtual import EPOCH, VirtualClock
from worlds import Polling, all_sent, cancel, log_of, turning

from watcher.core.errors import StoreError
from watcher.core.model import Report, Step
from watcher.core.wire import Fault, NoAnswer
from watcher.feed import Feed
from watcher.outbox import Outbox
from watcher.posting import open_posts
from watcher.record import Recorder

DOWN = Silence(NoAnswer(Fault.CONNECTION, "refused"))


@pytest.fixture
def told(store: SpiedStore, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is told of accounts as a whole, and how many watches are open there then."""
    kept, report = [], store.report

    async def overheard(one: Report) -> None:
        kept.append((one.event.type.value, orjson.loads(one.event.body)["data"]["open"]))
        await report(one)

    monkeypatch.setattr(store, "report", overheard)
    return kept


async def test_a_watch_that_ended_by_a_commit_that_only_seemed_to_fail_is_forgotten_once(
    store: SpiedStore, clock: VirtualClock, told: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, commit = Polling(store, clock), store.commit
    await world.follow("a", "b", "c", "ended")
    world.transport.script("ended", log_of("ended", "delivered"))

    async def lost(steps: Sequence[Step]) -> list[Exception | None]:
        answers = await commit(steps)
        if any(step.watch.id == "ended" for step in steps):
            raise StoreError("the disk did not say whether it is done")
        return answers

    monkeypatch.setattr(store, "commit", lost)
    async with world.polling():
        await anyio.sleep(60)
        for operation in "abc":
            world.transport.script(operation, DOWN)
        await anyio.sleep(60)

    assert world.transport.times("ended") == [0.0, 2.0, 4.0]  # again, once more in case it was cancelled, never more
    assert told == [("provider.down", 3)]


async def test_a_watch_that_is_cancelled_while_it_is_asked_is_forgotten_once(
    store: SpiedStore, clock: VirtualClock, told: list[tuple[str, int]]
) -> None:
    world = Polling(store, clock)
    await world.follow("a", "b", "c", "cancelled")
    world.transport.script("cancelled", log_of("cancelled", "sent", takes=5))
    async with turning(*world.loops):
        await anyio.sleep(2)
        await cancel(store, "cancelled")
        await anyio.sleep(58)
        for operation in "abc":
            world.transport.script(operation, DOWN)
        await anyio.sleep(60)

    assert world.transport.times("cancelled") == [0.0]
    assert told == [("provider.down", 3)]


async def test_a_watch_that_is_cancelled_while_nobody_may_ask_is_forgotten_once_though_its_deadline_passes_too(
    store: SpiedStore, clock: VirtualClock, told: list[tuple[str, int]]
) -> None:
    world = Polling(store, clock, d7={"poll": {"min": "20s", "max": "5m"}})
    await world.follow("a", "b", "c", "d")
    await world.follow("late", "cancelled", deadline=timedelta(seconds=80))
    world.transport._otherwise = lambda request: DOWN if clock.monotonic() < EPOCH + 300 else all_sent(request)
    async with turning(*world.loops):
        await anyio.sleep(60)
        await cancel(store, "cancelled")
        await anyio.sleep(600)

    assert told == [("provider.down", 6), ("provider.up", 4)]


# --- in all, with those whose sections are gone -----------------------------------------------------------------------


class Half(Polling):
    """Two sections, of which one is gone, and the watches of both."""

    def __init__(self, store: SpiedStore, clock: VirtualClock) -> None:
        super().__init__(store, clock, d7={}, gone={})
        self.gone = self.pollers["gone"]
        outbox = Outbox({}, store=store, clock=clock, agent="watcher/test", posts=open_posts)
        recorder = Recorder(store=store, webhooks={}, wake=outbox.wake)
        self.feed = Feed({"d7": self.pollers["d7"]}, store=store, recorder=recorder, outbox=outbox, clock=clock)

    async def follow_all(self, *, prefix: str = "op") -> None:
        """Store five watches of the section that is there, and seven of the one that is gone."""
        await self.follow(*(f"{prefix}-here-{number}" for number in range(5)))
        await self.follow(*(f"{prefix}-gone-{number}" for number in range(7)), provider="gone")

    async def count_anew(self) -> None:
        """Have shards change hands, and the feed look at once; return while it loads, before it counts."""
        self.feed.follow()
        self.store.slow["load"] = 0.2
        self.feed.bell.ring()
        await anyio.sleep(0.1)


async def test_watches_of_a_section_that_is_back_while_they_are_counted_are_counted_once(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Half(store, clock)
    await world.follow_all()
    async with turning(world.feed):
        await anyio.sleep(1.1)
        await world.count_anew()
        await anyio.sleep(0.2)  # between the page that it loads and the end of its count
        store.slow.clear()
        async with world.feed.feeding("gone", world.gone):
            opens = [world.feed.open]
            await anyio.sleep(5)
            world.feed.follow()
            await anyio.sleep(5)
            opens.append(world.feed.open)
        await anyio.sleep(5)
        assert [*opens, world.feed.open] == [12, 12, 12]


async def test_watches_that_come_while_those_without_a_section_are_counted_are_counted_once(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Half(store, clock)
    await world.follow_all()
    async with turning(world.feed):
        await anyio.sleep(1.1)
        await world.count_anew()
        await world.follow_all(prefix="new")  # behind what it has loaded
        await anyio.sleep(5)
        assert world.feed.open == 24


async def test_those_without_a_section_are_counted_though_the_store_failed_the_first_time(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Half(store, clock)
    await world.follow_all()
    async with turning(world.feed):
        await anyio.sleep(1)
        world.feed._unpolled["gone"].clear()  # what others have taken over meanwhile
        await world.count_anew()
        store.fail("load")
        await anyio.sleep(5)
        assert world.feed.open == 12
