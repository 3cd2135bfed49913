"""kill -9 while requests come from a Redis stream: each becomes a watch, and one only."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import orjson
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis_server import RedisServer, redis_server
from running import stage, stop
from scale import IS_LONG, scaled

from watcher.stores.sqlite_records import SqliteRecords

REQUESTS = scaled(1_000, long=10_000)
AT_ONCE = 100
KILLS = scaled(3, long=10)
STREAM, GROUP = "watcher:requests", "watcher"
# Its watches are asked for about never: this is a test of what comes in.
CONFIG = """
[sources.queue]
type = "redis"
url = "redis://127.0.0.1:{port}"
consumer = "one"

[providers.quiet]
type = "d7"
base_url = "http://127.0.0.1:9"
token = "literal"
rate = 0.001
burst = 1
"""


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path) as server:
        yield server


async def write(client: Redis, *, every: float) -> None:
    """Write all requests, some at a time."""
    for first in range(0, REQUESTS, AT_ONCE):
        async with client.pipeline(transaction=False) as pipeline:
            for number in range(first, first + AT_ONCE):
                request = {"id": f"order-{number}", "provider": "quiet", "params": {"request_id": f"op-{number}"}}
                pipeline.xadd(STREAM, {"request": orjson.dumps(request)}, id=f"1-{number + 1}")
            await pipeline.execute()
        await anyio.sleep(every)


async def progress(client: Redis) -> tuple[int, int]:
    """Return how many entries the group was given so far, and how many of them it has not let go of."""
    if not await client.exists(STREAM):
        return 0, 0
    groups = await client.xinfo_groups(STREAM)
    return (int(groups[0]["last-delivered-id"].partition("-")[2]), groups[0]["pending"]) if groups else (0, 0)


async def given(client: Redis, number: int) -> None:
    """Wait until the group was given so many entries."""
    while (await progress(client))[0] < number:
        await anyio.sleep(0.002)


@pytest.mark.timeout(60)
async def test_each_request_is_taken_in_once_while_the_daemon_is_killed_again_and_again(
    tmp_path: Path, server: RedisServer
) -> None:
    dice = random.Random(20261123)
    held = []
    config = CONFIG.format(port=server.port)
    async with stage(tmp_path, extra=config) as world, server.client() as client, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(write, client, every=0.08))
        for _ in range(KILLS):
            before, _ = await progress(client)
            async with world.daemon(is_ready=False) as process:
                with anyio.fail_after(10):
                    await given(client, min(before + 300, REQUESTS))
                await anyio.sleep(dice.uniform(0, 0.1))  # the moment of death is the point
                process.kill()
                await process.wait()
            held.append((await progress(client))[1])
        async with world.daemon() as process:
            with anyio.fail_after(20):
                while await progress(client) != (REQUESTS, 0):
                    await anyio.sleep(0.02)
            assert await stop(process) == 0
        results = Counter(line["result"] for line in world.lines("request.accepted"))

    records = await SqliteRecords.open(tmp_path / "watcher.db")
    watches = await records.watches(limit=REQUESTS + 1)
    rejected = await records.rejected()
    await records.close()
    print(f"{REQUESTS} requests, {KILLS} kills; held when killed: {held}; told: {dict(results)}")  # noqa: T201
    assert sorted(row.watch.id for row in watches) == sorted(f"order-{number}" for number in range(REQUESTS))
    assert rejected == []
    assert sum(held) > 0 or not IS_LONG, "no kill came while requests were on their way"
