"""A Redis stream through intake into a store on disk: poison, a server that comes and goes, and one that dies."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import orjson
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis_server import RedisServer, redis_server
from structlog.testing import capture_logs
from virtual import VirtualClock

from watcher import intake
from watcher.bell import Bell
from watcher.core.request import MOST_BYTES
from watcher.intake import Desk, Intake
from watcher.providers.d7 import D7
from watcher.sources.redis_address import Address
from watcher.sources.redis_stream import NO_REQUEST, RedisSource
from watcher.stores.sqlite import SqliteStore
from watcher.stores.sqlite_records import SqliteRecords

STREAM, GROUP = "watcher:requests", "watcher"


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "watcher.db")
    await store.lease()
    yield store
    await store.close()


@asynccontextmanager
async def reading(server: RedisServer, store: SqliteStore, *, within: float = 5.0) -> AsyncIterator[None]:
    """Take in what comes while the block lasts."""
    address = Address.read(server.url)
    source = RedisSource(address, stream=STREAM, group=GROUP, consumer="one", timeout=within)
    desk = Desk({"d7": D7.model_validate({"type": "d7", "token": "a-token"})}, frozenset(), VirtualClock())
    loop = Intake("queue", source, desk=desk, store=store, feed=Bell())
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(loop.run)
            yield
            loop.stop()


def order(id: str, operation: str = "9d056a09") -> bytes:
    return orjson.dumps({"id": id, "provider": "d7", "params": {"request_id": operation}})


async def add(client: Redis, *requests: bytes) -> None:
    for request in requests:
        await client.xadd(STREAM, {"request": request})


async def known(store: SqliteStore, number: int) -> set[str]:
    """Wait until so many watches are stored; return their ids."""
    while len(opened := await store.load(after=0, limit=1000)) < number:
        await anyio.sleep(0.01)
    return {one.id for one in opened}


async def let_go_of(client: Redis) -> bool:
    """Wait until nothing is pending."""
    while (await client.xpending(STREAM, GROUP))["pending"]:
        await anyio.sleep(0.01)
    return True


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "FIRST_WAIT", 0.05)


async def test_poison_is_kept_with_its_place_and_reason_and_let_go_of_and_the_next_request_works(
    tmp_path: Path, store: SqliteStore
) -> None:
    conflicting = order("taken", "another")
    too_long = b'{"id":"%s"}' % (b"x" * 5_000_000)
    poison = [b"rubbish", b"\xff\xfe", b"[]", b'{"provider":"d7"}', too_long, conflicting, b'{"cancel":"nobody"}']
    async with redis_server(tmp_path) as server, server.client() as client:
        await client.xadd(STREAM, {"request": order("taken")}, id="1-1")
        for number, request in enumerate(poison, start=1):
            await client.xadd(STREAM, {"request": request}, id=f"2-{number}")
        await client.xadd(STREAM, {"id": "x", "provider": "d7"}, id="3-1")
        await client.xadd(STREAM, {"request": order("next")}, id="3-2")
        with capture_logs() as logs:
            async with reading(server, store):
                assert await known(store, 2) == {"taken", "next"}
                assert await let_go_of(client)

    records = await SqliteRecords.open(tmp_path / "watcher.db")
    kept = {row.where.removeprefix(STREAM): (row.raw, row.reason) for row in await records.rejected()}
    await records.close()
    assert {where: raw for where, (raw, _) in kept.items()} == {
        **{f"#2-{number}": request[: MOST_BYTES + 1] for number, request in enumerate(poison, start=1)},
        "#3-1": b'{"id":"x","provider":"d7"}',
    }
    assert [reason.partition(":")[0] for _, (_, reason) in sorted(kept.items())] == [
        "expected one JSON object",
        "expected one JSON object",
        "expected one JSON object, got a list",
        "params",
        "expected at most 256 KiB, got more",
        "conflict",
        "unknown",
        NO_REQUEST,
    ]
    told = [line["where"].removeprefix(STREAM) for line in logs if line["event"] == "request.rejected"]
    assert told == sorted(kept)


async def test_a_redis_that_is_absent_at_the_start_is_down_once_and_up_once(tmp_path: Path, store: SqliteStore) -> None:
    server = RedisServer(tmp_path)
    try:
        with capture_logs() as logs:
            async with reading(server, store):
                await anyio.sleep(0.3)
                await server.start()
                async with server.client() as client:
                    await add(client, order("a"))
                    assert await known(store, 1) == {"a"}
                    assert await let_go_of(client)
    finally:
        await server.kill()

    assert [line["event"] for line in logs] == ["source.down", "source.up", "request.accepted"]
    assert logs[0]["error"].startswith(f"{STREAM} at 127.0.0.1:{server.port}: Error 111 connecting to ")


async def test_a_redis_that_is_killed_and_started_again_is_down_once_and_up_once_and_loses_nothing(
    tmp_path: Path, store: SqliteStore
) -> None:
    async with redis_server(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        with capture_logs() as logs:
            async with reading(server, store):
                async with server.client() as client:
                    await add(client, *(order(f"a{number}") for number in range(100)))
                await known(store, 1)
                await server.kill()
                await anyio.sleep(0.3)
                await server.start()
                async with server.client() as client:
                    await add(client, order("b"))
                    assert await known(store, 101) == {*(f"a{number}" for number in range(100)), "b"}
                    assert await let_go_of(client)

    assert [line["event"] for line in logs if line["event"].startswith("source.")] == ["source.down", "source.up"]


async def test_a_redis_that_hangs_is_down_once_and_up_once(tmp_path: Path, store: SqliteStore) -> None:
    async with redis_server(tmp_path) as server, server.client() as client:
        with capture_logs() as logs:
            async with reading(server, store, within=0.2):
                await add(client, order("a"))
                await known(store, 1)
                server.signal(signal.SIGSTOP)
                await anyio.sleep(1)
                server.signal(signal.SIGCONT)
                await add(client, order("b"))
                assert await known(store, 2) == {"a", "b"}
                assert await let_go_of(client)

    assert [line["event"] for line in logs if line["event"].startswith("source.")] == ["source.down", "source.up"]


async def test_a_redis_that_is_only_slow_is_waited_for(tmp_path: Path, store: SqliteStore) -> None:
    async with redis_server(tmp_path) as server, server.client() as client:
        with capture_logs() as logs:
            async with reading(server, store):
                await client.client_pause(500)
                await add(client, order("a"))
                assert await known(store, 1) == {"a"}
                assert await let_go_of(client)

    assert [line["event"] for line in logs] == ["request.accepted"]


async def test_a_redis_that_is_emptied_stays_up(tmp_path: Path, store: SqliteStore) -> None:
    async with redis_server(tmp_path) as server, server.client() as client:
        with capture_logs() as logs:
            async with reading(server, store):
                await add(client, order("a"))
                await known(store, 1)
                await client.flushall()
                await add(client, order("b"))
                assert await known(store, 2) == {"a", "b"}
                assert await let_go_of(client)

    assert [line["event"] for line in logs] == ["request.accepted"] * 2


async def test_stopping_while_nothing_comes_takes_no_time(tmp_path: Path, store: SqliteStore) -> None:
    async with redis_server(tmp_path) as server, server.client() as client:
        async with reading(server, store):
            await add(client, order("a"))
            await known(store, 1)
            assert await let_go_of(client)
            began = anyio.current_time()
        assert anyio.current_time() - began < 1
