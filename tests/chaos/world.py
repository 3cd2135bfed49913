"""What is around a daemon in chaos: a provider, a webhook, names, a small disk, and somebody who starts it again."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.abc
import orjson
from aiohttp import web
from strict_receiver import StrictReceiver

from chaos.measured import Uses, use_of
from chaos.shared import Shared
from watcher.core.signature import decode_key
from watcher.demo.pretend import Reply, Vendor, serving
from watcher.demo.signature import problem
from watcher.log import FAULT

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ASK_EVERY = 0.05
LOOK_EVERY = 0.25
START_AGAIN_AFTER = 0.5
NAMES = "127.0.0.1 provider.test hook.test\n"
CONFIG = """
[watcher]
state = "sqlite:{disk}/watcher.db"
listen = ""
[watcher.log]
format = "json"

[sources.inbox]
type = "file"
path = "watches.jsonl"

[providers.status]
type = "http"
url = "{provider}/{{id}}"
status = "status"
states = {{ queued = "pending", sent = "in_progress", delivered = "succeeded" }}
rate = 500
burst = 100
concurrency = 32
timeout = "2s"
poll = {{ min = "200ms", max = "2s" }}

[webhooks.ops]
url = "{hook}/ops"
allow_http = true
secret = "file:secret"
timeout = "2s"
retry = {retry}
"""


class Provider(Vendor):
    """Says `queued`, `sent`, `delivered` of anything, unless it is in a mood."""

    def __init__(self) -> None:
        super().__init__()
        self.mood: Reply | None = None
        self.delay = 0.0
        self.hangs_up = False

    async def answer(self, request: web.Request) -> Reply:
        operation = request.match_info["path"]
        if self.mood is not None:
            return self.mood
        if operation not in self._scripts:
            self.script(operation, [(0.0, {"status": word}) for word in ("queued", "sent", "delivered")])
        told = self.told(operation)
        assert told is not None
        return Reply(body=told.body, delay=self.delay)

    async def _serve(self, request: web.Request) -> web.Response:
        response = await super()._serve(request)
        self.history.clear()
        if self.hangs_up:
            response.force_close()
        return response


class Hook(StrictReceiver):
    """Takes each event, or hangs. It does not mind a signature's age: clocks are stepped here."""

    def __init__(self) -> None:
        super().__init__({})
        self.free = anyio.Event()
        self.free.set()
        self.hangs_up = False
        self._counted = 0
        self._finished: set[str] = set()

    @property
    def finished(self) -> set[str]:
        """The watches whose ends were taken."""
        for post in self.posts[self._counted :]:
            if post.is_taken:
                self._finished.update(one.watch for one in post.told if one.watch and one.type == "watch.finished")
        self._counted = len(self.posts)
        return self._finished

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        if not self.free.is_set():
            await self.free.wait()
            return web.Response(status=503)
        response = await super()._receive(request)
        if self.hangs_up:
            response.force_close()
        return response

    def _who_verifies(self, headers: dict[str, str], body: bytes) -> frozenset[str]:
        sent_at = float(headers["webhook-timestamp"])
        wrong = problem([decode_key(SECRET)], headers=headers, body=body, now=sent_at)
        return frozenset() if wrong else frozenset({SECRET})


