"""What is PostgreSQL's own, where several workers share it: who waits for what another one is just writing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from store_values import (
    PostgresBackend,
    a_watch,
    added,
    arrival,
    epoch_of,
    settled,
    told,
    waiting,
)
from workers import SOME, as_held_by, split, two

from watcher.core.delivery import Decision
from watcher.core.endpoint import Endpoint
from watcher.core.lease import SHARDS
from watcher.core.rows import Admission
from watcher.stores.postgres import PostgresStore
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_writer import Held


@pytest.fixture
async def backend() -> AsyncIterator[PostgresBackend]:
    one = PostgresBackend()
    yield one
    await one.close()


@asynccontextmanager
async def writing(store: PostgresStore, *, shard: int) -> AsyncIterator[None]:
    """Have an owner write something for as long as the block lasts."""
    begun, ends = asyncio.Event(), asyncio.Event()

    async def work(_: Database, held: Held) -> None:
        assert shard in held
        begun.set()
        await ends.wait()

    task = asyncio.create_task(store._writer.own(work, shards=[shard]))
    await begun.wait()
    try:
        yield
    finally:
        ends.set()
        await task


async def test_a_shard_that_is_being_written_in_is_taken_only_then(backend: PostgresBackend) -> None:
    one, other = await backend.store("one"), await backend.store("other")
    await one.lease()
    async with writing(one, shard=7):
        await backend.lapse("one")
        assert set(range(SHARDS)) - set((await other.lease()).epochs) == {7}
    assert (await other.renew()).share == 1


async def test_who_starts_again_waits_for_what_is_just_being_written(backend: PostgresBackend) -> None:
    old, new = await backend.store("one"), await backend.store("one")
    await old.lease()
    async with writing(old, shard=7):
        leasing = asyncio.create_task(new.lease())
        await asyncio.sleep(0.05)
        assert not leasing.done()
    assert epoch_of(await leasing) == 2


async def test_workers_take_turns_at_what_all_may_write_and_settle_at_the_same_time(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    _, watch = split(await added(other, *SOME), one)
    await told(other, await as_held_by(other, watch), events=1)
    heads = await waiting(other)
    async with writing(one, shard=next(iter(one._epochs))):
        await other.settle([settled(head, Decision.DELIVERED) for head in heads])
        adding = asyncio.create_task(other.add([arrival(a_watch("new"))]))
        await asyncio.sleep(0.05)
        assert not adding.done()
    assert await adding == [Admission.NEW]


async def test_who_writes_in_every_lane_does_so_alone(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    async with writing(other, shard=next(iter(other._epochs))):
        knowing = asyncio.create_task(one.endpoint("ops", ordered=False))
        await asyncio.sleep(0.05)
        assert not knowing.done()
    assert await knowing == Endpoint("ops")
