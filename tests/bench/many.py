"""What a hundred thousand and a million open watches take: memory, the time until the first poll, no herd after it.

A real `watcher run` on a store that holds them, half of them seen before, against a provider that notes when it is
asked; with a rate far below what is due, for a minute.
"""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import uvloop

from bench.peer import Answering, Peer
from watcher.stores.sqlite import SqliteStore

NUMBERS = (100_000, 1_000_000)
RATE = 500
SECONDS = 60.0

CONFIG = """
[watcher]
listen = ""
state = "sqlite:watcher.db"
log = {{ format = "json" }}
[providers.d7]
type = "d7"
token = "t"
base_url = "http://127.0.0.1:{port}"
rate = {rate}
burst = 1
concurrency = 64
"""
WATCHES = """
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :many)
    INSERT INTO watches (uid, id, provider, params, labels, submitted_at, accepted_at, deadline, deadline_at,
        sequence, changed_at, status, state)
    SELECT lower(hex(randomblob(16))), 'order-' || number, 'd7',
        printf('{"request_id":"%s"}', lower(hex(randomblob(18)))), '{}', :now, :now, :days, :now + :days,
        number % 2, iif(number % 2, :now, NULL), iif(number % 2, 'in_progress', NULL),
        iif(number % 2, 'in_progress', NULL)
    FROM numbers
"""
THREE_DAYS = 3 * 86400 * 1_000_000


class Noting(Peer):
    """Notes when it was asked."""

    def reply(self, head: bytes) -> bytes:
        self.noted.append(time.monotonic())
        return self.answer


@asynccontextmanager
async def provider() -> AsyncIterator[tuple[int, list[float]]]:
    noting = Noting()
    server = await asyncio.get_running_loop().create_server(lambda: Answering(noting), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], noting.noted


async def measure(folder: Path, *, watches: int) -> str:
    """Start the daemon, let it poll for a while, and say what was seen."""
    store = await SqliteStore.open(folder / "watcher.db")
    await store.close()
    db = sqlite3.connect(folder / "watcher.db")
    with db:
        db.execute(WATCHES, {"many": watches, "now": time.time_ns() // 1000, "days": THREE_DAYS})
    db.close()
    async with provider() as (port, asked):
        (folder / "watcher.toml").write_text(CONFIG.format(port=port, rate=RATE))
        began = time.monotonic()
        with (folder / "log").open("wb") as out:
            daemon = subprocess.Popen(  # noqa: ASYNC220  # it takes a moment, before anything is measured
                [sys.executable, "-m", "watcher", "-c", folder / "watcher.toml", "run"],
                stdout=out,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            )
        try:
            while not asked:
                await anyio.sleep(0.01)
            await anyio.sleep(SECONDS)
            memory = resident(daemon.pid)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)
    first, seconds = asked[0] - began, Counter(int(moment - asked[0]) for moment in asked)
    most, total = busiest(asked), sum(seconds[second] for second in range(int(SECONDS)))
    return f"{watches:>10,}{memory:>10,.0f} MB{first:>14.1f} s{total / SECONDS:>12.0f}/s{most:>18}"


def busiest(asked: list[float]) -> int:
    """Return the most polls in any second, wherever it begins."""
    first, most = 0, 0
    for last, moment in enumerate(asked):
        while moment - asked[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def resident(process: int) -> float:
    """Return what a process holds in memory, in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Print a line for each number of watches."""
    print(f"{'watches':>10}{'memory':>13}{'first poll':>16}{'polls':>14}{f'most in 1 s of {RATE}':>18}")
    for watches in NUMBERS:
        with TemporaryDirectory() as folder:
            print(uvloop.run(measure(Path(folder), watches=watches)), flush=True)
