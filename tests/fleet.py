"""Several real `watcher run` on one real PostgreSQL, between a provider and a receiver that keep their histories.

What must hold of these, whatever was done to the daemons and to the database, is asked of `Fleet.complaints`.
"""

import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import anyio
import asyncpg
import forked
import orjson
from forked import Forked
from histories import SECRET, Hook, Provider, changes, longest_gaps, most_in_a_second
from postgres_server import PostgresServer

from watcher.core.lease import SHARDS
from watcher.core.model import Json
from watcher.demo.pretend import serving

SLACK = 5.0  # seconds beyond the lease within which every watch is polled again
NOISE = 0.1  # of the rate: what was sent evenly does not arrive quite so
CONFIG = """
[watcher]
state = "{database}"
listen = ""
worker = "{name}"
lease = "{lease}s"
[watcher.log]
format = "json"

[sources.inbox]
type = "file"
path = "watches.jsonl"

[providers.status]
type = "http"
url = "{provider}/{{id}}"
headers = {{ x-worker = "{name}" }}
status = "status"
progress = "progress"
states = {{ sending = "in_progress", delivered = "succeeded" }}
rate = {rate}
burst = 1
poll = {{ min = "100ms", max = "200ms" }}

[webhooks.ops]
url = "{hook}/ops"
secret = "{secret}"
headers = {{ x-worker = "{name}" }}
retry = {retry}
"""
_DATABASES = count(1)


@dataclass(slots=True)
class Worker:
    """One `watcher run`, and those of its name before it."""

    name: str
    folder: Path
    process: Forked
    _read: int = 0
    _lines: list[dict[str, Json]] = field(default_factory=list)

    @property
    def inbox(self) -> Path:
        return self.folder / "watches.jsonl"

    def lines(self, event: str | None = None) -> list[dict[str, Json]]:
        """Return what was logged, by every process of this name."""
        with (self.folder / "log").open("rb") as log:
            log.seek(self._read)
            whole, end, _ = log.read().rpartition(b"\n")
        self._read += len(whole + end)
        self._lines += [orjson.loads(line) for line in whole.splitlines()]
        return [line for line in self._lines if event in {None, line["event"]}]

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def drain(self) -> int:
        """End it as systemd does, and return its exit status."""
        self.signal(signal.SIGTERM)
        with anyio.fail_after(25):
            return await self.process.wait()

    async def call(self, *arguments: str) -> str:
        """Run a command to its good end, with the worker's configuration, and return what it printed."""
        done = await forked.run("-c", str(self.folder / "watcher.toml"), *arguments, environ=_environ())
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()


