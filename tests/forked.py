"""`watcher` as a process of its own that is there in a moment: forked from one that has loaded all modules once.

It has the folder, environment and files that it is given, and ends or is killed as any process. What a start itself
loads and costs is only seen of `python -m watcher`.
"""

import atexit
import functools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Self

import anyio
import orjson

FORKING = Path(__file__).with_name("forking.py")


@dataclass(slots=True)
class Forked:
    """A process. `returncode` is known once its end was waited for."""

    pid: int
    _news: socket.socket
    returncode: int | None = None

    async def wait(self) -> int:
        """Wait for its end, and return its exit status; a signal's is negative."""
        if self.returncode is None:
            self.returncode = await _number(self._news)
            self._news.close()
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError), anyio.CancelScope(shield=True):
                self.kill()
                await self.wait()


async def start(
    *arguments: str,
    folder: Path | None = None,
    environ: Mapping[str, str],
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes],
    stderr: IO[bytes],
) -> Forked:
    """Start `watcher` with these arguments, in this folder or in ours."""
    question = {"folder": str(folder or Path.cwd()), "environ": environ, "arguments": arguments}
    news = _ask(question, stdin, stdout, stderr)
    return Forked(await _number(news), news)


async def run(
    *arguments: str, folder: Path | None = None, environ: Mapping[str, str], written: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run `watcher` to its end, with this on its standard input."""
    readable, writable = os.pipe()
    with os.fdopen(writable, "wb") as writer, TemporaryFile() as stdout, TemporaryFile() as stderr:
        with os.fdopen(readable, "rb") as stdin:
            process = await start(*arguments, folder=folder, environ=environ, stdin=stdin, stdout=stdout, stderr=stderr)
        async with process, anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, _write, writer, written)
            status = await process.wait()
        return subprocess.CompletedProcess(arguments, status, _all(stdout), _all(stderr))


def _write(file: IO[bytes], written: bytes) -> None:
    with suppress(BrokenPipeError), file:
        file.write(written)


def _all(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


async def _number(news: socket.socket) -> int:
    """Receive the next number."""
    await anyio.wait_readable(news)
    number = news.recv(32)
    assert number, "the process that `watcher` is forked from has ended"
    return int(number)


def _ask(question: Mapping[str, object], *standard: IO[bytes] | None) -> socket.socket:
    """Ask for a process, and return where to hear of it."""
    news, answer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with answer, Path(os.devnull).open("rb") as nothing:
        files = [(file or nothing).fileno() for file in standard]
        socket.send_fds(_forking(), [orjson.dumps(question)], [*files, answer.fileno()])
    return news


@functools.cache
def _forking() -> socket.socket:
    """Start the process from which all others are forked; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen([sys.executable, "-P", str(FORKING)], stdin=theirs.fileno())

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours
