"""Sends a request and reads its answer: whole, as polls need it; or its status and a glance, as deliveries do."""

import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from http import HTTPStatus
from itertools import chain
from math import inf
from typing import TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver
from anyio import to_thread
from yarl import URL

from watcher.core.addresses import Guard
from watcher.core.wire import Fault, NoAnswer, Request, Response
from watcher.ports import Transport
from watcher.transport.body import glanced, whole
from watcher.transport.connector import MOST_HEADERS, TimedConnector, plain_socket
from watcher.transport.faults import EXPECTED, UnusableError, no_answer
from watcher.transport.guarded import GuardedResolver, check_url, guarded_sockets
from watcher.transport.names import Names
from watcher.transport.plain import PlainRequest
from watcher.transport.tls import tls_context
from watcher.transport.trail import Trail, current

MOST_BYTES = 4 * 1024 * 1024
CONNECT_SECONDS = 5.0
DNS_SECONDS = 60
_is_visible = re.compile("[!-~]+").fullmatch

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
    names: AbstractResolver = resolver or Names()  # whose places are never taken up by names of another transport
    sockets: aiohttp.SocketFactoryType = plain_socket
    if guard:
        names, sockets = GuardedResolver(names, guard=guard), guarded_sockets(guard)
    if tls is None:
        tls = await to_thread.run_sync(tls_context)
    connector = partial(
        TimedConnector if glance is not None else aiohttp.TCPConnector,
        limit=0,
        resolver=names,
        socket_factory=sockets,
        ssl=tls,
        use_dns_cache=guard is None,
        ttl_dns_cache=DNS_SECONDS,
    )
    if glance is None:
        async with _session(connector()) as session:
            yield AiohttpTransport(session, limit=limit, guard=guard)
    else:
        async with _session(connector()) as session, _session(connector(force_close=True)) as fresh:
            yield DeliveryTransport(session, fresh, glance=glance, guard=guard)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    """No redirect, no cookie, no proxy from the environment, nothing that we did not write."""
    return aiohttp.ClientSession(
        connector=connector,
        request_class=PlainRequest,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
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
            check_url(request.url, guard=self._guard)
            return await _exchange(self._session, request, read=self._read, within=within.total_seconds())
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
            check_url(request.url, guard=self._guard)
            answer: Response | NoAnswer = await self._exchange(request, within=within.total_seconds())
        except EXPECTED as error:
            answer = no_answer(error)
        trail = current.get()
        return replace(answer, address=trail.address, timing=trail.timing())

    async def _exchange(self, request: Request, *, within: float) -> Response:
        """Send a request, and once more where the other side had let go of a connection that we kept."""
        try:
            return await _exchange(self._session, request, read=self._read, within=within)
        except aiohttp.ClientConnectionError:
            if not current.get().is_stale:
                raise
        began = current.get().began
        current.set(Trail(began=began))
        left = began + within - time.monotonic()
        return await _exchange(self._fresh, request, read=self._read, within=left)  # others kept may be as stale


async def _exchange(session: aiohttp.ClientSession, request: Request, *, read: _Read, within: float) -> Response:
    if not _is_visible(request.url):  # yarl drops line ends and sends the rest
        raise ValueError("a URL is visible ASCII")
    if within <= 0:  # which aiohttp takes for "for ever"
        raise TimeoutError
    # encoded=True: yarl would turn %3A into ":" otherwise, and break Chime's signature.
    answer = await session.request(
        request.method,
        URL(request.url, encoded=True),
        headers=request.headers,
        data=request.body,
        allow_redirects=False,
        timeout=_timeout(within),
    )
    try:
        if answer.status < HTTPStatus.CONTINUE:
            raise UnusableError(Fault.GARBAGE, "the status is none")
        headers = _headers(answer)
        return Response(answer.status, headers, await read(answer), datetime.now(UTC))
    finally:
        if not answer.closed:  # as it is where all was read, and the connection kept
            answer.release()


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    written = b"".join(chain.from_iterable(answer.raw_headers))
    if len(written) > MOST_HEADERS:
        raise UnusableError(Fault.GARBAGE, f"more than {MOST_HEADERS} bytes of headers")
    if written.isascii():
        return {name.lower(): value for name, value in answer.headers.items()}
    return {name.lower(): _readable(value) for name, value in answer.headers.items()}


@lru_cache(maxsize=100)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    """Bound all of one exchange, exactly: aiohttp would round what is longer than five seconds."""
    return aiohttp.ClientTimeout(total=seconds, connect=CONNECT_SECONDS, ceil_threshold=inf)


def _readable(value: str) -> str:
    """Write bytes that are no UTF-8 as escapes; aiohttp makes half a surrogate pair of each, which nobody can store."""
    return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
