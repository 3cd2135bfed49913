"""What is PostgreSQL's own: the connection, which may break, and what goes through it together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import anyio
import anyio.lowlevel
import asyncpg
import pytest
from postgres_server import FAST, PostgresServer
from store_values import PostgresBackend, a_step, a_watch, added, arrival, heads_of, told

from watcher.core.errors import StoreError
from watcher.stores.postgres import PostgresStore
from watcher.stores.postgres_connection import Database, PostgresConnection, place
from watcher.stores.postgres_records import PostgresRecords
from watcher.stores.postgres_schema import migrations

SCRIPTS = migrations()
T = TypeVar("T")


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


# --- the connection -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://me:secret@db.example:5433/watcher?sslmode=require", "db.example:5433/watcher"),
        ("postgresql://me:sec@ret@db.example/watcher", "db.example/watcher"),
        ("postgresql://me:12/secret@db.example/watcher", "that address"),
        ("postgresql:///watcher?host=/run/postgresql&password=secret", "/run/postgresql/watcher"),
        ("postgresql://", "localhost"),
    ],
)
def test_a_database_is_named_without_its_secrets(url: str, named: str) -> None:
    assert place(url) == named


async def test_no_error_holds_a_password(backend: PostgresBackend) -> None:
    port = backend.server.port
    for url, said in (
        ("postgresql://me:hunter2@127.0.0.1:1/watcher", "127.0.0.1:1/watcher cannot be reached: "),
        (f"postgresql://me:hunter2@127.0.0.1:{port}/watcher", 'cannot be reached: role "me" does not exist'),
        (f"postgresql://watcher:hunter2@127.0.0.1:{port}/none", 'cannot be reached: database "none" does not exist'),
        ("postgresql://me:hunter2/x@db.example/watcher", "watcher.state is no address that it understands"),
    ):
        with pytest.raises(StoreError, match=said) as caught:
            await PostgresStore.open(url, worker="one", lease=timedelta(1))
        assert "hunter2" not in str(caught.value)
        with pytest.raises(StoreError, match=said) as caught:
            await PostgresRecords.open(url)
        assert "hunter2" not in str(caught.value)


async def cut(backend: PostgresBackend) -> None:
    """End all connections to the database but our own, as the server's administrator can."""
    await backend.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^watcher'")


async def test_a_connection_that_was_cut_is_made_anew(backend: PostgresBackend, store: PostgresStore) -> None:
    (watch,) = await added(store, a_watch())
    await store.renew()
    await cut(backend)
    for verb in (lambda: store.commit([a_step(watch)]), lambda: store.watch(watch.uid), store.renew):
        await in_the_end(verb)
    assert await heads_of(store) == [("order-42", 1)]


async def in_the_end(verb: Callable[[], Awaitable[object]]) -> object:
    """Do something, again if need be: who was just cut off learns it at the first try, or has seen it already."""
    try:
        return await verb()
    except StoreError:
        return await verb()


async def test_what_was_in_flight_when_the_connection_was_cut_has_failed(
    backend: PostgresBackend, store: PostgresStore
) -> None:
    (watch,) = await added(store, a_watch())

    async def cutting(_: Database) -> None:
        await cut(backend)

    answers = await asyncio.gather(
        store.commit([a_step(watch)]),
        store._writer.run(cutting),
        store.add([arrival(a_watch("other"))]),
        return_exceptions=True,
    )
    assert {type(answer) for answer in answers} == {StoreError}
    assert await in_the_end(lambda: store.watch(watch.uid)) == watch
    assert await store.commit([a_step(watch)]) == [None]


