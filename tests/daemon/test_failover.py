"""Several workers share one PostgreSQL: whatever becomes of one of them, the others go on where it was."""

import signal
import time
from collections.abc import AsyncIterator, Iterator
from math import inf
from pathlib import Path

import anyio
import pytest
import pytest_asyncio
from anyio.to_thread import run_sync
from fleet import Fleet, fleet, until
from histories import Moody, Visit
from postgres_server import FAST, PostgresServer
from wire import wired

from watcher.demo.pretend import Reply

WATCHES = 12
AT_ONCE = 1.0  # seconds; less than any lease here
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of our own, because it is restarted."""
    server = PostgresServer(*FAST)
    server.start()
    yield server
    server.remove()


@pytest_asyncio.fixture
async def world(tmp_path: Path, server: PostgresServer) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path, server) as world:
        yield world


async def begin(world: Fleet, *names: str) -> None:
    """Start workers, let the first one take watches in, and wait until all have their share and are at work."""
    async with anyio.create_task_group() as starting:
        for name in names:
            starting.start_soon(world.start, name)
    world.ask_for(WATCHES, of=world.workers[names[0]])
    await world.until_shared(*names)
    await until(lambda: world.hook.changes.keys() == set(world.watches))


async def test_whatever_becomes_of_a_worker_its_watches_are_polled_by_the_others(world: Fleet) -> None:
    await begin(world, "one", "two", "three")
    one, two = world.workers["one"], world.workers["two"]
    world.provider.to.lag["two"] = world.hook.to.lag["two"] = 0.4  # so that something is in flight at any time
    await anyio.sleep(0.5)
    two.signal(signal.SIGSTOP)
    await one.kill()
    assert await world.all_polled(by="three") < world.lease + 2
    assert await world.shares() == {"three": 256}

    two.signal(signal.SIGCONT)  # what it writes of what it believes to hold would be told, and is complained of below
    await world.until_logged(two, "lease.lost")
    world.provider.to.relent()
    world.hook.to.relent()
    await world.start("one")
    assert await world.until_shared("one", "two", "three") < 2 * world.lease

    assert await two.drain() == 0
    assert await world.until_shared("one", "three") < AT_ONCE
    await world.all_polled()
    await world.finish()
    lost = [(line["shards"], line["error"]) for line in two.lines("lease.lost")]
    assert (85, "another worker has taken them over") in lost
    assert await world.complaints() == []


async def test_a_worker_that_is_cut_off_from_postgresql_stops_before_the_others_begin(world: Fleet) -> None:
    async with wired(world.server.port) as wire:
        await begin(world, "one")
        two = await world.start("two", through=wire.port)
        await world.until_shared("one", "two")
        theirs = [watch for watch in world.watches if await world.owner(watch) is two]
        world.provider.still = True  # so that polls need no database
        await anyio.sleep(0.5)
        wire.cut()
        cut_at = time.monotonic()
        assert await world.all_polled(by="one") < world.lease + 2
        polls = [visit for visit in world.provider.to.between(cut_at, inf) if visit.watch in theirs]
        wire.mend()
        world.provider.still = False
        await world.until_logged(two, "lease.lost")
        await world.until_shared("one", "two")
        await world.finish()
    workers = [visit.worker for visit in polls]
    assert workers == sorted(workers, reverse=True)  # first all of "two", then all of "one"
    assert await world.complaints() == []


async def test_no_change_is_missed_where_postgresql_is_restarted_or_its_connections_are_cut(world: Fleet) -> None:
    await begin(world, "one", "two")
    await run_sync(world.server.stop)
    await run_sync(world.server.start)
    await world.all_polled()
    for _ in range(3):
        await world.cut_connections()
        await anyio.sleep(0.2)
    await world.all_polled()
    await world.finish()
    assert await world.complaints() == []


async def test_what_one_worker_is_told_of_a_pause_or_of_an_end_holds_for_all(world: Fleet) -> None:
    async def tell(side: Moody, reply: Reply, *, logged: str, seconds: float) -> list[Visit]:
        """Let one worker be told, and return who comes after everybody must have heard of it."""
        side.tell("two", reply)
        await world.until_logged(world.workers["two"], logged)
        began = time.monotonic()
        side.relent()
        await anyio.sleep(seconds)
        return side.between(began + AT_ONCE, began + seconds)

    await begin(world, "one", "two")
    pause = Reply(429, headers={"Retry-After": "2"})
    assert await tell(world.hook.to, pause, logged="endpoint.paused", seconds=1.8) == []
    assert await tell(world.provider.to, pause, logged="provider.throttled", seconds=1.8) == []
    assert await tell(world.hook.to, Reply(410), logged="endpoint.disabled", seconds=1.8) == []
    await world.workers["one"].call("webhook", "enable", "ops")
    await world.finish()
    assert await world.complaints() == []


async def test_who_starts_while_postgresql_is_down_ends_and_says_why(world: Fleet) -> None:
    await run_sync(world.server.stop)
    one = await world.start("one", is_ready=False)
    with anyio.fail_after(10):
        status = await one.process.wait()
    await run_sync(world.server.start)
    last = one.lines()[-1]
    reason = f"PostgreSQL at {world.server.folder}/{world.name} cannot be reached: No such file or directory"
    assert (status, last["event"], last["error"]) == (1, "daemon.stopped", reason)


async def test_the_owner_carries_out_within_a_second_what_is_wanted_at_any_worker(world: Fleet) -> None:
    await begin(world, "one", "two")
    one, two = world.workers["one"], world.workers["two"]
    owners = {watch: await world.owner(watch) for watch in world.watches}
    for owner, other in ((one, two), (two, one)):
        mine = next(watch for watch in world.watches if owners[watch] is owner)
        assert await other.call("cancel", mine) == f"{mine}  cancelled\n"
        await world.until_logged(owner, "watch.finished", within=AT_ONCE)
        assert [line["watch"] for line in owner.lines("watch.finished")] == [mine]
        assert f"{mine:<8}  status    cancelled" in await owner.call("list")
    assert "daemon: workers one, two" in await one.call("status")

    await one.call("webhook", "disable", "ops")
    await anyio.sleep(AT_ONCE)
    before, number = {told for post in world.hook.posts for told in post.of_watches}, len(world.hook.posts)
    await anyio.sleep(0.5)
    assert len(world.hook.posts) == number
    await two.call("webhook", "enable", "ops")
    await two.call("replay", "--webhook", "ops", "--since", "1h")
    await until(lambda: {told for post in world.hook.posts[number:] for told in post.of_watches} >= before)
    again = {post.headers["x-worker"] for post in world.hook.posts[number:] if before.issuperset(post.of_watches)}
    assert (again, world.hook.complaints) == ({"one", "two"}, [])
