"""What is PostgreSQL's own: the schema, and what cannot be stored as it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from store_values import PostgresBackend, a_step, a_watch, added, heads_of, refusal

from watcher.core.errors import StoreError
from watcher.core.lease import SHARDS
from watcher.core.model import Snapshot, State
from watcher.stores.postgres import PostgresStore
from watcher.stores.postgres_connection import PostgresConnection
from watcher.stores.postgres_schema import migrate, migrations
from watcher.stores.postgres_watches import IN_ORDER, LOAD

SCRIPTS = migrations()


@pytest.fixture
async def backend() -> AsyncIterator[PostgresBackend]:
    one = PostgresBackend()
    yield one
    await one.close()


@pytest.fixture
async def store(backend: PostgresBackend) -> PostgresStore:
    opened = await backend.store()
    await opened.lease()
    return opened


@asynccontextmanager
async def fresh() -> AsyncIterator[PostgresBackend]:
    """A schema that nobody has made yet, and nobody uses again."""
    backend = PostgresBackend(schema="fresh")
    await backend.forget()
    yield backend
    for one in backend.opened:
        await one.close()
    await backend.forget()


# --- the schema -----------------------------------------------------------------------------------------------

SCHEMA = """
    SELECT table_name, column_name, data_type, is_nullable, column_default, NULL
    FROM information_schema.columns WHERE table_schema = current_schema
    UNION ALL SELECT tablename, indexname, indexdef, NULL, NULL, NULL FROM pg_indexes WHERE schemaname = current_schema
    UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL, NULL, NULL
    FROM pg_constraint WHERE connamespace = current_schema::regnamespace
    ORDER BY 1, 2, 3
"""


@pytest.mark.parametrize("version", range(len(SCRIPTS) + 1))
async def test_migrating_from_each_version_equals_a_fresh_schema(version: int) -> None:
    schemas = []
    for scripts in ([], SCRIPTS[:version]):
        async with fresh() as backend:
            if scripts:
                await backend.make("CREATE TABLE meta (version integer NOT NULL)", *scripts)
                await backend.execute("INSERT INTO meta (version) VALUES ($1)", version)
            await backend.store()
            schemas.append(await backend.ask(SCHEMA))
            assert await backend.ask("SELECT version FROM meta") == [(len(SCRIPTS),)]
    assert schemas[0] == schemas[1]
    assert len(schemas[0]) > 100


async def test_many_who_open_a_new_database_at_once_make_one_schema() -> None:
    async with fresh() as backend:
        await asyncio.gather(*(backend.store(f"worker-{number}") for number in range(8)))
        assert await backend.ask("SELECT count(*), sum(epoch) FROM shards") == [(256, 0)]


async def test_a_newer_schema_is_left_alone() -> None:
    async with fresh() as backend:
        await backend.store()
        await backend.execute("UPDATE meta SET version = 999")
        with pytest.raises(StoreError, match=r"cannot be used: a newer watcher wrote it \(schema 999, this one knows"):
            await backend.store()
        with pytest.raises(StoreError, match="another watcher wrote it"):
            await backend.records()


async def test_a_schema_of_somebody_else_is_left_alone() -> None:
    async with fresh() as backend:
        await backend.make("CREATE TABLE orders (id integer)")
        with pytest.raises(StoreError, match="its schema fresh belongs to another program"):
            await backend.store()
        assert await backend.ask("SELECT relname FROM pg_class WHERE relnamespace = 'fresh'::regnamespace") == [
            ("orders",)
        ]


async def test_reading_never_makes_a_schema() -> None:
    async with fresh() as backend:
        with pytest.raises(StoreError, match="`watcher run` or `watcher add` makes it"):
            await backend.records()
        assert await backend.ask("SELECT to_regnamespace('fresh')") == [(None,)]


async def test_a_database_that_cannot_hold_every_text_is_refused(backend: PostgresBackend) -> None:
    db = await asyncpg.connect(backend.server.url)
    await db.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    url = backend.server.url.replace("/postgres?", "/ascii?")
    with pytest.raises(StoreError, match="is not in UTF8"):
        await PostgresStore.open(url, worker="one", lease=timedelta(1))
    await db.execute("DROP DATABASE ascii WITH (FORCE)")
    await db.close()


async def test_loading_does_not_need_the_statistics_that_a_restored_database_has_not() -> None:
    async with fresh() as backend:
        store = await backend.store()
        await backend.execute(
            """
            INSERT INTO watches
                (uid, shard, id, provider, params, labels, submitted_at, accepted_at, deadline, deadline_at)
            SELECT n, n % 256, n, 'd7', '{}', '{}', 0, 0, 0, 0 FROM generate_series(1, 20000) AS n
            """
        )
        async with store._reader.transaction() as db:
            await db.execute(IN_ORDER)
            plan = [line for (line,) in await db.fetch(f"EXPLAIN {LOAD}", 0, range(SHARDS), None, 1000)]
        assert plan[1].startswith("  ->  Index Scan using watches_open on watches")
        assert len(await store.load(after=19_000, limit=2000, shards=range(SHARDS))) == 1000


# --- what cannot be stored as it is ---------------------------------------------------------------------------


async def test_a_text_with_a_zero_character_is_stored_with_another_one(
    backend: PostgresBackend, store: PostgresStore
) -> None:
    (watch,) = await added(store, replace(a_watch(), params={"request_id": "\0"}, labels={"\0": "\0"}))
    seen = replace(watch, snapshot=Snapshot("se\0nt", State.PENDING))
    assert await store.commit([replace(a_step(watch, events=0), watch=seen)]) == [None]
    assert await store.watch(watch.uid) == seen
    await store.add([refusal("no\0pe", raw=b"\0")])
    (row,) = await (await backend.records()).rejected()
    assert (row.reason, row.raw) == ("no\x1ape", b"\0")


async def test_two_steps_of_one_watch_may_go_in_one_call(store: PostgresStore) -> None:
    (watch,) = await added(store, a_watch())
    first = a_step(watch)
    second = a_step(first.watch, events=2)
    assert await store.commit([first, second]) == [None, None]
    assert await heads_of(store) == [("order-42", 1)]


async def test_migrating_again_changes_nothing(backend: PostgresBackend, store: PostgresStore) -> None:
    connection = PostgresConnection(backend.server.url, name="test", schema=backend.schema, mode="READ WRITE")
    before = await backend.ask("SELECT xmin::text FROM meta")
    await migrate(connection, schema=backend.schema)
    await connection.close()
    assert await backend.ask("SELECT xmin::text FROM meta") == before
