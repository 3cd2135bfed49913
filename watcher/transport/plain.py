"""A request as it is written, in one piece: nothing is added to it, nothing is looked up for it.

aiohttp's own looks for cookies, proxies, encodings and headers that might be missing, and writes a body in a task of
its own; all of that would have to be turned off, and takes longer than what is left.
"""

from asyncio import AbstractEventLoop
from ssl import SSLContext

import aiohttp
from aiohttp.connector import Connection
from aiohttp.helpers import BaseTimerContext
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

_UNTOLD = aiohttp.RequestInfo(URL(), "", CIMultiDictProxy(CIMultiDict()), URL())  # what errors say of a request


class PlainRequest(aiohttp.ClientRequest):
    """What a session makes of our request; it calls `send` once it has a connection."""

    def __init__(  # noqa: PLR0913  # what a session gives that matters here; the rest is never used
        self,
        method: str,
        url: URL,
        *,
        headers: CIMultiDict[str],
        data: bytes | None,
        loop: AbstractEventLoop,
        timer: BaseTimerContext,
        session: aiohttp.ClientSession,
        ssl: SSLContext | bool,
        response_class: type[aiohttp.ClientResponse],
        **_: object,
    ) -> None:
        self.method = method
        self.url = self.original_url = url
        self.headers = headers
        self.loop = loop
        self.response_class = response_class
        self.proxy = self.proxy_auth = self.proxy_headers = self.server_hostname = None
        self._content = data or b""
        self._timer = timer
        self._session = session
        self._ssl = ssl
        self._traces = []
        self._is_last = session.connector is not None and session.connector.force_close

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Write all of it; what the other side does not take yet waits in the connection.

        Raises:
            ValueError: a header holds the end of a line.

        """
        transport, protocol = conn.transport, conn.protocol
        if transport is None or protocol is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("closed before the request was sent")
        transport.write(self._head() + self._content)
        protocol.start_timeout()
        return self.response_class(
            self.method,
            self.url,
            writer=None,
            continue100=None,
            timer=self._timer,
            request_info=_UNTOLD,
            traces=self._traces,
            loop=self.loop,
            session=self._session,
            stream_writer=StreamWriter(protocol, self.loop),
        )

    def _head(self) -> bytes:
        lines = [f"{self.method} {self.url.raw_path_qs} HTTP/1.1", f"Host: {self.url.host_port_subcomponent}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self._content or self.method not in self.GET_METHODS:
            lines.append(f"Content-Length: {len(self._content)}")
        if self._is_last:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""])
        if head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1 or "\0" in head:
            raise ValueError("a header holds the end of a line")
        return head.encode()
