"""The daemon of the demo: its configuration, the real process, and what its log says. Prints nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import anyio
import anyio.abc
import orjson

from watcher.core.model import Json
from watcher.demo.chime import Chime, signs_for_aws
from watcher.demo.d7 import D7
from watcher.demo.kore import Kore
from watcher.demo.ukg import Ukg
from watcher.demo.vendors import Vendors

STOPS_WITHIN = 3.0
CONFIG = """\
[watcher]
listen = ""
state = "sqlite:watcher.db"
[watcher.log]
format = "json"

[sources.inbox]
type = "file"
path = "watches.jsonl"

[providers.d7]
type = "d7"
base_url = "{d7}"
client_id = "{d7_client}"
client_secret = "env:DEMO_D7_SECRET"
{pace}

[providers.kore]
type = "kore"
base_url = "{kore}"
bot_id = "{kore_bot}"
client_id = "{kore_client}"
client_secret = "env:DEMO_KORE_SECRET"
{pace}

[providers.ukg]
type = "ukg"
base_url = "{ukg}"
{pace}
[providers.ukg.auth]
type = "openam"
username = "{ukg_user}"
password = "env:DEMO_UKG_PASSWORD"
client_id = "{ukg_client}"
client_secret = "env:DEMO_UKG_SECRET"
app_key = "env:DEMO_UKG_APP_KEY"

[webhooks.demo]
url = "{webhook}/hooks/watcher"
secret = "env:DEMO_WEBHOOK_SECRET"
retry = ["500ms", "1s", "2s"]
"""
CHIME = """
[providers.chime]
type = "chime"
base_url = "{chime}"
region = "{chime_region}"
bearer = "{chime_bearer}"
access_key_id = "env:DEMO_CHIME_KEY_ID"
secret_access_key = "env:DEMO_CHIME_SECRET"
{pace}
"""
PACE = """\
rate = 20
burst = 20
poll = { min = "200ms", max = "1s" }"""
SECRETS = {
    "DEMO_D7_SECRET": D7.client_secret,
    "DEMO_KORE_SECRET": Kore.client_secret,
    "DEMO_CHIME_KEY_ID": Chime.access_key_id,
    "DEMO_CHIME_SECRET": Chime.secret_access_key,
    "DEMO_UKG_PASSWORD": Ukg.password,
    "DEMO_UKG_SECRET": Ukg.client_secret,
    "DEMO_UKG_APP_KEY": Ukg.app_key,
}


def configure(folder: Path, *, vendors: Vendors, webhook: str) -> Path:
    """Write `watcher.toml` and return its path."""
    path = folder / "watcher.toml"
    text = (CONFIG + CHIME if signs_for_aws() else CONFIG).format(
        d7=vendors.d7.url,
        d7_client=D7.client_id,
        kore=vendors.kore.url,
        kore_bot=Kore.bot_id,
        kore_client=Kore.client_id,
        chime=vendors.chime.url,
        chime_region=Chime.region,
        chime_bearer=Chime.bearer,
        ukg=vendors.ukg.url,
        ukg_user=Ukg.username,
        ukg_client=Ukg.client_id,
        webhook=webhook,
        pace=PACE,
    )
    path.write_text(text, "utf-8")
    return path


@dataclass(slots=True)
class Daemon:
    """A running `watcher run`; its output goes to `log`."""

    process: anyio.abc.Process
    log: Path
    _read_up_to: int = 0

    @classmethod
    @asynccontextmanager
    async def start(cls, config: Path, *, webhook_secret: str) -> AsyncIterator[Self]:
        """Start it in a session of its own, so that Ctrl-C reaches only the demo; killed if it was not stopped."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHER", "NOTIFY_"))}
        log = config.with_name("watcher.log")
        with log.open("wb") as output:
            process = await anyio.open_process(
                [sys.executable, "-m", "watcher", "-c", str(config), "run"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environ, **SECRETS, "DEMO_WEBHOOK_SECRET": webhook_secret},
                start_new_session=True,
            )
        async with process:
            try:
                yield cls(process, log)
            finally:
                if process.returncode is None:
                    process.kill()

    @property
    def has_ended(self) -> bool:
        """Did it end by itself?"""
        return self.process.returncode is not None

    def news(self) -> list[Mapping[str, Json]]:
        """Return the log lines since the last call; a line that is no JSON object is left out."""
        with self.log.open("rb") as lines:
            lines.seek(self._read_up_to)
            whole, newline, _ = lines.read().rpartition(b"\n")
        self._read_up_to += len(whole) + len(newline)
        return [line for line in map(_parsed, whole.splitlines()) if line]

    async def stop(self) -> int | None:
        """Send SIGTERM and return the exit status; None if it did not end in time."""
        if not self.has_ended:
            self.process.send_signal(signal.SIGTERM)
        with anyio.move_on_after(STOPS_WITHIN):
            return await self.process.wait()
        return None


def _parsed(line: bytes) -> Mapping[str, Json]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
