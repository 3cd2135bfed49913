"""What can go wrong around a daemon: each lasts as long as its block, and is mended at its end."""

import random
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TypeAlias

import anyio
from anyio.to_thread import run_sync

from chaos.world import NAMES, World
from watcher.demo.pretend import Reply

HOUR = 3600.0
LOCKED_FOR = 12.0  # longer than SQLite waits
CHUNK = bytes(1 << 20)

Fault: TypeAlias = Callable[[World], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def meanwhile(work: Callable[[], Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Do something over and over while the block lasts."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        yield
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def provider_flaps(world: World) -> AsyncIterator[None]:
    async def flap() -> None:
        while True:
            for mood in (Reply(503), None, Reply(200, b"<html>"), None, Reply(429, headers={"Retry-After": "1"}), None):
                world.provider.mood = mood
                await anyio.sleep(random.uniform(0.2, 1.0))

    async with meanwhile(flap):
        yield
    world.provider.mood = None


@asynccontextmanager
async def provider_is_slow(world: World) -> AsyncIterator[None]:
    async def drag() -> None:
        while True:
            world.provider.delay = random.choice((0.5, 1.5, 3.0))  # and sometimes slower than anybody waits
            await anyio.sleep(0.5)

    async with meanwhile(drag):
        yield
    world.provider.delay = 0.0


@asynccontextmanager
async def names_are_gone(world: World) -> AsyncIterator[None]:
    world.names.write_text("127.0.0.1 localhost\n")
    world.provider.hangs_up = world.hook.hangs_up = True
    yield
    world.provider.hangs_up = world.hook.hangs_up = False
    world.names.write_text(NAMES)


@asynccontextmanager
async def webhook_hangs(world: World) -> AsyncIterator[None]:
    world.hook.free = anyio.Event()
    yield
    world.hook.free.set()


@asynccontextmanager
async def disk_is_full(world: World) -> AsyncIterator[None]:
    ballast = world.disk / "ballast"

    def fill() -> None:
        with ballast.open("ab", buffering=0) as file:
            for size in (len(CHUNK), 4096, 1):
                with suppress(OSError):
                    while file.write(CHUNK[:size]):
                        pass

    async def keep_full() -> None:
        while True:
            await run_sync(fill)
            await anyio.sleep(0.1)

    async with meanwhile(keep_full):
        yield
    ballast.unlink(missing_ok=True)


@asynccontextmanager
async def database_is_locked(world: World) -> AsyncIterator[None]:
    def lock(database: sqlite3.Connection) -> None:
        with suppress(sqlite3.OperationalError):
            database.execute("BEGIN IMMEDIATE")

    async def keep_locked() -> None:
        database = sqlite3.connect(world.database, check_same_thread=False, isolation_level=None, timeout=5)
        try:
            while True:
                await run_sync(lock, database)
                await anyio.sleep(LOCKED_FOR)
                if database.in_transaction:
                    database.execute("ROLLBACK")
                await anyio.sleep(0.5)
        finally:
            database.close()

    async with meanwhile(keep_locked):
        yield


@asynccontextmanager
async def clock_is_stepped(world: World) -> AsyncIterator[None]:
    async def step() -> None:
        while True:
            for offset in (HOUR, 0.0, -HOUR, HOUR, -HOUR, 0.0):
                world.shared.offset = offset
                await anyio.sleep(0.7)

    async with meanwhile(step):
        yield
    world.shared.offset = 0.0


@asynccontextmanager
async def handles_are_exhausted(world: World) -> AsyncIterator[None]:
    async def exhaust() -> None:
        while True:
            with suppress(ProcessLookupError):
                world.limit_handles(3)
            world.provider.hangs_up = world.hook.hangs_up = True  # or what is open would do
            await anyio.sleep(0.2)

    async with meanwhile(exhaust):
        yield
    world.provider.hangs_up = world.hook.hangs_up = False
    with suppress(ProcessLookupError):
        world.limit_handles(None)


@asynccontextmanager
async def it_is_killed(world: World) -> AsyncIterator[None]:
    async def kill() -> None:
        while True:
            await anyio.sleep(random.uniform(0.5, 3.0))
            with suppress(ProcessLookupError):
                world.signal(signal.SIGKILL)

    async with meanwhile(kill):
        yield


FAULTS: dict[str, Fault] = {
    "provider flaps": provider_flaps,
    "provider is slow": provider_is_slow,
    "names are gone": names_are_gone,
    "webhook hangs": webhook_hangs,
    "disk is full": disk_is_full,
    "database is locked": database_is_locked,
    "clock is stepped": clock_is_stepped,
    "handles are exhausted": handles_are_exhausted,
    "it is killed": it_is_killed,
}


@asynccontextmanager
async def all_at_once(world: World) -> AsyncIterator[None]:
    """Each comes and goes, so that any of them meet."""
    over = anyio.Event()

    async def come_and_go(fault: Fault) -> None:
        while not over.is_set():
            with anyio.move_on_after(random.uniform(0.0, 3.0)):
                await over.wait()
            async with fault(world):
                with anyio.move_on_after(random.uniform(1.0, 4.0)):
                    await over.wait()

    async with anyio.create_task_group() as tasks:
        for fault in FAULTS.values():
            tasks.start_soon(come_and_go, fault)
        yield
        over.set()
