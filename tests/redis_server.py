"""A real `redis-server` for tests: on a free loopback port, with its own folder, ended by its own process."""

import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
from redis.asyncio import Redis
from tools import tool

READY = b"Ready to accept connections"


class RedisServer:
    """One server, which can be killed and started again on the same port with the same files."""

    def __init__(self, folder: Path, *options: str, is_encrypted: bool = False) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        ports = ("--port", "0", "--tls-port") if is_encrypted else ("--port",)
        self._options = (*ports, f"{self.port}", "--bind", "127.0.0.1", "--dir", f"{folder}", "--save", "", *options)
        self._log = folder / "redis.log"
        self._process: anyio.abc.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        program = tool("redis-server", package="redis-server")
        with self._log.open("wb") as log:
            self._process = await anyio.open_process([program, *self._options], stdout=log, stderr=subprocess.STDOUT)
        with anyio.fail_after(10):
            while READY not in self._log.read_bytes():
                await anyio.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        """Stop it (SIGSTOP), let it go on (SIGCONT)."""
        if self._process is not None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """End it as a crash does; without a server, nothing."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            await self._process.aclose()
            self._process = None

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Redis]:
        """Ask it as another program does."""
        async with Redis(port=self.port, decode_responses=True) as client:
            yield client


@asynccontextmanager
async def redis_server(folder: Path, *options: str, is_encrypted: bool = False) -> AsyncIterator[RedisServer]:
    server = RedisServer(folder, *options, is_encrypted=is_encrypted)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()
