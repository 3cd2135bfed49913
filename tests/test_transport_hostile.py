"""A hostile or broken server, on a real socket: each case is a value, in time, in bounded memory."""

import asyncio
import errno
import gzip
import os
import socket
import time
import tracemalloc
from collections.abc import Callable
from datetime import timedelta

import anyio
import pytest
from raw_server import Talk, answer, for_ever, listening, reset_after, saying

from watcher.core.wire import Fault, NoAnswer, Request, Response
from watcher.ports import Transport
from watcher.transport import open_transport

WITHIN = timedelta(seconds=0.3)
AMPLE = timedelta(seconds=10)
OK = b"HTTP/1.1 200 OK\r\n"
LATE = NoAnswer(Fault.TIMEOUT, "no whole answer in time")
NOT_HTTP = NoAnswer(Fault.GARBAGE, "the answer is not HTTP, or its headers are too long")
CUT = NoAnswer(Fault.GARBAGE, "the body is cut short or broken")
CLOSED = NoAnswer(Fault.CONNECTION, "closed without an answer")


async def ask(url: str, *, within: timedelta = AMPLE) -> object:
    request = Request("GET", f"{url}/x?canary=query", {"Authorization": "Bearer canary"})
    async with open_transport() as transport:
        return await transport.send(request, within=within)


async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await anyio.sleep_forever()


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(never, id="never answers"),
        pytest.param(for_ever(b"X-More: y\r\n", after=OK, every=0.02), id="headers dribbled for ever"),
        pytest.param(for_ever(b"HTTP/1.1 100 Continue\r\n\r\n", every=0.001), id="endless 100 Continue"),
        pytest.param(for_ever(b"HTTP/1.1 100 Continue\r\n\r\n" * 100), id="a flood of 100 Continue"),
        pytest.param(for_ever(b"x", after=OK + b"content-length: 99999\r\n\r\n", every=0.02), id="a byte at a time"),
        pytest.param(
            for_ever(b"1\r\nx\r\n", after=OK + b"transfer-encoding: chunked\r\n\r\n", every=0.02), id="chunks"
        ),
    ],
)
async def test_a_server_that_takes_its_time_is_left_in_time(talk: Talk) -> None:
    began = time.monotonic()
    async with listening(talk) as server:
        assert await ask(server.url, within=WITHIN) == LATE
        assert time.monotonic() - began < 5


async def test_no_time_at_all_sends_nothing() -> None:
    async with listening(answer()) as server:
        assert await ask(server.url, within=timedelta(seconds=-1)) == LATE
    assert server.heads == []


