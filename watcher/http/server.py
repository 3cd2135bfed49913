"""The loop: serving the API at one address, with bounds on connections, heads and time."""

import asyncio
import os
import socket
from http import HTTPStatus

import anyio
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from watcher.core.errors import WatcherError
from watcher.core.secret import Secret
from watcher.http.address import Address, Tcp, Unix
from watcher.http.api import Api
from watcher.http.backing import Backing
from watcher.http.problems import ProblemError

MOST_CONNECTIONS = 512
IDLE = 30.0  # seconds without a whole head: before the first request, between two, and in the middle of one
LINGER = 2.0  # seconds in which the rest of a body that nobody wants is read
SOCKET_MODE = 0o660
STOP_WITHIN = 0.8  # seconds for requests to end, and as many again for those that are cancelled then
FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class HttpServer:
    """Serves one daemon's API from `open` on, until it is stopped.

    `open` first, so that health can be asked while everything is loaded; `run` waits for `stop`, and closes. `port` is
    the one that was given where 0 was asked for.
    """

    def __init__(self, backing: Backing, *, address: Address, token: Secret | None) -> None:
        self._address = address
        self._api = Api(backing, address=address, token=token)
        self._runner = web.AppRunner(self._api.application, shutdown_timeout=STOP_WITHIN)
        self._listening: asyncio.Server | None = None
        self._stopping = anyio.Event()
        self.port = 0

    async def open(self) -> None:
        """Listen.

        Raises:
            WatcherError: the address cannot be had; the text says why.

        """
        await self._runner.setup()
        try:
            self._listening = await self._listen()
        except OSError as error:
            await self._runner.cleanup()
            raise WatcherError(f"watcher.listen: cannot listen on {self._address}: {_why(error)}") from None

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if isinstance(self._address, Tcp):
            listening = await loop.create_server(self._connect, self._address.host, self._address.port)
            self.port = listening.sockets[0].getsockname()[1]
            return listening
        path = anyio.Path(self._address.path)
        if await path.is_socket():  # a crash left it behind: whoever starts us has seen to it that we are alone
            await path.unlink()
        listening = await loop.create_unix_server(self._connect, self._address.path)
        await path.chmod(SOCKET_MODE)
        return listening

    async def run(self) -> None:
        """Serve until stopped; then end streams and requests within two seconds."""
        try:
            await self._stopping.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await self._close()

    def stop(self) -> None:
        """Take no more connections, and end those that there are."""
        self._stopping.set()

    @property
    def is_turning(self) -> bool:
        """It waits for others to ask, and may do so for ever."""
        return True

    @property
    def connections(self) -> int:
        """How many are open."""
        return 0 if self._runner.server is None else len(self._runner.server.connections)

    async def _close(self) -> None:
        if self._listening is not None:
            self._listening.close()
        self._api.stop()
        await self._runner.cleanup()
        if isinstance(self._address, Unix):
            await anyio.Path(self._address.path).unlink(missing_ok=True)

    def _connect(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        server = self._runner.server
        if server is None or len(server.connections) >= MOST_CONNECTIONS:
            return _Full()
        return _Connection(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE,
            lingering_time=LINGER,
            auto_decompress=False,
        )


class _Connection(web.RequestHandler):
    """aiohttp's connection, which answers what is no HTTP as a problem too, and writes no log of it."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002  # faults of ours end before here
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # which may quote what came
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        is_long = isinstance(exc, LineTooLong)
        wrong = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if is_long else HTTPStatus.BAD_REQUEST
        response = ProblemError(
            wrong, "the head of the request is too large" if is_long else "expected HTTP"
        ).response()
        response.force_close()
        return response

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: float | None) -> None:
        """Write none: what a request did is logged where it is done."""


def _why(error: OSError) -> str:
    """Say it in the system's words, for asyncio's repeat the address."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


class _Full(asyncio.Protocol):
    """Turns a connection away."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # both kinds bring one
        transport.write(FULL)
        transport.close()
