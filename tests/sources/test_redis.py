"""A Redis stream as a source, against a real server: what it brings, when, and in what order."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis_server import RedisServer, redis_server

from watcher.core.request import MOST_BYTES
from watcher.ports import Batch, Item, Source
from watcher.sources.lines import CHUNK, MOST_ITEMS
from watcher.sources.redis_address import Address
from watcher.sources.redis_stream import NO_REQUEST, RedisSource

STREAM, GROUP = "watcher:requests", "watcher"
NONE: Mapping[int, str] = {}


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path) as server:
        yield server


@pytest_asyncio.fixture
async def client(server: RedisServer) -> AsyncIterator[Redis]:
    async with server.client() as client:
        yield client


@asynccontextmanager
async def opened(
    server: RedisServer, *, consumer: str = "one", claim_after: float = 60.0, within: float = 5.0
) -> AsyncIterator[RedisSource]:
    address = Address.read(server.url)
    source = RedisSource(
        address, stream=STREAM, group=GROUP, consumer=consumer, claim_after=claim_after, timeout=within
    )
    try:
        await source.open(None)
        yield source
    finally:
        await source.close()


async def add(client: Redis, *requests: str | bytes, id: str = "*") -> None:
    for request in requests:
        await client.xadd(STREAM, {"request": request}, id=id)


async def receive(source: Source) -> Batch:
    """Wait for the next requests, not for ever."""
    with anyio.fail_after(5):
        batch = await source.receive()
    assert batch is not None
    return batch


async def take(source: Source) -> list[bytes]:
    """Receive once, and acknowledge."""
    batch = await receive(source)
    await source.acknowledge(batch, refused=NONE)
    return [item.raw for item in batch.items]


async def pending(client: Redis) -> dict[str, int]:
    """Say how many entries each consumer has taken and not let go of."""
    waiting = await client.xpending(STREAM, GROUP)
    return {consumer["name"]: consumer["pending"] for consumer in waiting["consumers"]}


async def brings_nothing(source: Source) -> bool:
    with anyio.move_on_after(0.1):
        return await source.receive() is None
    return True


async def test_what_was_there_before_is_read_and_then_what_comes_in_order(server: RedisServer, client: Redis) -> None:
    await add(client, b'{"id":"a"}', id="1700000000000-0")
    async with opened(server) as source:
        first = await receive(source)
        await add(client, b'{"id":"b"}', id="1700000000000-1")
        await add(client, b'{"id":"c"}', id="1700000000001-0")
        second = await receive(source)

    assert first.items == (Item(b'{"id":"a"}', "watcher:requests#1700000000000-0"),)
    assert second.items == (
        Item(b'{"id":"b"}', "watcher:requests#1700000000000-1"),
        Item(b'{"id":"c"}', "watcher:requests#1700000000001-0"),
    )
    assert (first.position, second.position) == (None, None)


async def test_an_entry_is_acknowledged_when_it_is_let_go_of_and_stays_in_the_stream(
    server: RedisServer, client: Redis
) -> None:
    await add(client, "a", "b")
    async with opened(server) as source:
        batch = await receive(source)
        assert await pending(client) == {"one": 2}
        await source.acknowledge(batch, refused={1: "expected one JSON object"})
        assert await pending(client) == {}

    assert await client.xlen(STREAM) == 2


async def test_what_was_not_acknowledged_comes_again_after_a_restart_and_before_what_is_new(
    server: RedisServer, client: Redis
) -> None:
    await add(client, "a", "b")
    async with opened(server) as source:
        await receive(source)
    await add(client, "c")
    async with opened(server) as source:
        assert [await take(source), await take(source)] == [[b"a", b"b"], [b"c"]]


async def test_a_batch_that_is_given_back_comes_again(server: RedisServer, client: Redis) -> None:
    await add(client, "a")
    async with opened(server) as source:
        first = await receive(source)
        await source.give_back(first)
        assert await receive(source) == first
        await source.open(None)
        assert await receive(source) == first


async def test_waiting_is_cancelled_at_once_and_loses_nothing(server: RedisServer, client: Redis) -> None:
    async with opened(server) as source:
        with anyio.move_on_after(0.05):
            await source.receive()
        await add(client, "a")
        assert await take(source) == [b"a"]


async def test_what_was_on_its_way_when_waiting_was_cancelled_comes_again(server: RedisServer, client: Redis) -> None:
    found: set[bytes] = set()
    async with opened(server) as source:
        for number in range(50):
            await add(client, str(number))
            batch = None
            with anyio.move_on_after(number / 50_000):
                batch = await source.receive()
            if batch is not None:
                found.update(item.raw for item in batch.items)
                await source.acknowledge(batch, refused=NONE)
        with anyio.fail_after(5):
            while len(found) < 50:
                found.update(await take(source))
    assert found == {b"%d" % number for number in range(50)}


async def test_what_a_dead_consumer_left_is_taken_over(server: RedisServer, client: Redis) -> None:
    await add(client, "a", "b")
    async with opened(server, consumer="dead") as source:
        await receive(source)
    await anyio.sleep(0.02)
    async with opened(server, claim_after=0.01) as source:
        assert await take(source) == [b"a", b"b"]

    assert await pending(client) == {}


async def test_what_a_live_consumer_works_at_is_left_to_it(server: RedisServer, client: Redis) -> None:
    await add(client, "a")
    async with opened(server, consumer="other") as other, opened(server) as source:
        batch = await receive(other)
        assert await brings_nothing(source)
        await other.acknowledge(batch, refused=NONE)


async def test_what_dies_later_is_taken_over_too(
    server: RedisServer, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.sources.redis_stream.CLAIM_EVERY", 0.05)
    async with opened(server, claim_after=0.05, within=1) as source, opened(server, consumer="dying") as dying:
        await add(client, "a")
        await receive(dying)
        assert await take(source) == [b"a"]


async def test_all_of_many_left_entries_are_taken_over(server: RedisServer, client: Redis) -> None:
    await add(client, *map(str, range(60)))
    await client.xgroup_create(STREAM, GROUP, id="0")
    await client.xreadgroup(GROUP, "dead", {STREAM: ">"}, count=60)
    async with opened(server, claim_after=0) as source:
        found: list[bytes] = []
        while len(found) < 60:
            found += await take(source)
    assert found == [b"%d" % number for number in range(60)]


async def test_an_entry_that_was_deleted_before_it_was_acknowledged_is_forgotten(
    server: RedisServer, client: Redis
) -> None:
    await add(client, "a", id="1-1")
    await add(client, "b", id="1-2")
    await add(client, "c", id="1-3")
    async with opened(server) as source:
        await receive(source)
    await client.xdel(STREAM, "1-1")
    async with opened(server) as source:
        await client.xdel(STREAM, "1-2")
        assert await take(source) == [b"c"]

    assert await pending(client) == {}


async def test_a_stream_of_which_nothing_is_left_is_waited_for(server: RedisServer, client: Redis) -> None:
    await add(client, "a", "b")
    async with opened(server) as source:
        await receive(source)
    await client.xtrim(STREAM, maxlen=0)
    async with opened(server) as source:
        assert await brings_nothing(source)
        assert await pending(client) == {}
        await add(client, "c")
        assert await take(source) == [b"c"]


@pytest.mark.parametrize("loss", ["flushall", "destroy", "delete"])
async def test_a_group_that_is_gone_is_made_again(server: RedisServer, client: Redis, loss: str) -> None:
    async with opened(server) as source:
        await add(client, "a")
        assert await take(source) == [b"a"]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_lose, client, loss)
            found = await take(source)
        assert found == ([b"a", b"b"] if loss == "destroy" else [b"b"])


async def _lose(client: Redis, loss: str) -> None:
    await anyio.sleep(0.05)  # the source waits by now
    if loss == "flushall":
        await client.flushall()
    elif loss == "destroy":
        await client.xgroup_destroy(STREAM, GROUP)
    else:
        await client.delete(STREAM)
    await add(client, "b")


async def test_the_request_is_in_the_field_request_or_in_the_only_field(server: RedisServer, client: Redis) -> None:
    await client.xadd(STREAM, {"request": "a", "trace": "7"})
    await client.xadd(STREAM, {"data": "b"})
    await client.xadd(STREAM, {"id": "c", "provider": "d7"})
    await client.xadd(STREAM, {b"\xff": b"\xfe", "x": ""})
    async with opened(server) as source:
        batch = await receive(source)

    assert [(item.raw, item.refused) for item in batch.items] == [
        (b"a", None),
        (b"b", None),
        (b'{"id":"c","provider":"d7"}', NO_REQUEST),
        ('{"\ufffd":"\ufffd","x":""}'.encode(), NO_REQUEST),
    ]


async def test_a_request_that_is_too_long_is_one_short_item(server: RedisServer, client: Redis) -> None:
    await add(client, b"x" * 5_000_000, b"x" * MOST_BYTES)
    await client.xadd(STREAM, {"x": b"x" * 5_000_000, "y": b""})
    async with opened(server) as source:
        batch = await receive(source)

    assert [len(item.raw) for item in batch.items] == [MOST_BYTES + 1, MOST_BYTES, MOST_BYTES + 1]


async def test_a_batch_holds_at_most_five_hundred_requests(server: RedisServer, client: Redis) -> None:
    async with opened(server) as source:
        async with client.pipeline() as pipeline:
            for number in range(1200):
                pipeline.xadd(STREAM, {"request": f'{{"id":"{number}"}}'})
            await pipeline.execute()
        sizes = [len(await take(source)) for _ in range(4)]

    assert sizes == [10, MOST_ITEMS, MOST_ITEMS, 190]


async def test_a_batch_of_large_requests_holds_about_a_mebibyte(server: RedisServer, client: Redis) -> None:
    await add(client, *[b"x" * 200_000] * 25)
    async with opened(server) as source:
        sizes = [sum(map(len, await take(source))) for _ in range(4)]

    assert sizes[0] == 10 * 200_000
    assert max(sizes[1:]) <= CHUNK


async def test_a_source_is_closed_twice_and_opened_again(server: RedisServer, client: Redis) -> None:
    async with opened(server) as source:
        await source.close()
        await source.close()
        await source.open(None)
        await add(client, "a")
        assert await take(source) == [b"a"]
