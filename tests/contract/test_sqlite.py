"""What is SQLite's own: the file, the schema, the lock, the thread."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from store_values import LATER, a_step, a_watch, added, arrival, epoch_of, head_of, refusal, settled, told, waiting

from watcher.core.delivery import Decision
from watcher.core.errors import LeaseLostError, StoreBusyError, StoreError
from watcher.core.model import Ending
from watcher.stores.sqlite import SqliteStore
from watcher.stores.sqlite_file import migrate, migrations, open_owned, statements
from watcher.stores.sqlite_records import SqliteRecords

VERSIONS = range(len(migrations()) + 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watcher.db"


@pytest.fixture
async def store_of_nobody(path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(path)
    yield opened
    await opened.close()


@pytest.fixture
async def store(store_of_nobody: SqliteStore) -> SqliteStore:
    await store_of_nobody.lease()
    return store_of_nobody


def _ask(path: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql, values).fetchall()


def _number(path: Path, sql: str) -> int:
    (number,) = _ask(path, sql)[0]
    assert isinstance(number, int)
    return number


def _size(path: Path) -> int:
    return path.stat().st_size


# --- the file -------------------------------------------------------------------------------------------------


def test_the_file_is_safe_against_power_cuts_and_gives_space_back(path: Path) -> None:
    with closing(open_owned(path)) as db:
        pragmas = [
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "auto_vacuum")
        ]
    assert pragmas == ["wal", 2, 2]


async def test_the_files_are_for_our_eyes_only(path: Path, store: SqliteStore) -> None:
    await store.add([arrival(a_watch())])
    names = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert names == dict.fromkeys(["watcher.db", "watcher.db-wal", "watcher.db-shm", "watcher.db.lock"], 0o600)


async def test_a_file_that_cannot_be_made_or_is_no_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"missing/watcher\.db cannot be made: No such file"):
        await SqliteStore.open(tmp_path / "missing" / "watcher.db")
    (tmp_path / "text.db").write_text("this is no database, and long enough to be sure of it" * 100)
    with pytest.raises(StoreError, match=r"text\.db cannot be opened: file is not a database"):
        await SqliteStore.open(tmp_path / "text.db")


async def test_reading_never_makes_a_file(path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist; `watcher run` or `watcher add` makes it"):
        await SqliteRecords.open(path)
    assert list(path.parent.iterdir()) == []


async def test_reading_writes_nothing(path: Path, store: SqliteStore) -> None:
    records = await SqliteRecords.open(path)
    with pytest.raises(StoreError, match="readonly"):
        await records._reader.run(lambda db: db.execute("DELETE FROM watches"))
    await records.close()


async def test_space_that_became_free_is_given_back_bit_by_bit(path: Path, store: SqliteStore) -> None:
    watches = await added(store, *(a_watch(str(number)) for number in range(50)))
    steps = [a_step(watch, events=5, ending=Ending.SUCCEEDED) for watch in watches]
    large = [replace(step, events=tuple(replace(each, body=b"x" * 9000) for each in step.events)) for step in steps]
    assert await store.commit(large) == [None] * 50
    pages = [_number(path, "PRAGMA page_count")]
    while (await store.prune(before=LATER, ids_before=LATER, limit=100)).rows:
        pages.append(_number(path, "PRAGMA page_count"))
    assert _number(path, "PRAGMA freelist_count") == 0
    assert pages[-1] < pages[0] / 10
    assert max(before - after for before, after in pairwise(pages)) <= 100
    assert _ask(path, "PRAGMA integrity_check") == [("ok",)]


async def test_the_log_of_a_busy_store_is_used_again_and_again_and_cut_if_it_was_large(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.stores.sqlite_file.LARGEST_LOG", 8_000_000)
    store = await SqliteStore.open(path)
    await store.lease()
    sizes = []
    for number in range(60):
        raw = b"x" * (20_000_000 if number == 0 else 500_000)
        arrivals = [refusal("large", line=number, raw=raw)]
        await asyncio.gather(store.add(arrivals), *(store.load(after=0, limit=1) for _ in range(20)))
        sizes.append(_size(path.with_name("watcher.db-wal")))
    assert sizes[0] > 20_000_000
    assert max(sizes[-20:]) <= 8_000_000
    await store.close()


# --- the schema -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_migrating_from_each_version_equals_a_fresh_schema(tmp_path: Path, version: int) -> None:
    old, fresh = tmp_path / "old.db", tmp_path / "fresh.db"
    with closing(sqlite3.connect(old, isolation_level=None)) as db:
        for script in migrations()[:version]:
            for statement in statements(script):
                db.execute(statement)
        migrate(db)
    open_owned(fresh).close()
    schema = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
    assert _ask(old, schema) == _ask(fresh, schema)
    assert _ask(old, "PRAGMA user_version") == [(len(migrations()),)]


async def test_a_newer_schema_is_left_alone(path: Path) -> None:
    _ask(path, "PRAGMA user_version = 999")
    with pytest.raises(StoreError, match="a newer watcher wrote it"):
        await SqliteStore.open(path)
    with pytest.raises(StoreError, match="another watcher wrote it"):
        await SqliteRecords.open(path)


async def test_many_who_open_a_new_file_at_once_make_one_schema(path: Path) -> None:
    stores = await asyncio.gather(*(SqliteStore.open(path) for _ in range(8)))
    for store in stores:
        await store.close()
    assert _ask(path, "SELECT epoch FROM meta") == [(0,)]


async def test_load_never_touches_the_observations(path: Path, store: SqliteStore) -> None:
    await added(store, a_watch())
    await store._writer.run(lambda db: db.execute("DROP TABLE observations"))
    assert [opened.id for opened in await store.load(after=0, limit=1)] == ["order-42"]


# --- the lock -------------------------------------------------------------------------------------------------

OWNER = """
import asyncio, sys
from pathlib import Path
from watcher.stores.sqlite import SqliteStore

