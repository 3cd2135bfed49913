"""Unchanged polls a second, against a bare aiohttp GET loop of the same concurrency on the same event loop."""

import aiohttp
import anyio

from bench.counted import Counted
from bench.world import store_of
from watcher.clock import SystemClock
from watcher.core.model import Condition
from watcher.poll import Poller
from watcher.providers.d7 import D7
from watcher.record import Recorder
from watcher.transport import open_transport

CONCURRENCY = 64
WATCHES = 2000
SECONDS = 4.0


async def bare(url: str) -> float:
    """Return GETs a second of a loop that does nothing else."""
    done = 0

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while True:
            async with session.get(f"{url}/report/v1/message-log/r") as answer:
                await answer.read()
            done += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        with anyio.move_on_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                for _ in range(CONCURRENCY):
                    tasks.start_soon(ask, session)
    return done / SECONDS


async def ours(url: str) -> float:
    """Return unchanged polls a second of a `Poller` with as many workers."""
    provider = D7.model_validate(
        {"type": "d7", "token": "t", "base_url": url, "rate": 1e9, "burst": 10**9, "concurrency": CONCURRENCY}
        | {"poll": {"min": "1ms", "max": "1ms"}}
    )
    async with store_of(WATCHES) as store, open_transport() as transport:
        recorder = Recorder(store=store, webhooks={}, wake=lambda _: None)
        counted = Counted(transport)
        poller = Poller(
            "d7",
            provider,
            condition=Condition("d7", uid="bench"),
            store=store,
            recorder=recorder,
            transport=counted,
            clock=SystemClock(),
        )
        for opened in await store.load(after=0, limit=WATCHES):
            poller.add(opened)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poller.run)
            while counted.sent < 2 * WATCHES:  # by then each was seen, and its digest is known
                await anyio.sleep(0.1)
            before = counted.sent
            await anyio.sleep(SECONDS)
            rate = (counted.sent - before) / SECONDS
            tasks.cancel_scope.cancel()
    return rate
