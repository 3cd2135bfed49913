"""Requests a second from a Redis stream to durable, against a bare loop that reads and acknowledges the same ones."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from redis.asyncio import Redis
from redis_server import RedisServer, redis_server
from virtual import VirtualClock

from bench.world import store_of
from watcher.bell import Bell
from watcher.intake import Desk, Intake
from watcher.ports import Batch
from watcher.providers.d7 import D7
from watcher.sources.redis_address import Address
from watcher.sources.redis_stream import RedisSource

REQUESTS = 20_000
COUNT = 500
STREAM, GROUP = "watcher:requests", "watcher"
REQUEST = '{"id": "order-%d", "provider": "d7", "params": {"request_id": "9d056a09-0fc4-4f68-9058-%012d"}}'


class Finite(RedisSource):
    """Ends when all requests are acknowledged."""

    left = REQUESTS

    async def receive(self) -> Batch | None:
        """Wait for the next entries, if there are any more."""
        return await super().receive() if self.left else None

    async def acknowledge(self, batch: Batch, *, refused: Mapping[int, str]) -> None:
        """Count what is done."""
        await super().acknowledge(batch, refused=refused)
        self.left -= len(batch.items)


@asynccontextmanager
async def filled() -> AsyncIterator[RedisServer]:
    """Start a server with all the requests in its stream."""
    with TemporaryDirectory() as folder:
        async with redis_server(Path(folder)) as server:
            async with server.client() as client, client.pipeline(transaction=False) as pipeline:
                for number in range(REQUESTS):
                    pipeline.xadd(STREAM, {"request": REQUEST % (number, number)})
                await pipeline.execute()
            yield server


async def bare(_url: str) -> float:
    """Return entries a second of redis-py alone."""
    async with filled() as server, Redis(port=server.port, protocol=2) as client:
        await client.xgroup_create(STREAM, GROUP, id="0")
        began, left = time.monotonic(), REQUESTS
        while left:
            reply = await client.xreadgroup(GROUP, "one", {STREAM: ">"}, count=COUNT)
            assert isinstance(reply, list)
            ids = [entry for entry, _ in reply[0][1]]
            await client.xack(STREAM, GROUP, *ids)
            left -= len(ids)
        return REQUESTS / (time.monotonic() - began)


async def ours(_url: str) -> float:
    """Return requests a second through source, intake and store; each is on disk before it is acknowledged."""
    async with filled() as server, store_of(0) as store:
        source = Finite(Address.read(server.url), stream=STREAM, group=GROUP, consumer="one")
        desk = Desk({"d7": D7.model_validate({"type": "d7", "token": "a-token"})}, frozenset(), VirtualClock())
        began = time.monotonic()
        await Intake("queue", source, desk=desk, store=store, feed=Bell()).run()
        rate = REQUESTS / (time.monotonic() - began)
        assert len(await store.load(after=0, limit=REQUESTS + 1)) == REQUESTS
    return rate
