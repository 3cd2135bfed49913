"""A way to a server that can be cut, without anybody being told: what is sent then arrives when it is mended."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import ByteStream, SocketAttribute

ENDS = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class Wire:
    """`port` leads to the server's port, on loopback."""

    def __init__(self, to: int) -> None:
        self.port = 0
        self._to = to
        self._whole = anyio.Event()
        self._whole.set()

    def cut(self) -> None:
        self._whole = anyio.Event()

    def mend(self) -> None:
        self._whole.set()

    async def join(self, client: ByteStream) -> None:
        """Pass on what both sides of a connection send."""
        server = await anyio.connect_tcp("127.0.0.1", self._to)
        async with client, server, anyio.create_task_group() as passing:
            passing.start_soon(self._pass, client, server)
            passing.start_soon(self._pass, server, client)

    async def _pass(self, source: ByteStream, sink: ByteStream) -> None:
        with suppress(*ENDS):
            while True:
                sent = await source.receive()
                await self._whole.wait()
                await sink.send(sent)
        await sink.aclose()


@asynccontextmanager
async def wired(to: int) -> AsyncIterator[Wire]:
    """Let connections through while the block lasts."""
    wire = Wire(to)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        wire.port = listener.extra(SocketAttribute.local_port)  # noqa: S610  # no Django
        tasks.start_soon(listener.serve, wire.join)
        yield wire
        tasks.cancel_scope.cancel()
