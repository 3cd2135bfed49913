"""`ports.Transport` over aiohttp; the only client code that knows it. What an answer means is said elsewhere."""

import errno
import io
import os
import re
import socket
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import anyio
from aiohttp.connector import Connection
from yarl import URL

from watcher.core.wire import Fault, NoAnswer, Request, Response

MOST_BYTES = 4 * 1024 * 1024
MOST_HEADERS = 32 * 1024
CONNECT_SECONDS = 5.0
_PIECE = 64 * 1024
_AUTOMATIC = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")

# Our own side: no handles, no memory, no ports, no network; and a resolver that cannot be asked.
_LOCAL = {
    *(errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM),
    *(errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.ENETUNREACH),
    *(socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM),
}


_MEANINGS = (
    (aiohttp.ConnectionTimeoutError, NoAnswer(Fault.TIMEOUT, "no connection in time")),
    (TimeoutError, NoAnswer(Fault.TIMEOUT, "no whole answer in time")),
    (aiohttp.ClientResponseError, NoAnswer(Fault.GARBAGE, "the answer is not HTTP, or its headers are too long")),
    (aiohttp.ClientPayloadError, NoAnswer(Fault.GARBAGE, "the body is cut short or broken")),
    (aiohttp.ServerDisconnectedError, NoAnswer(Fault.CONNECTION, "closed without an answer")),
)


class UnusableError(Exception):
    """An answer came, and cannot be used."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.why = NoAnswer(fault, detail)


class AiohttpTransport:
    """`ports.Transport` over one `aiohttp.ClientSession`: no redirect, no cookie, no proxy from the environment."""

    def __init__(self, session: aiohttp.ClientSession, *, limit: int = MOST_BYTES, glance: int | None = None) -> None:
        self._session = session
        self._limit = limit
        self._glance = glance

    async def send(self, request: Request, *, within: timedelta) -> Response | NoAnswer:
        """Send one request; see `ports.Transport`."""
        try:
            with anyio.fail_after(within.total_seconds()):
                return await self._exchange(request)
        except UnusableError as error:
            return error.why
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _no_answer(error)

    async def _exchange(self, request: Request) -> Response:
        if not re.fullmatch("[!-~]+", request.url):  # yarl drops line ends and sends the rest
            raise ValueError("a URL is visible ASCII")
        # encoded=True: yarl would turn %3A into ":" otherwise, and break Chime's signature.
        async with self._session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=request.headers,
            data=io.BytesIO(request.body) if request.body else None,  # of bytes over 1 MiB aiohttp warns
            allow_redirects=False,
        ) as answer:
            if sum(len(name) + len(value) for name, value in answer.raw_headers) > MOST_HEADERS:
                raise UnusableError(Fault.GARBAGE, f"more than {MOST_HEADERS} bytes of headers")
            if self._glance is None:
                body = b"".join([piece async for piece in _decoded(answer, limit=self._limit)])
            else:
                body = await _glanced(answer, most=self._glance)
            headers = {name.lower(): value for name, value in answer.headers.items()}
            address = answer.address if isinstance(answer, _Answer) else None
            return Response(answer.status, headers, body, datetime.now(UTC), address)


class _Answer(aiohttp.ClientResponse):
    """An answer that remembers who gave it; of a short one aiohttp lets go of the connection before we see it."""

    address: str | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        peer = connection.transport.get_extra_info("peername") if connection.transport else None
        if isinstance(peer, tuple):
            host, port = peer[:2]
            self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return await super().start(connection)


@asynccontextmanager
async def open_transport(
    *, limit: int = MOST_BYTES, glance: int | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[AiohttpTransport]:
    """Open a transport and close all its connections in the end; its users bound how many there are.

    With `glance` the status is what counts: of a body so many bytes are read, as they are, and none must be right.
    `tls` says whom to trust, where that is not what the machine trusts.
    """
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, ssl=tls or True)
    async with aiohttp.ClientSession(
        connector=connector,
        response_class=_Answer,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=_AUTOMATIC,
        max_line_size=MOST_HEADERS,
        max_field_size=MOST_HEADERS,
    ) as session:
        yield AiohttpTransport(session, limit=limit, glance=glance)


async def _glanced(answer: aiohttp.ClientResponse, *, most: int) -> bytes:
    """Return the beginning of a body, or what came of it before it broke."""
    body = b""
    try:
        while len(body) < most and (piece := await answer.content.read(most - len(body))):
            body += piece
    except aiohttp.ClientPayloadError:
        return body
    return body


async def _decoded(answer: aiohttp.ClientResponse, *, limit: int) -> AsyncIterator[bytes]:
    """Yield a body piece by piece, decompressed; neither its wire size nor its real size passes `limit`.

    Raises:
        UnusableError: it does, or is not what `content-encoding` says.

    """
    decode = _decoder(answer.headers.get("content-encoding", "identity").strip().lower())
    wire = size = 0
    async for piece in answer.content.iter_chunked(_PIECE):
        wire += len(piece)
        decoded = decode(piece, limit - size + 1)
        size += len(decoded)
        if max(wire, size) > limit:
            raise UnusableError(Fault.TOO_LARGE, f"more than {limit} bytes")
        yield decoded
    if wire and not decode.is_whole:  # a 303 without body may still say that it is compressed
        raise UnusableError(Fault.GARBAGE, "the compressed body does not end where it should")


class _Plain:
    """A body as it came."""

    is_whole = True

    def __call__(self, piece: bytes, most: int) -> bytes:
        return piece[:most]


class _Zipped:
    """gzip or zlib, whichever its header says, never more than asked for."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    def __call__(self, piece: bytes, most: int) -> bytes:
        try:
            return self._stream.decompress(piece, most)
        except zlib.error:
            raise UnusableError(Fault.GARBAGE, "the body is not compressed as its headers say") from None

    @property
    def is_whole(self) -> bool:
        return self._stream.eof and not self._stream.unused_data


def _decoder(encoding: str) -> _Plain | _Zipped:
    match encoding:
        case "identity" | "":
            return _Plain()
        case "gzip" | "x-gzip" | "deflate":
            return _Zipped()
        case _:
            raise UnusableError(Fault.GARBAGE, "the body has an encoding that was not asked for")


def _no_answer(error: Exception) -> NoAnswer:
    """Say why there is no answer. Not in the error's own words where they quote the URL or what the server sent."""
    for kind, meaning in _MEANINGS:
        if isinstance(error, kind):
            return meaning
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, aiohttp.ClientOSError):  # its words hold the whole URL
        return NoAnswer(_fault(cause), os.strerror(cause.errno) if cause.errno else "the connection broke")
    if isinstance(cause, OSError):
        return NoAnswer(_fault(cause), cause.strerror or str(cause))
    if isinstance(cause, ValueError):
        return NoAnswer(Fault.GARBAGE, "the request cannot be sent as it is written")
    return NoAnswer(Fault.CONNECTION, type(error).__name__)


def _fault(cause: OSError) -> Fault:
    if cause.errno in _LOCAL:
        return Fault.LOCAL
    if isinstance(cause, socket.gaierror):
        return Fault.DNS
    return Fault.TLS if isinstance(cause, ssl.SSLError) else Fault.CONNECTION
