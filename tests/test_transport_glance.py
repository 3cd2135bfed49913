"""A transport for which the status is what counts, as for deliveries: odd bodies and broken writes."""

import asyncio
from datetime import timedelta

import pytest
from raw_server import listening

from watcher.core.wire import NoAnswer, Request, Response
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


async def test_no_word_of_the_url_is_in_what_went_wrong_while_a_body_was_sent() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with listening(hang_up) as server, open_transport(glance=GLANCE) as transport:
        for size in (10, 5_000, 2_000_000):
            request = Request("POST", f"{server.url}/hook?token=CANARY", {}, b"x" * size)
            for _ in range(10):
                answer = await transport.send(request, within=AMPLE)
                assert isinstance(answer, NoAnswer)
                assert "CANARY" not in answer.detail
