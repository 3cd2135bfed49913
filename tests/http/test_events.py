"""/v1/events: reading by cursor, waiting, and the stream of server-sent events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import anyio
import orjson
import pytest
from http_api import Served, api, problem

from watcher.core.model import Json
from watcher.http import events


async def cursors(served: Served, query: str) -> tuple[list[int], int]:
    """Return the cursors of a page, and what follows it."""
    answer = await served.get(f"/v1/events?{query}")
    page = answer.json
    assert isinstance(page, dict)
    assert isinstance(page["events"], list)
    assert isinstance(page["next"], int)
    return [event["cursor"] for event in page["events"] if isinstance(event, dict)], page["next"]  # type: ignore[misc]


@asynccontextmanager
async def streaming(served: Served, query: str = "", **headers: str) -> AsyncIterator[aiohttp.StreamReader]:
    """Open a stream and read past its greeting."""
    async with served.session.get(f"{served.url}/v1/events/stream{query}", headers=headers) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        assert await answer.content.readuntil(b"\n\n") == b"retry: 1000\n\n"
        yield answer.content


async def test_events_are_read_behind_a_cursor_in_the_order_of_their_commits(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for name in ["a", "b"]:
            await served.daemon.watch(name)
        for name in ["a", "b", "a"]:
            await served.daemon.change(name)
        assert await cursors(served, "") == ([1, 2, 3], 3)
        assert await cursors(served, "limit=2") == ([1, 2], 2)
        assert await cursors(served, "after=2") == ([3], 3)
        assert await cursors(served, "after=3") == ([], 3)
        assert await cursors(served, "watch=a") == ([1, 3], 3)
        assert await cursors(served, "watch=a&after=1") == ([3], 3)
        assert await cursors(served, "watch=nobody") == ([], 0)


async def test_an_event_is_the_body_of_its_webhooks_with_its_id_and_cursor(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        (event,) = (await served.daemon.change()).events
        page = await served.get("/v1/events")
        assert page.json == {"events": [{"id": event.id, "cursor": 1, **orjson.loads(event.body)}], "next": 1}


async def test_a_long_poll_ends_with_the_event_that_it_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY", 60)
    async with api(tmp_path) as served:
        await served.daemon.watch()
        found: list[tuple[list[int], int]] = []

        async def wait() -> None:
            found.append(await cursors(served, "wait=60"))

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await asked(served, times=1)
                await served.daemon.change()
                served.backing.news.ring()
        assert found == [([1], 1)]


async def test_a_long_poll_sees_what_another_process_wrote_without_a_ring(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(served.daemon.change)
            assert await cursors(served, "wait=30") == ([1], 1)


async def test_a_long_poll_ends_empty_when_its_time_is_over(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        began = anyio.current_time()
        assert await cursors(served, "wait=0.3&after=7") == ([], 7)
        assert 0.3 <= anyio.current_time() - began < 5


@pytest.mark.parametrize("wait", ["61", "-1", "nan", "inf", "6e1s", "", "10s"])
async def test_nobody_waits_longer_than_a_minute(tmp_path: Path, wait: str) -> None:
    async with api(tmp_path) as served:
        answer = await served.get(f"/v1/events?wait={wait}")
        expected = "expected a number of at most 60" if wait == "61" else "expected a number of seconds"
        wrong: Json = {"where": "wait", "expected": expected}
        assert answer.json == problem(400, f"query: wait: {expected}", wrong)


async def test_the_stream_has_cursor_type_and_the_exact_body_of_each_event(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        first = (await served.daemon.change()).events[0].body
        with anyio.fail_after(10):
            async with streaming(served) as stream:
                framed = b"id: %d\nevent: watch.status.changed\ndata: %s\n\n"
                assert await stream.readuntil(b"\n\n") == framed % (1, first)
                second = (await served.daemon.change()).events[0].body
                served.backing.news.ring()
                assert await stream.readuntil(b"\n\n") == framed % (2, second)


async def test_a_stream_goes_on_behind_the_last_event_that_was_seen(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        for _ in range(4):
            await served.daemon.change()
        with anyio.fail_after(10):
            async with streaming(served, "?after=2") as stream:
                assert (await stream.readuntil(b"\n")) == b"id: 3\n"
            async with streaming(served, "?after=1", **{"Last-Event-ID": "3"}) as stream:
                assert (await stream.readuntil(b"\n")) == b"id: 4\n"


async def test_a_stream_of_one_watch_has_only_its_events(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for name in ["a", "b"]:
            await served.daemon.watch(name)
        for name in ["a", "b", "b"]:
            await served.daemon.change(name)
        with anyio.fail_after(10):
            async with streaming(served, "?watch=b") as stream:
                for number in [2, 3]:
                    assert (await stream.readuntil(b"\n\n")).startswith(b"id: %d\n" % number)


async def test_a_stream_brings_more_than_a_page_and_misses_none(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        for _ in range(events.PAGE + 50):
            await served.daemon.change()
        with anyio.fail_after(20):
            async with streaming(served) as stream:
                seen = [(await stream.readuntil(b"\n\n")).split(b"\n")[0] for _ in range(events.PAGE + 50)]
        assert seen == [b"id: %d" % number for number in range(1, events.PAGE + 51)]


async def test_a_quiet_stream_is_kept_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE", 0.05)
    async with api(tmp_path) as served:
        with anyio.fail_after(10):
            async with streaming(served) as stream:
                assert await stream.readuntil(b"\n\n") == b": nothing new\n\n"


@pytest.mark.parametrize("id", ["", "x", "-1", "1.5", "99999999999999999999"])
async def test_a_last_event_id_that_is_no_cursor_is_refused(tmp_path: Path, id: str) -> None:
    async with api(tmp_path) as served:
        answer = await served.get("/v1/events/stream", {"Last-Event-ID": id})
        wrong: Json = {"where": "Last-Event-ID", "expected": "expected a whole number"}
        assert answer.json == problem(400, "header: Last-Event-ID: expected a whole number", wrong)


async def test_a_reader_that_reads_nothing_is_let_go_and_holds_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SEND_WITHIN", 0.3)
    async with api(tmp_path) as served:
        await served.daemon.watch()
        for _ in range(200):
            await served.daemon.change(padding=64_000)
        async with await anyio.connect_tcp("127.0.0.1", served.server.port) as connection:
            await connection.send(b"GET /v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with anyio.fail_after(10):
                while served.server.connections:
                    await anyio.sleep(0.02)
        assert (await served.get("/healthz")).status == 200


async def test_a_reader_that_went_is_forgotten_within_a_second_or_so(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        async with await anyio.connect_tcp("127.0.0.1", served.server.port) as connection:
            await connection.send(b"GET /v1/events?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await asked(served, times=1)
        with anyio.fail_after(5):
            while served.server.connections:
                await anyio.sleep(0.02)


async def test_those_who_wait_leave_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_WAITING", 1)
    async with api(tmp_path) as served:
        with anyio.fail_after(10):
            async with streaming(served):
                for path in ["/v1/events?wait=1", "/v1/events/stream"]:
                    assert (await served.get(path)).json == problem(503, "too many wait for events")
                assert (await served.get("/v1/events")).status == 200
            while (await served.get("/v1/events?wait=0.01")).status != 200:
                await anyio.sleep(0.01)


async def asked(served: Served, *, times: int) -> None:
    """Wait until the server has looked for events so often."""
    with anyio.fail_after(10):
        while served.daemon.records.looked < times:
            await anyio.sleep(0.01)
