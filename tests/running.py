"""A real `watcher run` against pretend vendors and a receiver that verifies, for tests that kill it."""

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import anyio
import anyio.abc
import forked
import orjson
from forked import Forked

from watcher.core.model import Json
from watcher.demo.chime import Chime
from watcher.demo.d7 import D7
from watcher.demo.kore import Kore
from watcher.demo.pretend import serving
from watcher.demo.receiver import Receiver
from watcher.demo.story import Plot
from watcher.demo.ukg import Ukg
from watcher.demo.vendors import Vendors

WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRETS = {
    "T_D7": D7.client_secret,
    "T_KORE": Kore.client_secret,
    "T_CHIME": Chime.secret_access_key,
    "T_UKG_PASSWORD": Ukg.password,
    "T_UKG": Ukg.client_secret,
    "T_HOOK": WEBHOOK_SECRET,
}
HASTE = 10
PACE = """
rate = 1000
burst = 100
poll = { min = "100ms", max = "300ms" }
"""
CONFIG = """
[watcher]
listen = ""
state = "sqlite:watcher.db"
[watcher.log]
format = "json"
level = "debug"

[sources.inbox]
type = "file"
path = "watches.jsonl"

[providers.d7]
type = "d7"
base_url = "{vendors.d7.url}"
client_id = "{vendors.d7.client_id}"
client_secret = "env:T_D7"
{pace}
[providers.kore]
type = "kore"
base_url = "{vendors.kore.url}"
bot_id = "{vendors.kore.bot_id}"
client_id = "{vendors.kore.client_id}"
client_secret = "env:T_KORE"
{pace}
[providers.chime]
type = "chime"
base_url = "{vendors.chime.url}"
region = "{vendors.chime.region}"
bearer = "{vendors.chime.bearer}"
access_key_id = "{vendors.chime.access_key_id}"
secret_access_key = "env:T_CHIME"
{pace}
[providers.ukg]
type = "ukg"
base_url = "{vendors.ukg.url}"
{pace}
[providers.ukg.auth]
type = "openam"
username = "{vendors.ukg.username}"
password = "env:T_UKG_PASSWORD"
client_id = "{vendors.ukg.client_id}"
client_secret = "env:T_UKG"
app_key = "{vendors.ukg.app_key}"

[webhooks.ops]
url = "{hook}/hook"
secret = "env:T_HOOK"
retry = ["100ms", "200ms", "500ms", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]
"""


@dataclass(slots=True)
class Stage:
    """The world around a daemon: vendors, a receiver, a folder with configuration and requests."""

    folder: Path
    vendors: Vendors
    receiver: Receiver
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "watcher.toml"

    @property
    def inbox(self) -> Path:
        return self.folder / "watches.jsonl"

    @property
    def log(self) -> Path:
        return self.folder / "watcher.log"

    def begin(self, plot: Plot) -> dict[str, object]:
        """Let a vendor know an operation, which goes on faster than in the demo, and return the request to watch it."""
        stages, results = ([(after / HASTE, reply) for after, reply in each] for each in (plot.stages, plot.results))
        if results:
            self.vendors.ukg.script(plot.operation, stages, results=results)
        else:
            getattr(self.vendors, plot.provider).script(plot.operation, stages)
        return {"id": plot.watch, "provider": plot.provider, "params": dict(plot.params), "labels": {"of": plot.watch}}

    def ask_for(self, *requests: Mapping[str, object] | str) -> None:
        with self.inbox.open("a") as inbox:
            for request in requests:
                inbox.write((request if isinstance(request, str) else orjson.dumps(request).decode()) + "\n")

    def lines(self, event: str | None = None) -> list[dict[str, Json]]:
        """Return what was logged, by every life of the daemon."""
        whole, _, _ = self.log.read_bytes().rpartition(b"\n") if self.log.exists() else (b"", b"", b"")
        lines: list[dict[str, Json]] = [orjson.loads(line) for line in whole.splitlines()]
        return [line for line in lines if event in {None, line["event"]}]

    async def until(self, event: str, *, times: int = 1, within: float = 20) -> None:
        """Wait until an event was logged so often."""
        with anyio.fail_after(within):
            while len(self.lines(event)) < times:
                await anyio.sleep(0.02)

    def arguments(self, *arguments: str) -> list[str]:
        """Return arguments that name the configuration first."""
        return ["-c", str(self.config), *arguments]

    async def call(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end."""
        return await forked.run(*self.arguments(*arguments), environ=self.environ)

    @asynccontextmanager
    async def daemon(self, *, is_ready: bool = True, output: IO[bytes] | None = None) -> AsyncIterator[Forked]:
        """Run the daemon; killed in the end if the test did not stop it. It writes its log into `log`, or `output`."""
        lives = len(self.lines("daemon.ready"))
        with self.log.open("ab") as log:
            log.truncate(self.log.read_bytes().rfind(b"\n") + 1)  # the line that a kill has cut
            given = output or log
            process = await forked.start(*self.arguments("run"), environ=self.environ, stdout=given, stderr=given)
        async with process:
            if is_ready:
                await self.until("daemon.ready", times=lives + 1)
            yield process


async def stop(process: Forked | anyio.abc.Process) -> int:
    """End a daemon as systemd does, and return its exit status."""
    process.send_signal(signal.SIGTERM)
    with anyio.fail_after(25):
        return await process.wait()


@asynccontextmanager
async def stage(folder: Path, *, extra: str = "") -> AsyncIterator[Stage]:
    """Set everything up but the daemon."""
    receiver = Receiver([WEBHOOK_SECRET])
    async with Vendors.start() as vendors, serving(receiver.application()) as hook:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHER", "NOTIFY_"))}
        set_up = Stage(folder, vendors, receiver, environ={**inherited, **SECRETS})
        set_up.config.write_text(CONFIG.format(vendors=vendors, hook=hook, pace=PACE) + extra)
        yield set_up
