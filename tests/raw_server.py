"""A server that says exactly the bytes that a test gives it, over a real socket on this machine."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

Talk: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """Reads one request after the other, and lets `talk` answer each; keeps their heads and bodies as they came."""

    talk: Talk
    host: str = "127.0.0.1"
    port: int = 0
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def stop(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while not writer.is_closing():
                    await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        self.bodies.append(await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0))
        await self.talk(reader, writer)


@asynccontextmanager
async def listening(
    talk: Talk | bytes, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Listen while the block lasts; bytes are written for each request, and the connection is closed behind them."""
    server = RawServer(saying(talk) if isinstance(talk, bytes) else talk, host)
    async with await asyncio.start_server(server.meet, host, port, ssl=tls) as listener:
        server.port = listener.sockets[0].getsockname()[1]
        try:
            yield server
        finally:
            await server.stop()


def saying(*pieces: bytes, every: float = 0.0, last: bool = True) -> Talk:
    """Write pieces, `every` so many seconds, and close if that was the `last` answer of a connection."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every)
        if last:
            writer.close()

    return talk


def for_ever(piece: bytes, *, after: bytes = b"", every: float = 0.0) -> Talk:
    """Write `after`, and then `piece` until nobody listens any more."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every)

    return talk


def reset_after(piece: bytes) -> Talk:
    """Write `piece` and reset the connection."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.02)
        ours: socket.socket = writer.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return talk


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """Make a whole answer, with its length."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