async def own() -> None:
    store = await SqliteStore.open(Path(sys.argv[1]))
    await store.lease()
    print("mine", flush=True)
    await asyncio.Event().wait()

asyncio.run(own())
"""


@pytest.fixture
def rival(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which owns the store."""
    with subprocess.Popen([sys.executable, "-c", OWNER, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"mine\n"
        yield process
        process.kill()


async def test_a_second_owner_is_told_the_first_ones_process_and_takes_over_the_moment_it_is_killed(
    path: Path, store_of_nobody: SqliteStore, rival: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(StoreBusyError, match=rf"watcher\.db is in use by process {rival.pid}$"):
        await store_of_nobody.lease()
    records = await SqliteRecords.open(path)
    assert (await records.overview()).owner == f"process {rival.pid}"
    rival.kill()
    rival.wait()
    assert (await records.overview()).owner is None
    assert epoch_of(await store_of_nobody.lease()) == 2
    assert (await records.overview()).owner == f"process {os.getpid()}"
    await records.close()


async def test_a_second_owner_is_refused_until_the_first_lets_go(path: Path, store: SqliteStore) -> None:
    other = await SqliteStore.open(path)
    with pytest.raises(StoreBusyError):
        await other.lease()
    await store.renew()
    await store.release()
    await other.lease()
    await other.close()


async def test_an_owner_whose_lock_was_removed_can_write_no_more(path: Path, store: SqliteStore) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=1)
    head = await head_of(store)
    path.with_name("watcher.db.lock").unlink()
    thief = await SqliteStore.open(path)
    await thief.lease()
    for verb in (store.renew(), store.commit([a_step(watch)]), store.settle([settled(head, Decision.DELIVERED)])):
        with pytest.raises(LeaseLostError):
            await verb
    assert await waiting(thief) == [head]
    await thief.close()


async def test_a_lease_that_fails_holds_no_lock(path: Path, store: SqliteStore) -> None:
    await store.release()
    await store._writer.run(
        lambda db: db.execute("CREATE TRIGGER no BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'no'); END")
    )
    with pytest.raises(StoreError, match="no"):
        await store.lease()
    other = await SqliteStore.open(path)
    await other._writer.run(lambda db: db.execute("DROP TRIGGER no"))
    await other.lease()
    await other.close()


# --- attempts -------------------------------------------------------------------------------------------------


async def test_of_a_good_attempt_nothing_is_kept_but_what_stands_in_its_delivery(
    path: Path, store: SqliteStore
) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=1)
    await store.settle([settled(await head_of(store), Decision.DELIVERED)])
    assert _ask(path, "SELECT count(*) FROM attempts") == [(0,)]
    (row,) = _ask(path, "SELECT status, attempts, last_status, last_error, last_duration FROM deliveries")
    assert row == ("delivered", 1, 204, None, 0.25)


# --- groups ----------------------------------------------------------------------------------------------------------


async def test_many_commits_cost_few_disk_transactions(store: SqliteStore) -> None:
    watches = await added(store, *(a_watch(str(number)) for number in range(300)))
    begun: list[str] = []
    await store._writer.run(
        lambda db: db.set_trace_callback(lambda sql: begun.append(sql) if sql.startswith("BEGIN") else None)
    )
    answers = await asyncio.gather(*(store.commit([a_step(watch)]) for watch in watches))
    assert answers == [[None]] * 300
    assert len(begun) <= 10


async def test_a_reader_never_sees_half_a_step(path: Path, store: SqliteStore) -> None:
    await added(store, a_watch())
    sql = """
        SELECT (SELECT max(sequence) FROM watches), (SELECT count(*) FROM events), (SELECT count(*) FROM deliveries)
    """
    seen: set[tuple[object, ...]] = set()
    writing = asyncio.create_task(_write_many(store))
    while not writing.done():
        seen.update(await asyncio.to_thread(_ask, path, sql))
    await writing
    assert seen <= {(number, number, number) for number in range(0, 101, 5)}


async def _write_many(store: SqliteStore) -> None:
    for _ in range(20):
        watch = await store.watch("uid-order-42")
        assert watch is not None
        await told(store, watch, events=5)
