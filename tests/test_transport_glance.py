"""A transport for which the status is what counts, as for deliveries: odd bodies and broken writes."""

import errno
from datetime import timedelta

import aiohttp
import pytest
from raw_server import listening

from watcher.core.wire import Fault, NoAnswer, Request, Response
from watcher.transport import open_transport

AMPLE = timedelta(seconds=10)
GLANCE = 2048


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 9_000_000,
    ],
    ids=["cut short", "unknown encoding", "no gzip", "huge"],
)
async def test_where_the_status_is_what_counts_an_odd_body_is_none_of_our_business(said: bytes) -> None:
    async with listening(said) as server, open_transport(glance=GLANCE) as transport:
        answer = await transport.send(Request("POST", server.url, {}, b"{}"), within=AMPLE)
    assert isinstance(answer, Response)
    assert answer.status == 200
    assert answer.body in {b"short", b"x" * GLANCE}


@pytest.mark.parametrize("code", [errno.ECONNRESET, None])
async def test_no_word_of_the_url_is_in_what_went_wrong_while_a_body_was_sent(
    code: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp's own words for a broken write hold the whole URL; when it breaks so is a matter of timing."""

    def break_off(*_: object, **__: object) -> None:
        words = "Can not write request body for https://example.com/hook?token=CANARY"
        raise aiohttp.ClientOSError(code, words) if code else aiohttp.ClientOSError(words)

    monkeypatch.setattr(aiohttp.ClientSession, "request", break_off)
    async with open_transport(glance=GLANCE) as transport:
        answer = await transport.send(Request("POST", "https://example.com/hook?token=CANARY"), within=AMPLE)
    assert isinstance(answer, NoAnswer)
    assert answer.fault is Fault.CONNECTION
    assert "CANARY" not in answer.detail
