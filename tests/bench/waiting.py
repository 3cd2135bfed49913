"""A million deliveries wait, and new events do not: how soon they are sent, and what memory the million takes.

Twice: at a webhook that is dead, beside one that lives; and at one that lives and works through them, in 1,000 lanes.
Each measurement is a process of its own; its memory is compared with that of one where nothing waits. The log is as in
production, and goes to /dev/null.
"""

import multiprocessing
import re
import sqlite3
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from bench.deliveries import SECRET
from bench.latency import first_bytes, pumping, tell_evenly
from bench.logged import logged
from bench.noting import noting
from watcher.core.lifecycle import begin
from watcher.core.model import Watch
from watcher.core.request import WatchRequest
from watcher.core.rows import Arrival
from watcher.stores.sqlite import SqliteStore

WAITING = 1_000_000
SECONDS = 10
RATE = 100  # new events a second, each of another watch
DEAD = "http://127.0.0.1:9"  # where nobody listens

WATCHES = """
    WITH RECURSIVE lanes (lane) AS (SELECT 1 UNION ALL SELECT lane + 1 FROM lanes WHERE lane < :lanes)
    INSERT INTO watches (uid, id, provider, params, labels, submitted_at, accepted_at, deadline, deadline_at)
    SELECT 'uid-' || lane, 'waiting-' || lane, 'd7', '{}', '{}', :now, :now, 0, :now FROM lanes
"""
EVENTS = """
    WITH RECURSIVE numbers (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number < :waiting - 1)
    INSERT INTO events (id, watch, sequence, type, at, body)
    SELECT printf('evt_%032d', number), number % :lanes + 1, number / :lanes + 1, 'watch.status.changed', :now,
        CAST(printf('{"type":"watch.status.changed","data":{"watch":"waiting-%d","detail":"%s"}}',
            number % :lanes + 1, hex(zeroblob(200))) AS BLOB)
    FROM numbers
"""
DELIVERIES = """
    INSERT INTO deliveries (webhook, event, watch, place, due_at, loose, head)
    SELECT :webhook, cursor, watch, cursor << 20, at, 0, sequence = 1 FROM events
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one measurement found: seconds from commit to first byte, and the most memory of the process, in MB."""

    waits: list[float]
    memory: float
    opened: float

    def __str__(self) -> str:
        percentiles = statistics.quantiles(self.waits, n=100)
        p50, p99 = percentiles[49] * 1000, percentiles[98] * 1000
        return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {self.memory:.0f} MB, opened in {self.opened * 1000:.0f} ms"


def fill(path: Path, *, lanes: int, waiting: int) -> None:
    """Let so many deliveries wait for the webhook `many`."""
    anyio.run(opened_once, path)
    db = sqlite3.connect(path)
    values = {"lanes": lanes, "waiting": waiting, "webhook": "many", "now": time.time_ns() // 1000}
    with db:
        for statement in (WATCHES, EVENTS, DELIVERIES) if waiting else ():
            db.execute(statement, values)
    db.close()


async def opened_once(path: Path) -> None:
    """Make the file."""
    await (await SqliteStore.open(path)).close()


async def fresh(store: SqliteStore) -> list[Watch]:
    """Store the watches that will have news, and return them as their owner has them."""
    requests = [WatchRequest(provider="d7", params={"request_id": f"new-{n}"}) for n in range(RATE * SECONDS)]
    now, deadline = datetime.now(UTC), timedelta(days=3)
    made = [begin(one, uid=f"uid of {one.watch_id}", now=now, deadline=deadline) for one in requests]
    await store.add([Arrival("bench", watch.id, b"", watch=watch) for watch in made])
    return [watch for one in made if (watch := await store.watch(one.uid))]


async def run(path: Path, *, urls: Mapping[str, str], to: str, receiver: str) -> Figures:
    """Open the store, and tell one webhook what is new."""
    began = time.monotonic()
    store = await SqliteStore.open(path)
    await store.lease()
    async with pumping(store, urls) as pumps:
        opened = time.monotonic() - began
        committed = await tell_evenly(store, await fresh(store), pumps=pumps, to=[to], rate=RATE)
        waits = await first_bytes(receiver, committed, to=[to])
    await store.close()
    status = Path("/proc/self/status").read_text()  # noqa: ASYNC240  # nothing else runs any more
    return Figures(waits, int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1000, opened)


def in_child(path: Path, urls: Mapping[str, str], to: str, receiver: str, results: Connection) -> None:
    """Measure once."""
    with logged(SECRET):
        figures = anyio.run(
            lambda: run(path, urls=urls, to=to, receiver=receiver), backend_options={"use_uvloop": True}
        )
    results.send(figures)


def measure(*, lanes: int, waiting: int, many: str | None, to: str) -> tuple[Figures, float]:
    """Measure in a process of its own; return what it found, and how long it took to make what waits."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    with TemporaryDirectory() as folder, noting() as url:
        path, began = Path(folder, "watcher.db"), time.monotonic()
        fill(path, lanes=lanes, waiting=waiting)
        took = time.monotonic() - began
        urls = {"many": many or f"{url}/many"} | ({"one": f"{url}/one"} if to == "one" else {})
        child = spawn.Process(target=in_child, args=(path, urls, to, url, theirs))
        child.start()
        figures: Figures = ours.recv()
        child.join()
    return figures, took


def main() -> None:
    """Print what was found."""
    empty, _ = measure(lanes=1, waiting=0, many=None, to="one")
    print(f"{'nothing waits':<46}{empty}", flush=True)
    for name, lanes, many, to in (
        (f"{WAITING:,} at a dead webhook beside it", 100_000, DEAD, "one"),
        (f"{WAITING:,} in 1,000 lanes of the same webhook", 1_000, None, "many"),
    ):
        figures, took = measure(lanes=lanes, waiting=WAITING, many=many, to=to)
        more = figures.memory - empty.memory
        print(f"{name:<46}{figures} ({more:+.0f} MB; the million was made in {took:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
