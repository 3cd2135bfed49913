"""A `nats` source through an intake into a real store: nothing is lost, poison stops nobody, trouble is told once."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import orjson
import pytest
import pytest_asyncio
from nats_server import SUBJECT, NatsServer, publish, section
from structlog.testing import capture_logs
from structlog.typing import EventDict

from watcher import intake
from watcher.bell import Bell
from watcher.clock import SystemClock
from watcher.core.errors import StoreError
from watcher.core.request import MOST_BYTES
from watcher.core.rows import Admission, Arrival
from watcher.core.secret import Secret
from watcher.providers.d7 import D7
from watcher.sources import nats_pull
from watcher.stores.sqlite import SqliteStore
from watcher.stores.sqlite_records import SqliteRecords


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(intake, "LONGEST_WAIT", 0.1)
    monkeypatch.setattr(nats_pull, "RETURN_AFTER", 0.1)
    monkeypatch.setattr(nats_pull, "EXPIRES", 0.2)
    monkeypatch.setattr(nats_pull, "SILENCE", 1.0)


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """Set up a server that was not started yet."""
    server = NatsServer(tmp_path)
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "watcher.db")
    await store.lease()
    yield store
    await store.close()


@asynccontextmanager
async def taking_in(server: NatsServer, store: SqliteStore) -> AsyncIterator[list[EventDict]]:
    """Turn an intake, and return what it logs."""
    desk = intake.Desk({"d7": D7(token=Secret.literal("a-token"))}, frozenset(), SystemClock())
    loop = intake.Intake("queue", section(server).source(), desk=desk, store=store, feed=Bell())
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(loop.run)
            yield logs
            loop.stop()


async def until(logs: list[EventDict], event: str, *, times: int = 1) -> None:
    with anyio.fail_after(10):
        while sum(line["event"] == event for line in logs) < times:
            await anyio.sleep(0.01)


async def stored(store: SqliteStore) -> list[str]:
    return sorted(one.id for one in await store.load(after=0, limit=10_000))


def order(id: str, operation: str = "9d056a09") -> bytes:
    return orjson.dumps({"id": id, "provider": "d7", "params": {"request_id": operation}})


def told(logs: list[EventDict]) -> list[str]:
    return [line["event"] for line in logs if line["event"].startswith(("source.", "store."))]


async def test_poison_is_kept_with_its_place_and_reason_and_the_next_request_works(
    server: NatsServer, store: SqliteStore, tmp_path: Path
) -> None:
    huge = b'{"id": "huge", "padding": "' + b"x" * 5_000_000 + b'"}'
    poison = [b"not JSON", b"[]", huge, order("taken", "another"), b"\xff\x00", b""]
    await server.start()
    async with server.client() as streams:
        await streams.add_stream(name="WATCHER", subjects=[SUBJECT])
        await publish(streams, order("taken"), *poison, order("last"))
        async with taking_in(server, store) as logs:
            await until(logs, "request.accepted", times=2)
        consumer = await streams.consumer_info("WATCHER", "watcher")

    records = await SqliteRecords.open(tmp_path / "watcher.db")
    kept = sorted(await records.rejected(), key=lambda row: row.where)
    await records.close()
    assert await stored(store) == ["last", "taken"]
    assert [(row.where, row.raw, row.reason.partition(": ")[0]) for row in kept] == [
        (f"{SUBJECT}#2", b"not JSON", "expected one JSON object"),
        (f"{SUBJECT}#3", b"[]", "expected one JSON object, got a list"),
        (f"{SUBJECT}#4", huge[: MOST_BYTES + 1], "expected at most 256 KiB, got more"),
        (f"{SUBJECT}#5", order("taken", "another"), "conflict"),
        (f"{SUBJECT}#6", b"\xff\x00", "expected one JSON object"),
        (f"{SUBJECT}#7", b"", "expected one JSON object"),
    ]
    assert (consumer.num_ack_pending, consumer.num_pending, consumer.num_redelivered) == (0, 0, 0)


async def test_what_the_store_cannot_take_now_comes_again_until_it_can(
    server: NatsServer, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, sulks = SqliteStore.add, 3

    async def sulking(
        self: SqliteStore, arrivals: Sequence[Arrival], *, source: str | None = None, position: bytes | None = None
    ) -> list[Admission]:
        nonlocal sulks
        if sulks:
            sulks -= 1
            raise StoreError("the disk is full")
        return await add(self, arrivals, source=source, position=position)

    monkeypatch.setattr(SqliteStore, "add", sulking)
    await server.start()
    async with server.client() as streams:
        await streams.add_stream(name="WATCHER", subjects=[SUBJECT])
        await publish(streams, *[order(f"w{number:03}") for number in range(300)])
        async with taking_in(server, store) as logs:
            await until(logs, "request.accepted", times=300)

    assert await stored(store) == [f"w{number:03}" for number in range(300)]
    assert told(logs) == ["store.slow"] * 3


async def test_a_server_that_is_absent_at_the_start_is_told_once_and_once_when_it_comes(
    server: NatsServer, store: SqliteStore
) -> None:
    async with taking_in(server, store) as logs:
        await until(logs, "source.down")
        await anyio.sleep(0.5)  # several tries
        await server.start()
        await until(logs, "source.up")
        async with server.client() as streams:
            await publish(streams, order("a"))
        await until(logs, "request.accepted")

    assert told(logs) == ["source.down", "source.up"]
    assert await stored(store) == ["a"]


async def test_a_server_that_is_killed_in_the_middle_is_told_once_and_nothing_is_lost(
    server: NatsServer, store: SqliteStore
) -> None:
    ids = [f"w{number:04}" for number in range(2000)]
    await server.start()
    async with server.client() as streams:
        await streams.add_stream(name="WATCHER", subjects=[SUBJECT])
        await streams.add_consumer("WATCHER", durable_name="watcher", filter_subject=SUBJECT, ack_wait=0.5)
        await publish(streams, *map(order, ids))
    async with taking_in(server, store) as logs:
        await until(logs, "request.accepted", times=100)
        await server.stop()
        assert len(await stored(store)) < len(ids)
        await until(logs, "source.down")
        await server.start()
        await until(logs, "source.up")
        with anyio.fail_after(10):
            while await stored(store) != ids:
                await anyio.sleep(0.05)

    assert told(logs) == ["source.down", "source.up"]


async def test_a_slow_server_is_no_trouble_and_a_silent_one_is_told_once(
    server: NatsServer, store: SqliteStore
) -> None:
    await server.start()
    async with server.client() as streams, taking_in(server, store) as logs:
        await streams.add_stream(name="WATCHER", subjects=[SUBJECT])
        for number in range(3):
            server.freeze()
            await anyio.sleep(0.4)
            server.thaw()
            await publish(streams, order(f"slow {number}"))
        await until(logs, "request.accepted", times=3)
        assert told(logs) == []
        server.freeze()
        await until(logs, "source.down")
        server.thaw()
        await until(logs, "source.up")
        await publish(streams, order("silent"))
        await until(logs, "request.accepted", times=4)

    assert told(logs) == ["source.down", "source.up"]
    assert await stored(store) == ["silent", "slow 0", "slow 1", "slow 2"]