@dataclass(slots=True)
class Fleet:
    """The workers, and the world around them; `places` says where provider and webhook are."""

    folder: Path
    server: PostgresServer
    name: str
    provider: Provider
    hook: Hook
    places: Mapping[str, str]
    processes: AsyncExitStack
    lease: float = 2
    rate: float = 25
    workers: dict[str, Worker] = field(default_factory=dict)
    watches: list[str] = field(default_factory=list)

    @property
    def database(self) -> str:
        return self.server.url.replace("/postgres?", f"/{self.name}?")

    async def start(self, name: str, *, is_ready: bool = True, through: int | None = None) -> Worker:
        """Start a worker of this name, which may have been there before; `through` a port on the way to PostgreSQL."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        config, known = folder / "watcher.toml", {"secret": SECRET, "retry": ["100ms", "200ms", *["500ms"] * 100]}
        database = f"postgresql://watcher@127.0.0.1:{through}/{self.name}" if through else self.database
        values = {"name": name, "database": database, "lease": self.lease, "rate": self.rate}
        config.write_text(CONFIG.format(**self.places, **known, **values))
        lives = len(self.workers[name].lines("daemon.ready")) if name in self.workers else 0
        with (folder / "log").open("ab") as log:
            log.truncate((folder / "log").read_bytes().rfind(b"\n") + 1)  # the line that a kill has cut
            process = await forked.start("-c", str(config), "run", environ=_environ(), stdout=log, stderr=log)
        await self.processes.enter_async_context(process)
        worker = self.workers[name] = Worker(name, folder, process)
        if is_ready:
            await until(lambda: len(worker.lines("daemon.ready")) > lives)
        return worker

    def ask_for(self, number: int, *, of: Worker) -> None:
        """Write requests for so many new watches into the inbox of a worker."""
        names = [f"watch-{len(self.watches) + place}" for place in range(number)]
        self.watches += names
        with of.inbox.open("ab") as inbox:
            for name in names:
                inbox.write(orjson.dumps({"id": name, "provider": "status", "params": {"id": name}}) + b"\n")

    async def finish(self, *, within: float = 20) -> None:
        """Let all watches end, and all workers that run."""
        self.provider.ending.update(self.watches)
        await until(lambda: self.hook.finished >= set(self.watches), within=within)
        async with anyio.create_task_group() as ending:
            for worker in self.workers.values():
                if worker.is_running:
                    ending.start_soon(worker.drain)

    # --- what can be seen of it -----------------------------------------------------------------------------------

    async def all_polled(self, *, within: float = 10, by: str | None = None) -> float:
        """Wait until each watch that has not ended was polled from now on; return how long that took."""
        began, all_of_them = time.monotonic(), set(self.watches)
        await until(lambda: self.provider.to.since(began, by=by) | self.hook.finished >= all_of_them, within=within)
        return time.monotonic() - began

    async def until_logged(self, worker: Worker, event: str, *, within: float = 20) -> None:
        """Wait until a worker has logged an event."""
        await until(lambda: bool(worker.lines(event)), within=within)

    async def until_shared(self, *names: str) -> float:
        """Wait until each of these workers has its fair share, and nobody else has any; return how long that took."""
        began, share = time.monotonic(), SHARDS // len(names)
        with anyio.fail_after(20):
            while (held := await self.shares()).keys() != set(names) or min(held.values()) < share:
                await anyio.sleep(0.05)
        return time.monotonic() - began

    async def shares(self) -> dict[str | None, int]:
        """Ask the database how many shards each worker holds; nobody is None."""
        rows = await self.fetch("SELECT worker, count(*) FROM watcher.shards GROUP BY worker")
        return {row["worker"]: row["count"] for row in rows}

    async def owner(self, watch: str) -> Worker:
        """Ask the database whose a watch is."""
        (row,) = await self.fetch(
            "SELECT s.worker FROM watcher.watches AS w JOIN watcher.shards AS s USING (shard) WHERE w.id = $1", watch
        )
        return self.workers[row["worker"]]

    async def cut_connections(self) -> None:
        """Have the server close the connections of all workers."""
        await self.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'watcher %'"
        )

    async def fetch(self, sql: str, *values: object) -> list[asyncpg.Record]:
        db = await asyncpg.connect(self.database)
        try:
            return await db.fetch(sql, *values)
        finally:
            await db.close()

    # --- what must hold -------------------------------------------------------------------------------------------

    async def complaints(self) -> list[str]:
        """Say what is wrong with all that was asked, told, stored and logged, now that all watches have ended."""
        limit = self.lease + SLACK
        return [
            *self.hook.complaints,
            *self._wrong_changes(),
            *(f"{watch} was not polled for {most:.1f} s" for watch, most in self.gaps().items() if most > limit),
            *([f"{self.busiest()} polls came in a second"] if self.busiest() > self.most else []),
            *await self._other_than_stored(),
            *(f"{one.name}: {line}" for one in self.workers.values() for line in one.lines("daemon.fault")),
        ]

    def _wrong_changes(self) -> Iterator[str]:
        """Compare what was told of each watch with all that the provider has ever said of it."""
        for watch in self.watches:
            told = self.hook.changes[watch]
            if list(told) != list(range(1, len(told) + 1)):
                yield f"{watch}: first arrivals are {list(told)}"
            if list(told.values()) != list(changes(self.provider.steps[watch])):
                yield f"{watch}: was told {list(told.values())}"

    def gaps(self) -> Mapping[str, float]:
        """Return for how long each watch was not polled, at most."""
        return longest_gaps(self.provider.to.visits)

    @property
    def most(self) -> int:
        """How many polls may come in a second: the rate, a token that each worker may have kept, and a little noise."""
        return int(self.rate * (1 + NOISE)) + len(self.workers)

    def busiest(self) -> int:
        """Return how many polls came in any second, at most."""
        return most_in_a_second(self.provider.to.visits)

    async def _other_than_stored(self) -> list[str]:
        """Compare the ids that were told with those that are stored."""
        rows = await self.fetch(
            "SELECT w.id AS watch, e.sequence, e.id "
            "FROM watcher.events AS e JOIN watcher.watches AS w ON w.row = e.watch"
        )
        stored = {(row["watch"], row["sequence"], row["id"]) for row in rows}
        told = {one for post in self.hook.posts for one in post.of_watches}
        return [f"{one} is only stored" for one in stored - told] + [f"{one} was only told" for one in told - stored]


async def until(is_so: Callable[[], bool], *, within: float = 20) -> None:
    """Wait until something is so."""
    with anyio.fail_after(within):
        while not is_so():
            await anyio.sleep(0.02)


def _environ() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("WATCHER", "NOTIFY_"))}


@asynccontextmanager
async def fleet(folder: Path, server: PostgresServer) -> AsyncIterator[Fleet]:
    """Set everything up but the workers, of which none outlives the block; the database is of its own."""
    name = f"fleet_{next(_DATABASES)}"
    db = await asyncpg.connect(server.url)
    await db.execute(f"CREATE DATABASE {name}")
    await db.close()
    provider = Provider()
    hook = Hook(provider.heard)
    async with serving(provider.application()) as at, serving(hook.application()) as to, AsyncExitStack() as processes:
        yield Fleet(folder, server, name, provider, hook, {"provider": at, "hook": to}, processes)
