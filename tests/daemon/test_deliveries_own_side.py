"""What fails on our own side: nothing is lost, no attempt is burnt, all goes on by itself, and the log says it once."""

import errno
import os
import resource
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from forked import Forked
from make import saying, terms, watch, whsec
from running import Stage, stage, stop
from strict_receiver import StrictReceiver
from structlog.testing import capture_logs
from worlds import take_in

from watcher.attempt import MOST_BODY
from watcher.clock import SystemClock
from watcher.core import outlet
from watcher.core.errors import StoreError
from watcher.core.lifecycle import advance
from watcher.core.model import Json, State
from watcher.core.outcome import Seen
from watcher.core.webhook_section import Webhook
from watcher.demo.pretend import Reply, serving
from watcher.demo.receiver import Manners
from watcher.outbox import Outbox
from watcher.record import Recorder
from watcher.stores import sqlite_file
from watcher.stores.sqlite import SqliteStore
from watcher.transport import open_transport

SECRET = whsec(b"one secret is enough here")


class Names(AbstractResolver):
    """A resolver that knows one address for every name, unless it cannot be asked."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        if self.error:
            raise self.error
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None: ...


@dataclass(slots=True)
class Sending:
    """A webhook in this process: what waits for it is in a real file, what it is sent goes over real sockets."""

    receiver: StrictReceiver
    names: Names
    store: SqliteStore
    recorder: Recorder

    async def tell(self, *ids: str) -> None:
        """Commit the first event of each watch, at once."""
        now = datetime.now(UTC)
        fresh = [watch(uid=f"uid-{each}", id=each, accepted_at=now) for each in ids]
        await take_in(self.store, fresh)
        for each in fresh:
            stored = await self.store.watch(each.uid)
            assert stored is not None
            seen = advance(stored, Seen(saying("SENT", State.IN_PROGRESS)), now=now, terms=terms(), dice=0.5)
            await self.recorder.commit(stored, seen)

    async def delivered(self, *ids: str) -> None:
        """Wait until all that was told of these watches is on disk as delivered."""
        with anyio.fail_after(20):
            while await self.store.undelivered():
                await anyio.sleep(0.02)
        assert self.receiver.complaints == []
        assert self.receiver.taken("ops") == {each: [1] for each in ids}
        assert {post.headers["watcher-attempt"] for post in self.receiver.posts} == {"1"}


@asynccontextmanager
async def sending(folder: Path, *, takes: float = 0.0) -> AsyncIterator[Sending]:
    receiver, names = StrictReceiver({"secret": SECRET}, answer=lambda _: Reply(204, delay=takes)), Names()
    async with serving(receiver.application()) as url, open_transport(glance=MOST_BODY, resolver=names) as posts:
        section = {"url": f"http://hooks.example:{url.rpartition(':')[2]}/ops", "secret": SECRET, "allow_http": True}
        webhooks = {"ops": Webhook.model_validate(section)}
        store = await SqliteStore.open(folder / "watcher.db")
        await store.lease()
        outbox = Outbox({}, store=store, clock=SystemClock(), agent="watcher/test", posts=lambda _: nullcontext(posts))
        async with outbox.open():
            await outbox.change(webhooks, callbacks=None)
            yield Sending(receiver, names, store, Recorder(store=store, webhooks=webhooks, wake=outbox.wake))
        await store.close()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), id="dns is down"),
        pytest.param(OSError(errno.EMFILE, "Too many open files"), id="no handles are left"),
    ],
)
async def test_what_cannot_be_sent_from_here_waits_and_is_sent_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    monkeypatch.setattr(outlet, "FIRST_REST", timedelta(seconds=0.1))
    with capture_logs() as logs:
        async with sending(tmp_path) as world:
            world.names.error = error
            await world.tell(*"abcdefgh")
            with anyio.fail_after(10):
                while world.names.asked < 4:  # after 0.1, 0.2 and 0.4 s it was tried whether it is over
                    await anyio.sleep(0.02)
            assert world.receiver.posts == []
            world.names.error = None
            await world.delivered(*"abcdefgh")
    lines = Counter((line["event"], line.get("outcome")) for line in logs)
    assert lines["delivery.attempted", "not_sent"] == 1
    assert lines["delivery.attempted", "delivered"] == 8
    assert not {"endpoint.paused", "endpoint.disabled", "daemon.fault"} & {line["event"] for line in logs}


async def test_a_database_that_another_process_locks_delays_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.1)  # else 10 s pass before it counts as locked at all
    with capture_logs() as logs:
        async with sending(tmp_path, takes=0.5) as world:
            await world.tell(*"abcdefgh")
            async with locked(tmp_path / "watcher.db"):
                with pytest.raises(StoreError, match="locked"):
                    await world.tell("late")
                await anyio.sleep(1.5)  # what was answered meanwhile cannot be recorded, and not the second time either
            await world.tell("late")
            await world.delivered(*"abcdefgh", "late")
    assert len(world.receiver.posts) == 9
    assert Counter(line["event"] for line in logs) == {"delivery.attempted": 9, "store.slow": 1, "watch.changed": 9}


@asynccontextmanager
async def locked(database: Path) -> AsyncIterator[None]:
    """Have another process lock a database while the block lasts."""
    command = [sys.executable, "-c", LOCKING, str(database)]
    async with await anyio.open_process(command) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        await process.stdout.receive()
        yield
        await process.stdin.aclose()


LOCKING = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("it is locked", flush=True)
sys.stdin.read()
"""


