"""Unchanged polls a second of the same watches: a real daemon beside a bare loop, a task for each watch, and Celery.

Each is a process of its own, in turn, against the same provider, which counts. Of the daemon it is also counted what it
read and what it wrote meanwhile: on SQLite by another connection (`PRAGMA data_version` moves with every commit of
anybody else, the WAL grows), on PostgreSQL by the server's own statistics of its tables.
"""

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import asyncpg
from postgres_server import PostgresServer

from bench import celery_poller, rivals
from bench.daemon import COUNTING, Daemon, daemon, until
from bench.peer import peer
from bench.process import cpu, memory

WATCHES = 10_000
INTERVAL = 0.5  # seconds: more than anybody here can do
ROUNDS = 3
WARM_UP = 12.0  # at most, for who is too slow to have asked for each watch
SECONDS = 5.0
SETTLED = 1.5  # seconds until PostgreSQL has counted what was done
WRITTEN = """
    SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables
    WHERE schemaname = 'watcher' AND relname NOT IN ('workers', 'shards')
"""


@dataclass(frozen=True, slots=True)
class Running:
    """One that polls; `look` says how many answers it read, and how often it wrote, if that can be known."""

    process: int
    look: Callable[[], tuple[float, int] | None] = lambda: None


Way: TypeAlias = Callable[[str], AbstractContextManager[Running]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run came to; `counted` are answers read, and writes."""

    rate: float
    each: float  # seconds of the processor for a poll
    memory: float
    counted: tuple[float, int] | None


# --- the daemon -----------------------------------------------------------------------------------------------


@contextmanager
def on_sqlite(provider: str, *, folder: Path) -> Iterator[Running]:
    """Poll what is in the folder's store."""
    with daemon(folder, provider=provider, interval=f"{INTERVAL}s", by=COUNTING) as running, _reading(folder) as db:
        yield Running(running.process.pid, lambda: (_read(running), _commits(db, folder)))


@contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(folder / "watcher.db")
    try:
        yield db
    finally:
        db.close()


def _commits(db: sqlite3.Connection, folder: Path) -> int:
    """Return a number that grows with every commit, and with whatever is written besides."""
    (version,) = db.execute("PRAGMA data_version").fetchone()
    return int(version) + (folder / "watcher.db-wal").stat().st_size


@contextmanager
def on_postgres(provider: str, *, folder: Path, server: PostgresServer) -> Iterator[Running]:
    """Poll what is in the database."""
    interval = f"{INTERVAL}s"
    with daemon(folder, provider=provider, interval=interval, state=server.url, by=COUNTING) as running:
        yield Running(running.process.pid, lambda: (_read(running), _rows(server)))


def _rows(server: PostgresServer) -> int:
    """Return how many rows were ever written, but for those of leases."""

    async def ask() -> int:
        db = await asyncpg.connect(server.url)
        rows: int = await db.fetchval(WRITTEN)
        await db.close()
        return rows

    time.sleep(SETTLED)
    return asyncio.run(ask())


def _read(running: Daemon) -> float:
    return running.metrics()["bench_parses_total"]


def prepare(folder: Path, *, state: str = "sqlite:watcher.db") -> None:
    """Let each watch be seen once, so that later nothing is new."""
    folder.mkdir()
    with peer() as provider, daemon(folder, provider=provider.url, interval="1h", state=state) as running:
        running.ask_for(range(WATCHES))
        until(lambda: running.polls >= WATCHES, of=running.process)


# --- the others -----------------------------------------------------------------------------------------------


@contextmanager
def bare(provider: str) -> Iterator[Running]:
    """Ask and do nothing else."""
    with rivals.elsewhere(partial(rivals.bare, provider, watches=WATCHES)) as process:
        yield Running(process)


@contextmanager
def task_each(provider: str) -> Iterator[Running]:
    """Have a task for each watch."""
    with rivals.elsewhere(partial(rivals.task_each, provider, watches=WATCHES, interval=INTERVAL)) as process:
        yield Running(process)


@contextmanager
def celery(provider: str, *, python: Path) -> Iterator[Running]:
    """Have a task in a queue for each poll."""
    with celery_poller.polling(python, provider=provider, watches=WATCHES) as process:
        yield Running(process)


# --- measuring ------------------------------------------------------------------------------------------------


def measure(way: Way) -> Figures:
    """Let one poll until all is known, and then count for a while."""
    with peer() as provider, way(provider.url) as running:
        ends_at = time.monotonic() + WARM_UP
        while provider.tell()[0] < 2 * WATCHES and time.monotonic() < ends_at:
            time.sleep(0.1)
        known = running.look()
        asked, used, began = provider.tell()[0], cpu(running.process), time.monotonic()
        time.sleep(SECONDS)
        number, used = provider.tell()[0] - asked, cpu(running.process) - used
        rate, now = number / (time.monotonic() - began), running.look()
        counted = (now[0] - known[0], now[1] - known[1]) if known and now else None
        return Figures(rate, used / max(number, 1), memory(running.process), counted)


@contextmanager
def ways() -> Iterator[dict[str, Way]]:
    """Make everything ready; what can't be had is said, and left out."""
    with TemporaryDirectory() as name, ExitStack() as opened:
        folder, server = Path(name), PostgresServer()
        opened.callback(server.remove)
        server.start()
        prepare(folder / "sqlite")
        prepare(folder / "postgres", state=server.url)
        found: dict[str, Way] = {
            "watcher, SQLite": partial(on_sqlite, folder=folder / "sqlite"),
            "watcher, PostgreSQL": partial(on_postgres, folder=folder / "postgres", server=server),
            "bare aiohttp GET loop": bare,
            "a task for each watch": task_each,
        }
        celery_name = f"Celery and Redis, {celery_poller.WORKERS} processes"
        try:
            found[celery_name] = partial(celery, python=celery_poller.installed(folder))
        except celery_poller.MissingError as error:
            print(f"{celery_name}: can't be had: {error}", flush=True)
        yield found


def main() -> None:
    """Print the medians of some rounds, in which all had their turn."""
    with ways() as all_of_them:
        rounds = [{name: measure(way) for name, way in all_of_them.items()} for _ in range(ROUNDS)]
        ours, *_ = all_of_them
        print(f"{WATCHES:,} watches, every {INTERVAL} s")
        print(f"{'':<34}{'polls':>10}{'of bare':>9}{'watcher':>9}{'CPU each':>11}{'memory':>10}   read, written")
        for name in all_of_them:
            all_ours, bares = ([one[of].rate for one in rounds] for of in (ours, "bare aiohttp GET loop"))
            figures = [one[name] for one in rounds]
            rates = [one.rate for one in figures]
            of_bare = statistics.median(rate / other for rate, other in zip(rates, bares, strict=True))
            times = statistics.median(mine / rate for rate, mine in zip(rates, all_ours, strict=True))
            each, most = (
                statistics.median(column) for column in zip(*((one.each, one.memory) for one in figures), strict=True)
            )
            counted = [f"{one.counted[0]:.0f}, {one.counted[1]}" for one in figures if one.counted]
            print(
                f"{name:<34}{statistics.median(rates):>8,.0f}/s{of_bare:>9.2f}{times:>8.2f}x"
                f"{each * 1e6:>8.0f} µs{most:>7.0f} MB   {'; '.join(counted)}",
                flush=True,
            )