async def test_a_database_that_does_not_answer_is_given_up_after_a_while(
    backend: PostgresBackend, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (watch,) = await added(store, a_watch())
    await store.close()
    monkeypatch.setattr("watcher.stores.postgres_connection.STATEMENT_SECONDS", 1.0)
    store = await backend.store()
    await store.lease()
    watch = replace(watch, epoch=2)
    locker = await asyncpg.connect(backend.server.url)
    async with locker.transaction():
        await locker.execute(f"LOCK TABLE {backend.schema}.watches")
        for verb in (lambda: store.commit([a_step(watch)]), lambda: store.watch(watch.uid)):
            with pytest.raises(StoreError, match="it took too long"), anyio.fail_after(5):
                await verb()
    await locker.close()
    assert await store.commit([a_step(watch)]) == [None]


async def at_last(verb: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer: who asks soon after a failure is told of it at once."""
    with anyio.fail_after(10):
        while True:
            with suppress(StoreError):
                return await verb()
            await anyio.sleep(0.05)


async def test_a_server_that_comes_back_is_used_again() -> None:
    server = PostgresServer(*FAST)
    server.start()
    try:
        backend = PostgresBackend(server=server, schema="watcher")
        store = await backend.store()
        lease = await store.lease()
        (watch,) = await added(store, a_watch())
        server.stop()
        for verb in (store.renew, lambda: store.commit([a_step(watch)]), lambda: store.watch(watch.uid)):
            with pytest.raises(StoreError), anyio.fail_after(5):
                await verb()
        server.start()
        assert await at_last(store.renew) == lease
        assert await at_last(lambda: store.commit([a_step(watch)])) == [None]
        await backend.close()
    finally:
        server.remove()


async def test_nothing_is_needed_of_the_session_but_within_a_transaction(
    backend: PostgresBackend, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind pgbouncer in transaction mode, where the next transaction is another session's."""
    plain = PostgresConnection.transaction

    @asynccontextmanager
    async def forgetful(connection: PostgresConnection) -> AsyncIterator[Database]:
        async with plain(connection) as db:
            yield db
        await db.execute("DISCARD ALL")

    monkeypatch.setattr(PostgresConnection, "transaction", forgetful)
    watches = await added(store, a_watch("a"), a_watch("b"))
    for watch in watches:
        await told(store, watch, events=1)
    assert await heads_of(store) == [("a", 1), ("b", 1)]
    assert (await store.renew()).share == 1


# --- groups ---------------------------------------------------------------------------------------------------


async def test_many_commits_cost_few_transactions_and_few_statements(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    watches = await added(store, *(a_watch(str(number)) for number in range(300)))
    said: list[str] = []
    db = store._writer._connection._db
    assert db is not None
    db.add_query_logger(lambda record: said.append(record.query.split()[0]))
    answers = await asyncio.gather(*(store.commit([a_step(watch)]) for watch in watches))
    assert answers == [[None]] * 300
    assert said.count("BEGIN") <= 3
    assert len(said) <= 3 * 15


async def test_a_caller_that_is_cancelled_as_it_carries_out_the_jobs_of_others_harms_nobody(
    store: PostgresStore,
) -> None:
    watches = await added(store, *(a_watch(str(number)) for number in range(20)))
    answers: dict[str, list[Exception | None]] = {}

    async def commit(watch_id: int, scope: anyio.CancelScope) -> None:
        with scope:
            answers[watches[watch_id].id] = await store.commit([a_step(watches[watch_id])])

    scopes = [anyio.CancelScope() for _ in watches]
    async with anyio.create_task_group() as tasks:
        for number, scope in enumerate(scopes):
            tasks.start_soon(commit, number, scope)
        await anyio.lowlevel.checkpoint()
        while store._writer._waiting:
            await anyio.lowlevel.checkpoint()
        scopes[0].cancel()
    assert answers.keys() >= {watch.id for watch in watches[1:]}
    assert set(map(tuple, answers.values())) == {(None,)}


async def test_one_bad_job_does_not_fail_the_others_in_its_group(store: PostgresStore) -> None:
    async def bad(db: Database) -> None:
        await db.execute("SELECT nonsense")

    answers = await asyncio.gather(
        store.add([arrival(a_watch("a"))]),
        store._writer.run(bad),
        store.add([arrival(a_watch("b"))]),
        return_exceptions=True,
    )
    assert [str(answer) for answer in answers] == [
        "[<Admission.NEW: 'new'>]",
        'the store could not be written or read: column "nonsense" does not exist',
        "[<Admission.NEW: 'new'>]",
    ]


async def test_a_transaction_that_failed_says_so_even_if_its_block_does_not(backend: PostgresBackend) -> None:
    connection = PostgresConnection(backend.server.url, name="test", schema="public", mode="READ WRITE")

    async def hide() -> None:
        async with connection.transaction() as db:
            with suppress(asyncpg.PostgresError):
                await db.execute("SELECT nonsense")

    with pytest.raises(StoreError, match="the transaction had failed, and was undone"):
        await hide()
    await connection.close()


async def test_a_job_that_runs_into_an_error_and_hides_it_is_not_committed(store: PostgresStore) -> None:
    async def sloppy(db: Database) -> None:
        await db.execute("INSERT INTO positions (worker, source, position) VALUES ('one', 'inbox', '1')")
        with pytest.raises(asyncpg.PostgresError):
            await db.execute("SELECT 1 / 0")

    with pytest.raises(StoreError):
        await store._writer.run(sloppy)
    assert await store.position("inbox") is None
