"""A hostile receiver, on a real socket. Each attempt ends in time, fills no memory, raises nothing, harms no other."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from attempting import CLOSED, GLANCE, LATE, NOT_HTTP, RESET, SHORT, attempt, said, what, why
from raw_server import Talk, answer, for_ever, listening, reset_after, saying

from watcher.core.wire import Fault, Response

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await anyio.sleep_forever()


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(saying(OK + b"x: " + b"y" * 40_000 + b"\r\n\r\n"), id="one"),
        pytest.param(saying(OK + b"x: y\r\n" * 10_000 + b"\r\n"), id="many"),
        pytest.param(saying(OK + (b"x: " + b"y" * 1000 + b"\r\n") * 40 + b"\r\n"), id="together"),
        pytest.param(saying(OK, *[b"x: " + b"y" * 32_000 + b"\r\n"] * 127, b"\r\n"), id="as large as each may be"),
        pytest.param(for_ever(b"y" * 65_536, after=OK + b"x: "), id="one without end"),
        pytest.param(for_ever(b"x: y\r\n" * 1000, after=OK), id="without end"),
        pytest.param(for_ever(b"y" * 65_536, after=b"HTTP/1.1 200 "), id="a status line without end"),
    ],
)
async def test_h01_headers_over_32_kib_are_no_answer(talk: Talk) -> None:
    came = why(await said(talk))
    assert came in {NOT_HTTP, (Fault.GARBAGE, "more than 32768 bytes of headers")}


async def test_h01_headers_of_32_kib_are_an_answer() -> None:
    assert what(await said(answer(b"ok", *[f"x: {'y' * 1000}"] * 31))) == (200, b"ok")


async def test_h02_headers_dribbled_for_ever_are_left_in_time() -> None:
    assert why(await said(for_ever(b"X-More: y\r\n", after=OK, every=0.02), within=SHORT)) == LATE


async def test_h03_endless_100_continue_is_left_in_time() -> None:
    assert why(await said(for_ever(b"HTTP/1.1 100 Continue\r\n\r\n", every=0.01), within=SHORT)) == LATE


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(for_ever(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000), id="of 100 Continue"),
        pytest.param(for_ever(b"HTTP/1.1 103 X\r\n" + b"x: y\r\n" * 100 + b"\r\n"), id="with headers"),
    ],
)
async def test_h03_a_flood_of_interim_answers_is_left(talk: Talk) -> None:
    assert why(await said(talk)) == NOT_HTTP


async def test_h03_a_few_100_continue_are_fine() -> None:
    assert what(await said(b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + answer(b"ok"))) == (200, b"ok")


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(for_ever(b"x" * 65_536, after=OK + b"\r\n"), id="until it closes"),
        pytest.param(for_ever(b"x" * 65_536, after=OK + b"content-length: 999999999999\r\n\r\n"), id="as it says"),
        pytest.param(for_ever(b"10000\r\n" + b"x" * 65_536 + b"\r\n", after=CHUNKED), id="in chunks"),
        pytest.param(for_ever(b"1\r\nx\r\n" * 10_000, after=CHUNKED), id="in small chunks"),
    ],
)
async def test_h04_a_body_without_end_is_only_glanced_at(talk: Talk) -> None:
    assert what(await said(talk)) == (200, b"x" * GLANCE)


async def test_h04_of_answers_without_end_the_first_one_counts() -> None:
    flood = for_ever(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" * 7000)
    assert what(await said(flood)) == (200, b"")


async def test_h04_a_chunk_whose_head_never_ends_is_left_in_time() -> None:
    assert why(await said(for_ever(b"y" * 4096, after=CHUNKED + b"1;", every=0.001), within=SHORT)) == LATE


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(for_ever(b"x", after=OK + b"content-length: 99999\r\n\r\n", every=0.02), id="a byte at a time"),
        pytest.param(for_ever(b"1\r\nx\r\n", after=CHUNKED, every=0.02), id="a chunk at a time"),
    ],
)
async def test_h05_a_slow_body_counts_for_the_timeout_of_the_whole_attempt(talk: Talk) -> None:
    assert why(await said(talk, within=SHORT)) == LATE


BOMB = gzip.compress(bytes(100_000_000), 9)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
async def test_h06_a_gzip_bomb_does_not_go_off(encoding: str) -> None:
    assert what(await said(answer(BOMB, f"content-encoding: {encoding}"))) == (200, BOMB[:GLANCE])


@pytest.mark.parametrize(
    ("bytes_said", "status", "body"),
    [
        pytest.param(OK + b"content-length: 9\r\n\r\nabc", 200, b"abc", id="shorter than it says"),
        pytest.param(CHUNKED + b"9\r\nabc", 200, b"abc", id="a chunk cut short"),
        pytest.param(CHUNKED + b"3\r\nabc\r\n", 200, b"abc", id="no last chunk"),
        pytest.param(b"HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\nabc", 500, b"abc", id="of a failure"),
    ],
)
async def test_h07_a_body_that_is_cut_short_takes_nothing_from_the_status(
    bytes_said: bytes, status: int, body: bytes
) -> None:
    assert what(await said(bytes_said)) == (status, body)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(OK + b"content-length: -1\r\n\r\nabc", id="a negative length"),
        pytest.param(OK + b"content-length: abc\r\n\r\nabc", id="no number"),
        pytest.param(OK + b"content-length: 99999999999999999999999999\r\n\r\nabc", id="too large a number"),
        pytest.param(OK + b"content-length: 3\r\ncontent-length: 5\r\n\r\nabc", id="two lengths"),
        pytest.param(CHUNKED + b"zz\r\nabc", id="no chunk"),
        pytest.param(CHUNKED + b"-3\r\nabc", id="a negative chunk"),
        pytest.param(CHUNKED + b"fffffffffffffffffff\r\nabc", id="too large a chunk"),
    ],
)
async def test_h07_lengths_that_are_none_are_no_answer(head: bytes) -> None:
    assert why(await said(head)) == NOT_HTTP


@pytest.mark.parametrize(
    ("talk", "expected"),
    [
        pytest.param(reset_after(b""), RESET, id="reset"),
        pytest.param(saying(b""), CLOSED, id="closed"),
        pytest.param(saying(OK + b"x: "), CLOSED, id="closed within the headers"),
    ],
)
async def test_h08_a_reset_after_the_request_was_sent_is_no_answer_and_not_tried_again_at_once(
    talk: Talk, expected: tuple[Fault, str]
) -> None:
    assert why(await said(talk)) == expected


@asynccontextmanager
async def deaf(reply: bytes, *, is_closing: bool) -> AsyncIterator[str]:
    """Answer as soon as something comes, and read no more of it."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
        writer.write(reply)
        if not is_closing:
            await gone.wait()
        writer.close()

    gone = anyio.Event()
    async with await asyncio.start_server(meet, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        gone.set()


@pytest.mark.parametrize("body", [b"{}", b"x" * 3_000_000], ids=["small", "large"])
async def test_h09_an_answer_before_the_body_is_read_is_the_answer(body: bytes) -> None:
    async with deaf(answer(b"enough", status="413 Content Too Large"), is_closing=False) as url:
        assert what(await attempt(url, body=body)) == (413, b"enough")


async def test_h09_who_answers_and_hangs_up_while_we_write_is_left_in_time() -> None:
    async with deaf(answer(b"enough", status="413 Content Too Large"), is_closing=True) as url:
        came = await attempt(url, body=b"x" * 3_000_000)
    assert isinstance(came, Response) or came.fault is Fault.CONNECTION  # what comes first: his answer, or his reset


@pytest.mark.parametrize(
    "bytes_said", [b"<html>hello</html>\r\n\r\n", b"hello", b"SSH-2.0-x\r\n", b"HTTP/3.0 200 OK\r\n\r\n"]
)
async def test_h11_http_0_9_is_no_answer(bytes_said: bytes) -> None:
    assert why(await said(bytes_said)) in {NOT_HTTP, CLOSED}


@pytest.mark.parametrize("status", [b"0", b"000", b"42", b"099"])
async def test_h11_a_status_below_100_is_no_answer(status: bytes) -> None:
    fault, _ = why(await said(b"HTTP/1.1 " + status + b" What\r\ncontent-length: 0\r\n\r\n"))
    assert fault is Fault.GARBAGE


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n"])
async def test_h11_http_1_0_is_an_answer(head: bytes) -> None:
    assert what(await said(head + b"\r\nold")) == (200, b"old")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
async def test_h12_a_redirect_is_never_followed(status: int) -> None:
    async with listening(answer(b"secret")) as inside:
        for location in ("http://169.254.169.254/latest/meta-data/", inside.url, "/elsewhere", "//[::1]/", "file:///x"):
            came = await said(answer(b"", f"location: {location}", status=f"{status} Go"))
            assert isinstance(came, Response)
            assert (came.status, came.headers["location"]) == (status, location)
    assert inside.connections == 0


async def test_h13_a_login_page_is_what_it_says_it_is() -> None:
    page = b"<!doctype html><title>Log in</title>" + b" " * 4000
    assert what(await said(answer(page, "content-type: text/html"))) == (200, page[:GLANCE])


async def test_h14_escapes_and_nul_in_a_body_are_kept_as_bytes() -> None:
    body = bytes(range(256))
    assert what(await said(answer(body))) == (200, body)


async def test_h14_odd_bytes_in_headers_can_be_stored_and_shown() -> None:
    head = OK + b"x: \x1b[2J\r\ny: \xff\xc3\xa9\x80\r\ncontent-length: 0\r\n\r\n"
    came = await said(head)
    assert isinstance(came, Response)
    assert came.headers == {"x": "\x1b[2J", "y": "\\xff\u00e9\\x80", "content-length": "0"}
    assert [value.encode() for value in came.headers.values()]


@pytest.mark.parametrize("line", [b"x: a\x00b", b"x\x00: y", b"x\x1b[2J: y", b"x : y", b"x", b": y", b"x: y\rz: 1"])
async def test_h14_headers_that_http_forbids_are_no_answer(line: bytes) -> None:
    assert why(await said(OK + line + b"\r\ncontent-length: 0\r\n\r\n")) == NOT_HTTP


@pytest.mark.parametrize(
    "value",
    [
        *("-1", "0", "120", "1e99", "9" * 400, "0x10", "1.5", "NaN", "soon", "\u221e", ""),
        *("Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 99999 23:59:59 GMT"),
        *("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"),
    ],
)
async def test_h15_retry_after_comes_as_it_was_said(value: str) -> None:
    came = await said(answer(b"", f"retry-after: {value}", status="429 Slow"))
    assert isinstance(came, Response)
    assert (came.status, came.headers["retry-after"]) == (429, value)


async def test_h16_who_never_accepts_is_left_in_time() -> None:
    async with AsyncExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # more than wait in the queue of one that listens with 0
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003
            waiting.connect_ex(full.getsockname())
        assert why(await attempt(f"http://127.0.0.1:{full.getsockname()[1]}", within=SHORT)) == LATE


async def test_h17_who_accepts_and_never_answers_is_left_in_time() -> None:
    assert why(await said(never, within=SHORT)) == LATE
