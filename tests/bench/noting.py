"""A receiver in a process of its own that notes when the first byte of each POST came, on the clock that all share."""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import aiohttp
import orjson
import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s"
HANGING = b"/hanging"  # where no POST is answered


class Noting(asyncio.Protocol):
    """Enough of HTTP/1.1 for our POSTs, and for a GET, which is answered with what was noted: ids of `path id`."""

    def __init__(self, notes: dict[str, float]) -> None:
        self._notes = notes
        self._read = b""
        self._began_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP brings this one
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._read:
            self._began_at = time.monotonic()
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end]
            whole = end + 4 + int(_header(head, b"content-length") or b"0")
            if len(self._read) < whole:
                return
            self._read = self._read[whole:]
            self._answer(*head.split(b" ", 2))

    def _answer(self, method: bytes, path: bytes, rest: bytes) -> None:
        if method == b"GET":
            notes = orjson.dumps(self._notes)
            self._transport.write(ANSWER % (len(notes), notes))
            return
        self._notes.setdefault(f"{path.decode()} {_header(rest, b'webhook-id').decode()}", self._began_at)
        if path != HANGING:
            self._transport.write(ANSWER % (0, b""))


def _header(head: bytes, name: bytes) -> bytes:
    _, found, rest = head.lower().partition(b"\r\n%s:" % name)
    return rest.partition(b"\r\n")[0].strip() if found else b""


def _serve(port: Connection) -> None:
    async def serve() -> None:
        notes: dict[str, float] = {}
        server = await asyncio.get_running_loop().create_server(lambda: Noting(notes), "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


@contextmanager
def noting() -> Iterator[str]:
    """Run the receiver; yields its URL."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


async def noted(url: str) -> dict[str, float]:
    """Ask it when each event came to each webhook first, as `/webhook id`."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        notes: dict[str, float] = orjson.loads(await answer.read())
    return notes
