"""Connections for deliveries: each attempt leaves a trail on them, and no answer can fill the memory."""

import asyncio
import socket
from functools import partial
from http import HTTPStatus
from ssl import SSLContext
from time import monotonic

import aiohttp
from aiohttp import AddrInfoType, ClientRequest, ClientTimeout, SocketFactoryType
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace

from watcher.transport.trail import Trail, address_of, current, peer

MOST_HEADERS = 32 * 1024
_PIECE = 4096


class TimedConnector(aiohttp.TCPConnector):
    """A connector that leaves marks on the current trail: of a name looked up, a socket made, a connection ready."""

    def __init__(
        self,
        *,
        limit: int,
        resolver: AbstractResolver,
        socket_factory: SocketFactoryType,
        ssl: SSLContext | bool,
        use_dns_cache: bool,
        ttl_dns_cache: int,
        force_close: bool = False,
    ) -> None:
        super().__init__(
            limit=limit,
            resolver=_TimedResolver(resolver),
            socket_factory=partial(_make_socket, socket_factory),
            ssl=ssl,
            use_dns_cache=use_dns_cache,
            ttl_dns_cache=ttl_dns_cache,
            force_close=force_close,
        )
        self._factory = partial(_make_wire, loop=self._loop)

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:  # noqa: ASYNC109  # as aiohttp calls it
        """Take a kept connection, or make one."""
        connection = await super().connect(req, traces, timeout)
        if isinstance(connection.protocol, _Wire):
            connection.protocol.begin(current.get())
        return connection


class _TimedResolver(AbstractResolver):
    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        began = monotonic()
        found = await self._resolver.resolve(host, port, family)
        current.get().dns = monotonic() - began
        return found

    async def close(self) -> None:
        await self._resolver.close()


def plain_socket(info: AddrInfoType) -> socket.socket:
    """Make a socket as aiohttp does."""
    return socket.socket(*info[:3])


def _make_socket(sockets: SocketFactoryType, info: AddrInfoType) -> socket.socket:
    made = sockets(info)
    trail = current.get()
    trail.connecting = trail.connecting or monotonic()
    trail.address = address_of(info[4])
    return made


class _Wire(ResponseHandler):
    """One connection. aiohttp makes it when TCP stands, and calls `connection_made` when TLS does.

    All that comes before the head of the answer is whole, `100 Continue` too, has at most `MOST_HEADERS` bytes; and
    nothing may come behind the answer. aiohttp would parse all that fits in a read, into objects ten times as large.
    """

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._address: str | None = None
        self._is_used = False
        self._trail: Trail | None = None
        self._answers = 0
        self._head_size = 0
        self._opening = current.get()
        self._opening.connected = monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note when it is ready for a request."""
        super().connection_made(transport)
        self._address = peer(transport)
        if transport.get_extra_info("sslcontext"):
            self._opening.secured = monotonic()

    def begin(self, trail: Trail) -> None:
        """Carry a request of this attempt, and note when the first byte of its answer comes."""
        trail.ready = monotonic()
        trail.is_reused = self._is_used
        trail.address = self._address
        self._is_used = True
        self._trail = trail
        self._answers = self._head_size = 0

    def data_received(self, data: bytes) -> None:
        """Take what the other side says, in small pieces."""
        if self._trail is not None:
            self._trail.first = monotonic()
            self._trail = None
        for start in range(0, max(len(data), 1), _PIECE):  # of no data aiohttp makes something as well
            if self._answers > 1 or self._head_size > MOST_HEADERS:
                self._hang_up()
                return
            piece = data[start : start + _PIECE]
            super().data_received(piece)
            if self._answers == 0:
                self._head_size += len(piece)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take a head; aiohttp waits for one that is no `1xx`."""
        code = data[0].code
        if code >= HTTPStatus.OK or code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._answers += 1
        super().feed_data(data, size)

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()
        if self._answers == 0:
            self.set_exception(HttpProcessingError(message="the headers are too long"))


def _make_wire(*, loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _Wire(loop=loop)