@dataclass(slots=True)
class World:
    """All of it; `disk` is small, and has nothing but the store on it."""

    folder: Path
    disk: Path
    names: Path
    provider: Provider
    hook: Hook
    shared: Shared
    uses: Uses = field(default_factory=Uses)
    asked: int = 0
    starts: int = 0
    process: anyio.abc.Process | None = None
    is_asking: bool = True
    is_over: bool = False

    @property
    def database(self) -> Path:
        return self.disk / "watcher.db"

    @property
    def lost(self) -> list[str]:
        """Name the watches whose events did not all arrive in order, from the first to the last."""
        taken = self.hook.taken("ops")
        return [name for name in self._all if name not in self.hook.finished or not _is_whole(taken[name])]

    @property
    def _all(self) -> list[str]:
        return [f"watch-{number}" for number in range(self.asked)]

    def configure(self, *, at: str, to: str) -> None:
        """Write the configuration, with the URLs of provider and webhook; and what their names mean."""
        text = CONFIG.format(disk=self.disk, provider=at, hook=to, retry=["200ms", *["1s"] * 1000])
        (self.folder / "watcher.toml").write_text(text)
        (self.folder / "secret").write_text(SECRET)
        self.names.write_text(NAMES)

    async def ask(self) -> None:
        """Ask for a watch every moment."""
        with (self.folder / "watches.jsonl").open("ab", buffering=0) as inbox:
            while self.is_asking:
                name = f"watch-{self.asked}"
                inbox.write(orjson.dumps({"id": name, "provider": "status", "params": {"id": name}}) + b"\n")
                self.asked += 1
                await anyio.sleep(ASK_EVERY)

    async def live(self) -> None:
        """Start the daemon, and again whenever it ends, as systemd would."""
        shared, config = str(self.folder / "shared"), str(self.folder / "watcher.toml")
        command = [sys.executable, "-m", "chaos.daemon", shared, "-c", config, "run"]
        while not self.is_over:
            self.starts += 1
            with (self.folder / "log").open("ab") as log:
                self.process = await anyio.open_process(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environ
                )
            async with self.process:
                await self.process.wait()
            await anyio.sleep(START_AGAIN_AFTER)

    @property
    def environ(self) -> dict[str, str]:
        """Have it tell systemd how things stand; nobody there reads it."""
        return {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify"), "WATCHDOG_USEC": "1000000"}

    async def look(self) -> None:
        """Note what the daemon uses."""
        while not self.is_over:
            if self.process is not None and self.process.returncode is None:
                self.uses.note(use_of(self.process.pid, tasks=self.shared.tasks))
            await anyio.sleep(LOOK_EVERY)

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    def limit_handles(self, soft: int | None) -> None:
        """Let the daemon open no file whose number is as high; None: as many as it may have."""
        if self.process is None or self.process.returncode is not None:
            return
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (hard if soft is None else soft, hard))

    def complaints(self) -> Counter[str]:
        """Count what the log complains of, by event; `garbage` is what is no line, but for what a kill cut off."""
        told: Counter[str] = Counter()
        for line in (self.folder / "log").read_bytes().splitlines():
            try:
                read = orjson.loads(line)
            except orjson.JSONDecodeError:
                told["garbage"] += self.starts == 1
            else:
                told[read["event"]] += read["level"] not in {"debug", "info"}
        return +told

    def faults(self) -> list[str]:
        """Return the log's lines of bugs, as they stand there."""
        return [line for line in (self.folder / "log").read_text("utf-8", "replace").splitlines() if FAULT in line]

    async def until_finished(self, *, watches: int, within: float) -> float | None:
        """Wait until so many watches have arrived whole; return for how long, None if it was too long."""
        began = time.monotonic()
        with anyio.move_on_after(within):
            while len(self.hook.finished) < watches:
                await anyio.sleep(0.05)
            return time.monotonic() - began
        return None

    async def end(self) -> int:
        """Stop the daemon in order, and return its exit status."""
        self.is_over = True
        process = self.process
        assert process is not None
        self.signal(signal.SIGTERM)
        with anyio.fail_after(25):
            return await process.wait()


def _is_whole(numbers: list[int]) -> bool:
    return numbers == list(range(1, len(numbers) + 1))


@asynccontextmanager
async def around(folder: Path, *, disk: Path, names: Path) -> AsyncIterator[World]:
    """Set it all up, with a daemon that runs and is asked for watches."""
    provider, hook, shared = Provider(), Hook(), Shared(folder / "shared")
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(folder / "notify"))
    async with serving(provider.application()) as at, serving(hook.application()) as to:
        world = World(folder, disk, names, provider, hook, shared)
        world.configure(at=at.replace("127.0.0.1", "provider.test"), to=to.replace("127.0.0.1", "hook.test"))
        async with anyio.create_task_group() as tasks:
            for task in (world.live, world.look, world.ask):
                tasks.start_soon(task)
            try:
                yield world
            finally:
                world.is_asking, world.is_over = False, True
                hook.free.set()
                world.signal(signal.SIGKILL)
                systemd.close()
