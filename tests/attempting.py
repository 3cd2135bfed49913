"""One attempt through the webhooks' transport, as the daemon makes it, at a receiver that a test makes up."""

import ssl
import time
import tracemalloc
from datetime import timedelta

from raw_server import Talk, answer, listening, saying

from watcher.core.wire import Fault, NoAnswer, Request, Response
from watcher.transport import open_transport

ENOUGH = timedelta(seconds=9)  # on a busy machine, too
SHORT = timedelta(seconds=0.3)  # for what is never answered
GLANCE = 2048
HEADERS = {"webhook-id": "evt_1", "webhook-signature": "v1,canary"}


async def attempt(
    url: str, *, body: bytes = b"{}", tls: ssl.SSLContext | None = None, within: timedelta = ENOUGH
) -> Response | NoAnswer:
    """Make one attempt as the daemon does."""
    request = Request("POST", f"{url}/hook?canary", HEADERS, body)
    async with (
        listening(saying(answer(b"sound"), last=False)) as sound,
        open_transport(glance=GLANCE, tls=tls) as transport,
    ):
        assert isinstance(await transport.send(Request("POST", sound.url), within=ENOUGH), Response)
        tracemalloc.start()
        began = time.monotonic()
        try:
            came = await transport.send(request, within=within)
            assert time.monotonic() - began < within.total_seconds() + 5
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()
        assert isinstance(await transport.send(Request("POST", sound.url), within=ENOUGH), Response)
    assert came.timing is not None
    assert "canary" not in repr(came)
    return came


async def said(talk: Talk | bytes, *, within: timedelta = ENOUGH) -> Response | NoAnswer:
    async with listening(talk) as server:
        came = await attempt(server.url, within=within)
    assert len(server.heads) == 1, came  # and never again
    if isinstance(came, NoAnswer):
        assert came.address == f"127.0.0.1:{server.port}"
    return came


def why(came: Response | NoAnswer) -> tuple[Fault, str]:
    assert isinstance(came, NoAnswer), came
    return came.fault, came.detail


def what(came: Response | NoAnswer) -> tuple[int, bytes]:
    assert isinstance(came, Response), came
    return came.status, came.body


LATE = (Fault.TIMEOUT, "no whole answer in time")
NOT_HTTP = (Fault.GARBAGE, "the answer is not HTTP, or its headers are too long")
CLOSED = (Fault.CONNECTION, "closed without an answer")
RESET = (Fault.CONNECTION, "Connection reset by peer")