def begin(world: Stage, number: int) -> dict[str, object]:
    """Let UKG know an operation that gets on whenever it is asked, and return the request that watches it."""
    name = f"op-{number}"
    pending: list[tuple[float, Json]] = [
        (0.0, {"id": name, "state": "PENDING", "progress": progress}) for progress in range(0, 100, 4)
    ]
    world.vendors.ukg.script(name, [*pending, (0.0, Reply(303))], results=[(0.0, Reply(200, {"results": []}))])
    return {"id": name, "provider": "ukg", "params": {"id": name}}


@asynccontextmanager
async def daemon(world: Stage) -> AsyncIterator[Forked]:
    """Run a daemon that writes its log into a pipe: the files that it cannot write are its own."""
    readable, writable = os.pipe()
    with world.log.open("wb") as log, os.fdopen(writable, "wb") as pipe:
        async with (
            await anyio.open_process(["cat"], stdin=readable, stdout=log),
            world.daemon(is_ready=False, output=pipe) as process,
        ):
            os.close(readable)
            pipe.close()
            yield process


async def test_a_full_disk_delays_and_loses_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as world, daemon(world) as process:
        world.receiver.manners = Manners(slow=0.2)  # so that some are in flight when the disk is full
        world.ask_for(*(begin(world, number) for number in range(5)))
        await world.until("delivery.attempted", times=10)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        await world.until("store.slow", times=2)
        await anyio.sleep(1.5)  # what could not be recorded is tried again each second
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await world.until("watch.finished", times=5)
        with anyio.fail_after(20):
            while sum(arrival.type == "watch.finished" for arrival in world.receiver.arrivals) < 5:
                await anyio.sleep(0.02)
        assert await stop(process) == 0

    said = Counter(line.get("webhook") for line in world.lines("store.slow"))
    # Who records, and who looks after the store if its turn falls into the same transaction; and who delivers.
    assert said in ({None: 1, "ops": 1}, {None: 2, "ops": 1})
    assert not world.lines("daemon.fault")
    for number in range(5):
        arrived = [arrival.sequence for arrival in world.receiver.arrivals if arrival.watch == f"op-{number}"]
        assert arrived == list(range(1, len(arrived) + 1))  # each once
    assert {arrival.problem for arrival in world.receiver.arrivals} == {None}