@pytest.mark.parametrize(
    ("talk", "expected"),
    [
        pytest.param(saying(b""), CLOSED, id="closed at once"),
        pytest.param(reset_after(b""), NoAnswer(Fault.CONNECTION, "Connection reset by peer"), id="reset at once"),
        pytest.param(saying(OK + b"x: "), CLOSED, id="closed within the headers"),
        pytest.param(saying(OK + b"content-length: 9\r\n\r\nabc"), CUT, id="shorter than it says"),
        pytest.param(reset_after(OK + b"content-length: 9\r\n\r\nabc"), CUT, id="reset within the body"),
        pytest.param(saying(OK + b"content-length: -1\r\n\r\nabc"), NOT_HTTP, id="a negative length"),
        pytest.param(saying(OK + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc"), NOT_HTTP, id="no chunk"),
        pytest.param(saying(OK + b"transfer-encoding: chunked\r\n\r\n9\r\nabc"), CUT, id="a chunk cut short"),
        pytest.param(saying(b"<html>canary</html>\r\n\r\n"), NOT_HTTP, id="HTTP/0.9"),
        pytest.param(saying(b"\x1b]0;canary\x07\r\n\r\n"), NOT_HTTP, id="escapes"),
        pytest.param(saying(b"SSH-2.0-canary\r\n\r\n"), NOT_HTTP, id="another protocol"),
        pytest.param(saying(OK + b"x: " + b"y" * 40_000 + b"\r\n\r\n"), NOT_HTTP, id="a long header"),
        pytest.param(saying(OK + b"x: y\r\n" * 1000 + b"\r\n"), NOT_HTTP, id="many headers"),
        pytest.param(
            saying(OK + (b"x: " + b"y" * 1000 + b"\r\n") * 40 + b"\r\n"),
            NoAnswer(Fault.GARBAGE, "more than 32768 bytes of headers"),
            id="long headers together",
        ),
    ],
)
async def test_an_answer_that_is_none_is_said_to_be_none(talk: Talk, expected: NoAnswer) -> None:
    async with listening(talk) as server:
        assert await ask(server.url) == expected


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nold", 200, b"old", id="HTTP/1.0, before our body was read"),
        pytest.param(b"HTTP/1.1 101 Switch\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nx", 101, b"", id="an upgrade"),
        pytest.param(answer(b"\x1b[2J\x00", "x: \x1b[2J"), 200, b"\x1b[2J\x00", id="escapes"),
    ],
)
async def test_odd_answers_are_answers_where_http_allows_them(said: bytes, status: int, body: bytes) -> None:
    async with listening(said) as server, open_transport() as transport:
        response = await transport.send(Request("POST", server.url, {}, b"body"), within=AMPLE)
    assert isinstance(response, Response)
    assert (response.status, response.body) == (status, body)


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(for_ever(b"x" * 65536, after=OK + b"\r\n"), id="a body without end"),
        pytest.param(saying(answer(gzip.compress(bytes(200_000_000), 1), "content-encoding: gzip")), id="a bomb"),
    ],
)
async def test_a_body_without_bounds_is_left_and_fills_no_memory(talk: Talk) -> None:
    async with listening(talk) as server:
        tracemalloc.start()
        try:
            assert await ask(server.url) == NoAnswer(Fault.TOO_LARGE, "more than 4194304 bytes")
            assert tracemalloc.get_traced_memory()[1] < 16_000_000
        finally:
            tracemalloc.stop()


async def test_nobody_listens_there() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        expected = NoAnswer(Fault.CONNECTION, "Connection refused")
        assert await ask(f"http://127.0.0.1:{port}") == expected


@pytest.mark.parametrize(
    ("code", "words", "fault"),
    [
        (socket.EAI_NONAME, "Name or service not known", Fault.DNS),
        (socket.EAI_AGAIN, "Temporary failure in name resolution", Fault.LOCAL),
    ],
)
async def test_a_name_that_nobody_knows_is_not_a_resolver_that_is_down(
    code: int, words: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(code, words)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert await ask("http://nowhere.example") == NoAnswer(fault, words)


def no_socket(code: int) -> Callable[..., socket.socket]:
    def make(*_: object, **__: object) -> socket.socket:
        raise OSError(code, "our own side")

    return make


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENOMEM])
async def test_what_fails_on_our_side_is_said_to_be_ours(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_transport() as transport:
        monkeypatch.setattr("aiohappyeyeballs.impl.socket.socket", no_socket(code))
        response = await transport.send(Request("GET", "http://127.0.0.1:9/"), within=AMPLE)
    monkeypatch.undo()
    assert response == NoAnswer(Fault.LOCAL, os.strerror(code))


async def test_a_server_that_speaks_no_tls_is_a_fault_of_tls() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        response = await ask(f"https://127.0.0.1:{port}")
    assert isinstance(response, NoAnswer)
    assert response.fault is Fault.TLS
    assert "\n" not in response.detail


async def test_a_request_that_is_cancelled_ends_at_once_and_harms_no_other() -> None:
    async with listening(never) as silent, listening(answer(b"here")) as sound, open_transport() as transport:
        with anyio.move_on_after(0.05) as scope:
            await transport.send(Request("GET", silent.url), within=AMPLE)
        assert scope.cancelled_caught
        assert await reached(transport, sound.url)


async def reached(transport: Transport, url: str) -> bool:
    return not isinstance(await transport.send(Request("GET", url), within=AMPLE), NoAnswer)
