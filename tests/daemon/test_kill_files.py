"""kill -9 while requests come from a file and from a folder: each becomes a watch, and one only."""

import random
from collections import Counter
from pathlib import Path

import anyio
import orjson
import pytest
from running import Stage, stage, stop
from scale import scaled

from watcher.stores.sqlite_records import SqliteRecords

REQUESTS = scaled(1_000, long=10_000)  # each way
EACH = 5  # in one file of the folder
AT_ONCE = 100
KILLS = scaled(3, long=10)
# Its watches are asked for about never: this is a test of what comes in.
CONFIG = """
[sources.spool]
type = "directory"
path = "spool"

[providers.quiet]
type = "d7"
base_url = "http://127.0.0.1:9"
token = "literal"
rate = 0.001
burst = 1
"""


def request(id: str) -> dict[str, object]:
    return {"id": id, "provider": "quiet", "params": {"request_id": id}}


async def write(world: Stage, spool: Path) -> None:
    """Write all requests, some at a time."""
    for first in range(0, REQUESTS, AT_ONCE):
        world.ask_for(*(request(f"line-{number}") for number in range(first, first + AT_ONCE)))
        for start in range(first, first + AT_ONCE, EACH):
            requests = [request(f"file-{number}") for number in range(start, start + EACH)]
            (spool / f"{start}.jsonl").write_bytes(b"\n".join(map(orjson.dumps, requests)))
        await anyio.sleep(0.1)


def moved(spool: Path) -> int:
    """Count the files that the daemon is done with."""
    return len(list(spool.glob("done/*")))


@pytest.mark.timeout(90)
async def test_each_request_is_taken_in_once_either_way_while_the_daemon_is_killed_again_and_again(
    tmp_path: Path,
) -> None:
    dice = random.Random(20261123)
    spool = tmp_path / "spool"
    spool.mkdir()
    async with stage(tmp_path, extra=CONFIG) as world, anyio.create_task_group() as tasks:
        tasks.start_soon(write, world, spool)
        for _ in range(KILLS):
            before = moved(spool)
            async with world.daemon(is_ready=False) as process:
                with anyio.fail_after(20):
                    while moved(spool) < min(before + 1, REQUESTS // EACH):
                        await anyio.sleep(0.01)
                await anyio.sleep(dice.uniform(0, 0.1))  # the moment of death is the point
                process.kill()
                await process.wait()
        async with world.daemon() as process:
            records = await SqliteRecords.open(tmp_path / "watcher.db")
            with anyio.fail_after(30):
                while list(spool.glob("*.jsonl")) or sum((await records.overview()).watches.values()) < 2 * REQUESTS:
                    await anyio.sleep(0.1)
            assert await stop(process) == 0
        told = Counter(f"{line['source']} {line['result']}" for line in world.lines("request.accepted"))

    watches = await records.watches(limit=2 * REQUESTS + 1)
    rejected = await records.rejected()
    await records.close()
    print(f"{REQUESTS} requests each way, {KILLS} kills; told: {dict(told)}")  # noqa: T201
    expected = [f"{way}-{number}" for way in ("line", "file") for number in range(REQUESTS)]
    assert sorted(row.watch.id for row in watches) == sorted(expected)
    assert rejected == []
    assert sorted(path.name for path in (spool / "done").iterdir()) == sorted(
        f"{start}.jsonl" for start in range(0, REQUESTS, EACH)
    )
