"""H10 of a hostile receiver: a kept connection that closes as we use it again."""

import asyncio
from datetime import timedelta

import anyio
import pytest
from attempting import CLOSED, GLANCE, HEADERS, LATE, SHORT, what, why
from raw_server import RawServer, Talk, answer, listening, reset_after, saying

from watcher.core.wire import NoAnswer, Request, Response
from watcher.transport import open_transport


def closing(*stale: bytes, close_by: Talk) -> Talk:
    """Answer the first request of each connection; of a kept one say `stale` and close, but answer on new ones."""
    met: set[asyncio.StreamWriter] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer in met:
            writer.writelines(stale)
            await close_by(reader, writer)
        else:
            met.add(writer)
            writer.write(answer(b"here"))

    return talk


async def send_twice(server: RawServer, *, kept: int = 1) -> list[Response | NoAnswer]:
    """Send, so that connections are kept; then send once more."""
    answers: list[Response | NoAnswer] = []
    async with open_transport(glance=GLANCE) as transport:

        async def send() -> None:
            request = Request("POST", f"{server.url}/hook", HEADERS, b"{}")
            answers.append(await transport.send(request, within=timedelta(seconds=9)))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(kept):
                tasks.create_task(send())
        await send()
    return answers


@pytest.mark.parametrize("close_by", [saying(b""), reset_after(b"")], ids=["closed", "reset"])
async def test_h10_a_kept_connection_that_closes_as_we_use_it_is_tried_once_more_the_same(close_by: Talk) -> None:
    async with listening(closing(close_by=close_by)) as server:
        answers = await send_twice(server)
    assert [what(one) for one in answers] == [(200, b"here")] * 2
    assert server.connections == 2
    first, stale, fresh = (head.replace(b"Connection: close\r\n", b"") for head in server.heads)
    assert first == stale == fresh
    assert server.bodies == [b"{}"] * 3


async def test_h10_the_second_try_takes_no_other_kept_connection() -> None:
    async with listening(closing(close_by=saying(b""))) as server:
        answers = await send_twice(server, kept=5)
    assert [what(one) for one in answers] == [(200, b"here")] * 6
    assert (len(server.heads), server.connections) == (7, 6)


async def test_h10_it_is_tried_once_more_and_never_twice() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.heads) == 1:
            writer.write(answer(b"here"))
        else:
            writer.close()

    async with listening(talk) as server:
        first, second = await send_twice(server)
    assert (what(first), why(second)) == ((200, b"here"), CLOSED)
    assert (len(server.heads), server.connections) == (3, 2)


@pytest.mark.parametrize("byte", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_h10_after_one_byte_of_an_answer_it_is_not_tried_again(byte: bytes) -> None:
    async with listening(closing(byte, close_by=saying(b""))) as server:
        first, second = await send_twice(server)
    assert (what(first), why(second)) == ((200, b"here"), CLOSED)
    assert (len(server.heads), server.connections) == (2, 1)


async def test_h10_both_tries_together_have_the_time_of_one() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.heads) == 1:
            writer.write(answer(b"here"))
        elif len(server.heads) == 2:
            await asyncio.sleep(0.2)
            writer.close()
        else:
            await anyio.sleep_forever()

    async with listening(talk) as server, open_transport(glance=GLANCE) as transport:
        request = Request("POST", server.url)
        assert isinstance(await transport.send(request, within=timedelta(seconds=9)), Response)
        late = await transport.send(request, within=SHORT)
    assert why(late) == LATE
    assert late.timing is not None
    assert 0.3 <= late.timing.total < 1.3
    assert len(server.heads) == 3
