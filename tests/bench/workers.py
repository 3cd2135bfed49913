"""Polls a second of one, two and four workers on one PostgreSQL, of a provider that takes 50 ms to answer.

Real `watcher run`, one after the other on the same database, each with its own concurrency: what one worker cannot do
because it waits, more can; what it cannot do because it computes, more can as far as there are cores.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
from postgres_server import PostgresServer

from bench.daemon import Daemon, daemon, until
from bench.peer import Elsewhere, Peer, peer
from bench.process import cpu

NUMBERS = (1, 2, 4)
AFTER = 0.05
WATCHES = 10_000
SHARDS = 256
LEASE = 'worker = "{name}"\nlease = "3s"'
ROUNDS = 3  # of the measurement, the best and the worst of which are printed too
SECONDS = 4.0
WARM_UP = 8.0


def shared(server: PostgresServer, *, among: int) -> bool:
    """Has each of so many workers its part of the watches?"""

    async def ask() -> list[int]:
        db = await asyncpg.connect(server.url)
        rows = await db.fetch("SELECT count(*) FROM watcher.shards WHERE worker IS NOT NULL GROUP BY worker")
        await db.close()
        return [row["count"] for row in rows]

    held = asyncio.run(ask())
    return len(held) == among and sum(held) == SHARDS and min(held) >= SHARDS // among


def measure(
    workers: Sequence[Daemon], provider: Elsewhere, *, server: PostgresServer, first: float | None
) -> tuple[float, str]:
    """Let them poll for a while; return how many a second, and that as a line."""
    rates = []
    postgres = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])

    def processors() -> tuple[float, float, float]:
        return sum(one.cpu[1] for one in workers), cpu(provider.process), cpu(postgres)

    before, began = processors(), time.monotonic()
    for _ in range(ROUNDS):
        asked, from_here = provider.tell()[0], time.monotonic()
        time.sleep(SECONDS)
        rates.append((provider.tell()[0] - asked) / (time.monotonic() - from_here))
    seconds = time.monotonic() - began
    busy = [(now - then) / seconds for now, then in zip(processors(), before, strict=True)]
    least, rate, most = sorted(rates)
    times = rate / (first or rate)
    shown = "".join(f"{one:>9.2f} s/s" for one in busy)
    line = f"{len(workers):>7}{rate:>10,.0f}/s{times:>8.2f}x{least:>11,.0f} … {most:<7,.0f}{shown}"
    return rate, line


def main() -> None:
    """Print a line for each number of workers."""
    print(f"{WATCHES:,} watches, answered after {AFTER * 1000:.0f} ms, 64 at a time each, on {os.cpu_count()} cores")
    print(f"{'workers':>7}{'polls':>12}{'of one':>9}{'least … most':>19}{'CPU':>12}{'provider':>11}{'PostgreSQL':>12}")
    with TemporaryDirectory() as name, ExitStack() as opened, peer(partial(Peer, after=AFTER)) as provider:
        server = PostgresServer()
        opened.callback(server.remove)
        server.start()
        workers: list[Daemon] = []
        first = None
        for number in NUMBERS:
            while len(workers) < number:
                folder = Path(name, f"worker-{len(workers)}")
                folder.mkdir()
                more = LEASE.format(name=folder.name)
                running = daemon(folder, provider=provider.url, state=server.url, more=more)
                workers.append(opened.enter_context(running))
            if number == 1:
                workers[0].ask_for(range(WATCHES))
                until(lambda: workers[0].polls >= 2 * WATCHES, of=workers[0].process)
            until(partial(shared, server, among=number), of=workers[-1].process)
            time.sleep(WARM_UP)
            rate, line = measure(workers, provider, server=server, first=first)
            first = first or rate
            print(line, flush=True)
