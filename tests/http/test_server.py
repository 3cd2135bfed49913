"""The server itself: its bounds, clients that are slow, rude or gone, and how it stops."""

import logging
import socket
from pathlib import Path

import aiohttp
import anyio
import pytest
import structlog
from http_api import ANY, REQUEST, Served, api, serving, stored

from watcher.core.errors import WatcherError
from watcher.http import api as border
from watcher.http import route, server
from watcher.http.address import Tcp, Unix
from watcher.http.server import HttpServer

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/watches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


async def test_pipelined_requests_are_answered_in_their_order(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        answers = await served.raw(
            HEAD
            + b"\r\n"
            + b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50
            + HEAD
            + b"Connection: close\r\n\r\n",
        )
        assert answers.count(b"HTTP/1.1 200 OK") == 52


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"rubbish\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"431"),
        (HEAD + b"".join(b"X-%d: 1\r\n" % number for number in range(1000)) + b"\r\n", b"400"),
        (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (POST + b"Content-Length: -1\r\n\r\n", b"400"),
        (HEAD + b"X: a\x00b\r\n\r\n", b"400"),
    ],
)
async def test_what_is_no_http_is_answered_as_a_problem_without_an_echo_and_logged_by_nobody(
    tmp_path: Path, sent: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with api(tmp_path) as served:
        with structlog.testing.capture_logs() as lines:
            answer = await served.raw(sent)
        assert answer.split(b" ")[1] == status
        assert b"Content-Type: application/problem+json" in answer
        assert b"rubbish" not in answer
        assert lines == []
        assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_a_broken_body_is_answered_400_and_nothing_is_taken(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        answer = await served.raw(POST + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n")
        assert b" 400 Bad Request\r\n" in answer
        assert await served.daemon.records.watches() == []


async def test_a_client_that_asks_first_sends_no_body_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LINGER", 0.1)
    async with api(tmp_path) as served:
        asking = b"Expect: 100-continue\r\nConnection: close\r\n"
        answer = await served.raw(POST + asking + b"Content-Length: 5000000\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413")
        answer = await served.raw(POST + asking + b"Content-Length: 2\r\n\r\n{}")
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 422 ")
        answer = await served.raw(HEAD + b"Expect: a miracle\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")


async def test_a_body_that_never_ends_is_answered_408(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "BODY_WITHIN", 0.2)
    monkeypatch.setattr(server, "LINGER", 0.2)
    async with api(tmp_path) as served:
        answer = await served.raw(POST + b"Content-Length: 100\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 408")


async def test_a_head_that_never_ends_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE", 0.3)
    async with api(tmp_path) as served:
        with anyio.fail_after(5):
            assert await served.raw(HEAD) == b""
            answer = await served.raw(HEAD + b"\r\n" + HEAD)
            assert answer.startswith(b"HTTP/1.1 200")


async def test_a_connection_that_drips_its_head_gains_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE", 0.3)
    async with api(tmp_path) as served, await anyio.connect_tcp("127.0.0.1", served.server.port) as connection:

        async def drip() -> None:
            while True:
                await connection.send(b"G")
                with anyio.move_on_after(0.05):
                    await connection.receive()

        with anyio.fail_after(5), pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            await drip()


async def test_beyond_the_most_connections_more_are_turned_away_and_the_first_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 3)
    async with api(tmp_path) as served:
        held = [await anyio.connect_tcp("127.0.0.1", served.server.port) for _ in range(3)]
        await until(served, connections=3)
        assert (await served.raw(b"")).startswith(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n")
        await held[0].send(HEAD + b"\r\n")
        assert (await held[0].receive()).startswith(b"HTTP/1.1 200")
        await held[1].aclose()
        await until(served, connections=2)
        assert (await served.get("/healthz")).status == 200
        for one in held:
            await one.aclose()


async def test_a_client_that_goes_in_the_middle_of_its_request_leaves_nothing(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        with structlog.testing.capture_logs() as lines:
            async with await anyio.connect_tcp("127.0.0.1", served.server.port) as connection:
                await connection.send(POST + b"Content-Length: 100\r\n\r\n{")
                await until(served, connections=1)
            await until(served, connections=0)
        assert lines == []
        assert await served.daemon.records.watches() == []


async def test_a_request_whose_client_goes_before_the_answer_is_taken_all_the_same(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        body = b'{"id": "order-42", "provider": "d7", "params": {"request_id": "9d05"}}'
        async with await anyio.connect_tcp("127.0.0.1", served.server.port) as connection:
            await connection.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await until(served, connections=0)
        assert [row.watch.id for row in await served.daemon.records.watches()] == ["order-42"]


async def test_an_answer_that_nobody_reads_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(border, "SEND_WITHIN", 0.3)
    async with api(tmp_path) as served:
        await served.daemon.watch()
        for _ in range(150):
            await served.daemon.change(padding=64_000)
        async with await anyio.connect_tcp("127.0.0.1", served.server.port) as connection:
            await connection.send(b"GET /v1/events?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until(served, connections=1)
            await until(served, connections=0)


async def test_stopping_ends_streams_and_waits_in_order_and_within_two_seconds(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        answers: dict[str, bytes] = {}

        async def ask(path: str) -> None:
            answers[path] = (await served.get(path)).body

        async with anyio.create_task_group() as tasks:
            for path in ["/v1/events?wait=60", "/v1/events/stream"]:
                tasks.start_soon(ask, path)
            idle = await anyio.connect_tcp("127.0.0.1", served.server.port)
            while served.daemon.records.looked < 2:
                await anyio.sleep(0.01)
            began = anyio.current_time()
            served.server.stop()
        assert anyio.current_time() - began < 9
        assert answers == {"/v1/events?wait=60": b'{"events":[],"next":0}', "/v1/events/stream": b"retry: 1000\n\n"}
        async with idle:
            with anyio.fail_after(9), pytest.raises(anyio.EndOfStream):
                await idle.receive()
        with pytest.raises(OSError, match="connect"):
            await anyio.connect_tcp("127.0.0.1", served.server.port)


async def test_a_request_that_hangs_does_not_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with api(tmp_path) as served:
        hangs = anyio.Event()

        async def hang(_arrivals: object) -> None:
            hangs.set()
            await anyio.sleep_forever()

        async def ask() -> None:
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await served.post("/v1/watches", REQUEST)

        monkeypatch.setattr(served.daemon.store, "add", hang)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await hangs.wait()
            began = anyio.current_time()
            served.server.stop()
        assert anyio.current_time() - began < 9


async def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    async with stored(tmp_path) as daemon:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            second = HttpServer(daemon.backing(), address=Tcp("127.0.0.1", port), token=None)
            with pytest.raises(
                WatcherError, match=rf"^watcher\.listen: cannot listen on 127\.0\.0\.1:{port}: .*in use"
            ):
                await second.open()
        nowhere = HttpServer(daemon.backing(), address=Unix(tmp_path / "no" / "folder"), token=None)
        with pytest.raises(WatcherError, match=r"^watcher\.listen: cannot listen on unix:.*/no/folder: "):
            await nowhere.open()


async def test_a_socket_that_a_crash_left_behind_is_replaced(tmp_path: Path) -> None:
    address = Unix(tmp_path / "http.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(address.path))
    async with api(tmp_path, address=address) as served:
        assert (await served.get("/healthz")).status == 200


async def test_a_server_that_is_cancelled_closes_too(tmp_path: Path) -> None:
    async with stored(tmp_path) as daemon:
        served = HttpServer(daemon.backing(), address=ANY, token=None)
        await served.open()
        with anyio.move_on_after(0.01):
            await served.run()
        with pytest.raises(OSError, match="connect"):
            await anyio.connect_tcp("127.0.0.1", served.port)


async def test_it_turns_however_long_nobody_asks(tmp_path: Path) -> None:
    async with stored(tmp_path) as daemon, serving(daemon) as served:
        assert served.server.is_turning


async def until(served: Served, *, connections: int) -> None:
    with anyio.fail_after(10):
        while served.server.connections != connections:
            await anyio.sleep(0.01)


async def test_requests_are_still_answered_while_many_are_read(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        many = [{"provider": "d7", "params": {"request_id": str(number)}} for number in range(1000)]
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(served.post, "/v1/watches", many)
            for _ in range(20):
                assert (await served.post("/v1/watches", REQUEST)).status in {200, 201}
