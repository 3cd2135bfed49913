"""Unchanged polls a second, against a bare aiohttp GET loop with the same event loop, concurrency and timeout."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anyio

from bench.counted import Counted
from bench.world import store_of
from watcher.clock import SystemClock
from watcher.core.model import Condition
from watcher.poll import Poller
from watcher.ports import Transport
from watcher.providers.d7 import D7
from watcher.record import Recorder
from watcher.transport import open_transport

CONCURRENCY = 64
WATCHES = 2000
SECONDS = 4.0
HEADERS = {"Accept": "application/json", "Authorization": "Bearer t"}  # what a poll of ours carries


async def bare(url: str) -> float:
    """Return GETs a second of a loop that does nothing else."""
    done = 0

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while True:
            async with session.get(f"{url}/report/v1/message-log/r", headers=HEADERS) as answer:
                await answer.read()
            done += 1

    timeout = aiohttp.ClientTimeout(total=15)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        with anyio.move_on_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                for _ in range(CONCURRENCY):
                    tasks.start_soon(ask, session)
    return done / SECONDS


def section(url: str) -> D7:
    """Return an account without limits, whose watches are always due."""
    return D7.model_validate(
        {"type": "d7", "token": "t", "base_url": url, "rate": 1e9, "burst": 10**9, "concurrency": CONCURRENCY}
        | {"poll": {"min": "1ms", "max": "1ms"}}
    )


@asynccontextmanager
async def polling(url: str, *, transport: Transport) -> AsyncIterator[Poller]:
    """Make a `Poller` that has watches to ask for."""
    async with store_of(WATCHES) as store:
        poller = Poller(
            "d7",
            section(url),
            condition=Condition("d7", uid="bench"),
            store=store,
            recorder=Recorder(store=store, webhooks={}, wake=lambda _: None),
            transport=transport,
            clock=SystemClock(),
        )
        for opened in await store.load(after=0, limit=WATCHES):
            poller.add(opened)
        yield poller


async def ours(url: str) -> float:
    """Return unchanged polls a second of a `Poller` with as many workers."""
    async with open_transport() as transport:
        counted = Counted(transport)
        async with polling(url, transport=counted) as poller, anyio.create_task_group() as tasks:
            tasks.start_soon(poller.run)
            while counted.sent < 2 * WATCHES:  # by then each was seen, and its digest is known
                await anyio.sleep(0.1)
            before = counted.sent
            await anyio.sleep(SECONDS)
            rate = (counted.sent - before) / SECONDS
            tasks.cancel_scope.cancel()
    return rate
