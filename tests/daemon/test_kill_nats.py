"""kill -9 while requests come from a NATS stream: each becomes a watch, and one only."""

import random
from collections import Counter
from pathlib import Path

import anyio
import orjson
import pytest
from nats.js import JetStreamContext
from nats_server import SUBJECT, serving
from running import stage, stop
from scale import IS_LONG, scaled

from watcher.stores.sqlite_records import SqliteRecords

REQUESTS = scaled(1_000, long=10_000)
AT_ONCE = 100
KILLS = scaled(3, long=10)
# Its watches are asked for about never: this is a test of what comes in.
CONFIG = """
[sources.queue]
type = "nats"
servers = ["{url}"]

[providers.quiet]
type = "d7"
base_url = "http://127.0.0.1:9"
token = "literal"
rate = 0.001
burst = 1
"""


async def write(streams: JetStreamContext) -> None:
    """Publish all requests, some at a time."""
    for first in range(0, REQUESTS, AT_ONCE):
        for number in range(first, first + AT_ONCE):
            request = {"id": f"order-{number}", "provider": "quiet", "params": {"request_id": f"op-{number}"}}
            await streams.publish_async(SUBJECT, orjson.dumps(request))
        await streams.publish_async_completed()
        await anyio.sleep(0.08)


async def progress(streams: JetStreamContext) -> tuple[int, int]:
    """Return how many requests the daemon was given so far, and how many of them it has not let go of."""
    consumer = await streams.consumer_info("WATCHER", "watcher")
    return consumer.delivered.stream_seq, consumer.num_ack_pending


@pytest.mark.timeout(60)
async def test_each_request_is_taken_in_once_while_the_daemon_is_killed_again_and_again(
    tmp_path: Path,
) -> None:
    dice = random.Random(20261123)
    held = []
    async with (
        serving(tmp_path) as server,
        server.client() as streams,
        stage(tmp_path, extra=CONFIG.format(url=server.url)) as world,
        anyio.create_task_group() as tasks,
    ):
        await streams.add_stream(name="WATCHER", subjects=[SUBJECT])
        # What a dead daemon held comes again after a second, and not after half a minute.
        await streams.add_consumer("WATCHER", durable_name="watcher", filter_subject=SUBJECT, ack_wait=1)
        tasks.start_soon(write, streams)
        for _ in range(KILLS):
            before, _ = await progress(streams)
            async with world.daemon(is_ready=False) as process:
                with anyio.fail_after(10):
                    while (await progress(streams))[0] < min(before + 300, REQUESTS):
                        await anyio.sleep(0.002)
                await anyio.sleep(dice.uniform(0, 0.1))  # the moment of death is the point
                process.kill()
                await process.wait()
            held.append((await progress(streams))[1])
        async with world.daemon() as process:
            with anyio.fail_after(20):
                while await progress(streams) != (REQUESTS, 0):
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
