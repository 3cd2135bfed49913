"""Sends a request and reads its answer: whole, as polls need it; or its status and a glance, as deliveries do."""

import io
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import TypeAlias

import aiohttp
import anyio
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from yarl import URL

from watcher.core.addresses import Guard
from watcher.core.wire import Fault, NoAnswer, Request, Response
from watcher.ports import Transport
from watcher.transport.body import glanced, whole
from watcher.transport.connector import MOST_HEADERS, TimedConnector, plain_socket
from watcher.transport.faults import EXPECTED, UnusableError, no_answer
from watcher.transport.guarded import GuardedResolver, check_url, guarded_sockets
from watcher.transport.trail import Trail, current, peer

MOST_BYTES = 4 * 1024 * 1024
CONNECT_SECONDS = 5.0
DNS_SECONDS = 60
_AUTOMATIC = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")

_Read: TypeAlias = Callable[[aiohttp.ClientResponse], Awaitable[bytes]]


@asynccontextmanager
async def open_transport(
    *,
    limit: int = MOST_BYTES,
    glance: int | None = None,
    tls: ssl.SSLContext | None = None,
    guard: Guard | None = None,
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[Transport]:
    """Open a transport and close all its connections in the end; its users bound how many there are.

    With `glance` it is for deliveries, where the status is what counts: of a body so many bytes are read, as they
    are, and none must be right; each attempt is timed; and what meets a kept connection that has just been closed is
    sent once more. `tls` says whom to trust, where that is not what the machine trusts. The `guard` judges all that
    the `resolver` says of a name, for every new connection; what it forbids is `NoAnswer(BLOCKED)`.
    """
    names: AbstractResolver = resolver or aiohttp.ThreadedResolver()
    sockets: aiohttp.SocketFactoryType = plain_socket
    if guard:
        names, sockets = GuardedResolver(names, guard=guard), guarded_sockets(guard)
    connector = partial(
        TimedConnector if glance is not None else aiohttp.TCPConnector,
        limit=0,
        resolver=names,
        socket_factory=sockets,
        ssl=tls or True,
        use_dns_cache=guard is None,
        ttl_dns_cache=DNS_SECONDS,
    )
    if glance is None:
        async with _session(connector(), answers=_Answer) as session:
            yield AiohttpTransport(session, limit=limit, guard=guard)
    else:
        plain = aiohttp.ClientResponse
        async with (
            _session(connector(), answers=plain) as session,
            _session(connector(force_close=True), answers=plain) as fresh,
        ):
            yield DeliveryTransport(session, fresh, glance=glance, guard=guard)


def _session(connector: aiohttp.TCPConnector, *, answers: type[aiohttp.ClientResponse]) -> aiohttp.ClientSession:
    """No redirect, no cookie, no proxy from the environment, nothing that we did not write."""
    return aiohttp.ClientSession(
        connector=connector,
        response_class=answers,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=_AUTOMATIC,
        max_line_size=MOST_HEADERS,
        max_field_size=MOST_HEADERS,
    )


class AiohttpTransport:
    """`ports.Transport` for polls, which need whole answers."""

    def __init__(self, session: aiohttp.ClientSession, *, limit: int, guard: Guard | None) -> None:
        self._session = session
        self._read = partial(whole, limit=limit)
        self._guard = guard

    async def send(self, request: Request, *, within: timedelta) -> Response | NoAnswer:
        """Send one request; see `ports.Transport`."""
        try:
            with anyio.fail_after(within.total_seconds()):
                check_url(request.url, guard=self._guard)
                return await _exchange(self._session, request, read=self._read)
        except EXPECTED as error:
            return no_answer(error)


class DeliveryTransport:
    """`ports.Transport` for deliveries, which need to know what an attempt came to, and how far it got."""

    def __init__(
        self, session: aiohttp.ClientSession, fresh: aiohttp.ClientSession, *, glance: int, guard: Guard | None
    ) -> None:
        self._session = session
        self._fresh = fresh
        self._read = partial(glanced, most=glance)
        self._guard = guard

    async def send(self, request: Request, *, within: timedelta) -> Response | NoAnswer:
        """Send one request; see `ports.Transport`."""
        current.set(Trail())
        try:
            with anyio.fail_after(within.total_seconds()):
                check_url(request.url, guard=self._guard)
                answer: Response | NoAnswer = await self._exchange(request)
        except EXPECTED as error:
            answer = no_answer(error)
        trail = current.get()
        return replace(answer, address=trail.address, timing=trail.timing())

    async def _exchange(self, request: Request) -> Response:
        """Send a request, and once more where the other side had let go of a connection that we kept."""
        try:
            return await _exchange(self._session, request, read=self._read)
        except aiohttp.ClientConnectionError:
            if not current.get().is_stale:
                raise
        current.set(Trail(began=current.get().began))
        return await _exchange(self._fresh, request, read=self._read)  # others that are kept may be as stale


async def _exchange(session: aiohttp.ClientSession, request: Request, *, read: _Read) -> Response:
    if not re.fullmatch("[!-~]+", request.url):  # yarl drops line ends and sends the rest
        raise ValueError("a URL is visible ASCII")
    # encoded=True: yarl would turn %3A into ":" otherwise, and break Chime's signature.
    async with session.request(
        request.method,
        URL(request.url, encoded=True),
        headers=request.headers,
        data=io.BytesIO(request.body) if request.body else None,  # of bytes over 1 MiB aiohttp warns
        allow_redirects=False,
    ) as answer:
        if answer.status < HTTPStatus.CONTINUE:
            raise UnusableError(Fault.GARBAGE, "the status is none")
        if sum(len(name) + len(value) for name, value in answer.raw_headers) > MOST_HEADERS:
            raise UnusableError(Fault.GARBAGE, f"more than {MOST_HEADERS} bytes of headers")
        body = await read(answer)
        headers = {name.lower(): _readable(value) for name, value in answer.headers.items()}
        address = answer.address if isinstance(answer, _Answer) else None
        return Response(answer.status, headers, body, datetime.now(UTC), address)


def _readable(value: str) -> str:
    """Write bytes that are no UTF-8 as escapes; aiohttp makes half a surrogate pair of each, which nobody can store."""
    return value if value.isascii() else value.encode(errors="surrogateescape").decode(errors="backslashreplace")


class _Answer(aiohttp.ClientResponse):
    """An answer that remembers who gave it; of a short one aiohttp lets go of the connection before we see it."""

    address: str | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        self.address = peer(connection.transport)
        return await super().start(connection)
