"""The other side of a measurement: a process of its own that answers whatever it is asked, as lean as can be."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

import uvloop

BODY = b'{"total_recipients":1,"messages":[{"msg_id":"a","status":"sent"}]}'
PATIENCE = 30.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class Peer:
    """Says the same at once, or `after` so many seconds, and counts. `noted` is what a measurement asks for."""

    def __init__(self, body: bytes = BODY, *, after: float = 0.0) -> None:
        self.answer = ANSWER % (len(body), body)
        self.after = after
        self.asked = 0
        self.noted: list[float] = []

    def reply(self, head: bytes) -> bytes:
        """Answer one request."""
        self.asked += 1
        return self.answer


class Answering(asyncio.Protocol):
    """Enough of HTTP/1.1 for clients that we know: a head, a body of its content-length."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._read = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP brings this one
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end]
            _, found, length = head.lower().partition(b"content-length:")
            whole = end + 4 + (int(length.split(b"\r\n")[0]) if found else 0)
            if len(self._read) < whole:
                return
            self._read = self._read[whole:]
            self._write(self._peer.reply(head))

    def _write(self, answer: bytes) -> None:
        if self._peer.after:
            asyncio.get_running_loop().call_later(self._peer.after, self._transport.write, answer)
        else:
            self._transport.write(answer)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A peer as it is seen from here."""

    url: str
    process: int
    _pipe: Connection

    def tell(self) -> tuple[int, list[float]]:
        """Ask how many requests it had, and what it noted since it was asked last."""
        self._pipe.send(None)
        assert self._pipe.poll(PATIENCE), "the peer says nothing"
        asked, noted = self._pipe.recv()
        return asked, noted


def _serve(make: Callable[[], Peer], pipe: Connection) -> None:
    async def serve() -> None:
        peer, loop = make(), asyncio.get_running_loop()
        server = await loop.create_server(lambda: Answering(peer), "127.0.0.1", 0)

        def tell() -> None:
            pipe.recv()
            pipe.send((peer.asked, peer.noted))
            peer.noted = []

        loop.add_reader(pipe.fileno(), tell)
        os.set_blocking(pipe.fileno(), True)  # uvloop has changed that, and what was noted may be long
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


@contextmanager
def peer(make: Callable[[], Peer] = Peer) -> Iterator[Elsewhere]:
    """Run a peer in a process of its own, which makes it."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(make, theirs), daemon=True)
    process.start()
    try:
        port = ours.recv()
        assert process.pid is not None
        yield Elsewhere(f"http://127.0.0.1:{port}", process.pid, ours)
    finally:
        process.terminate()
        process.join()


@contextmanager
def answering(body: bytes = BODY) -> Iterator[str]:
    """Run a peer that always says the same; yields its URL."""
    with peer(partial(Peer, body)) as elsewhere:
        yield elsewhere.url
