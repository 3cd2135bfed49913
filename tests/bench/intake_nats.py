"""Requests a second from a NATS stream to durable, against the same source read and acknowledged with no store."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import anyio
import orjson
from nats_server import SUBJECT, NatsServer, section, serving

from bench.world import store_of
from watcher.bell import Bell
from watcher.clock import SystemClock
from watcher.core.secret import Secret
from watcher.intake import Desk, Intake
from watcher.ports import Batch
from watcher.providers.d7 import D7
from watcher.sources.nats_queue import NatsSource

REQUESTS = 20_000


class Counted(NatsSource):
    """The source, with a count of what was acknowledged."""

    def __init__(self, server: NatsServer) -> None:
        super().__init__(section(server))
        self.left = REQUESTS
        self.is_done = anyio.Event()

    async def acknowledge(self, batch: Batch, *, refused: Mapping[int, str]) -> None:
        await super().acknowledge(batch, refused=refused)
        self.left -= len(batch.items)
        if self.left <= 0:
            self.is_done.set()


@asynccontextmanager
async def full() -> AsyncIterator[Counted]:
    """Open a source that has everything before it."""
    with TemporaryDirectory() as folder:
        async with serving(Path(folder)) as server:
            source = Counted(server)
            await source.open(None)
            async with server.client() as streams:
                for number in range(REQUESTS):
                    request = {"id": f"w{number}", "provider": "d7", "params": {"request_id": f"r{number}"}}
                    await streams.publish_async(SUBJECT, orjson.dumps(request))
                await streams.publish_async_completed()
            yield source
            await source.close()


async def bare(_url: str) -> float:
    """Return requests a second that are read and acknowledged."""
    async with full() as source:
        began = perf_counter()
        while source.left > 0:
            await source.acknowledge(await source.receive(), refused={})
        return REQUESTS / (perf_counter() - began)


async def ours(_url: str) -> float:
    """Return requests a second that are stored as watches before they are acknowledged."""
    desk = Desk({"d7": D7(token=Secret.literal("t"))}, frozenset(), SystemClock())
    async with full() as source, store_of(0) as store, anyio.create_task_group() as tasks:
        intake = Intake("bench", source, desk=desk, store=store, feed=Bell())
        began = perf_counter()
        tasks.start_soon(intake.run)
        await source.is_done.wait()
        rate = REQUESTS / (perf_counter() - began)
        intake.stop()
    return rate
