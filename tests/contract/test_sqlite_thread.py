"""The thread of an SQLite connection: what waits goes in one transaction, and each job is all or nothing."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from watcher.core.errors import StoreError
from watcher.stores.sqlite_file import open_owned
from watcher.stores.sqlite_thread import SqliteThread


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watcher.db"


@pytest.fixture
def db(path: Path) -> sqlite3.Connection:
    db = open_owned(path)
    db.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    return db


@pytest.fixture
async def thread(db: sqlite3.Connection) -> AsyncIterator[SqliteThread]:
    one = SqliteThread(db, name="test", begin="BEGIN IMMEDIATE")
    yield one
    await one.close()


def _insert(number: int) -> Callable[[sqlite3.Connection], int]:
    def work(db: sqlite3.Connection) -> int:
        db.execute("INSERT INTO numbers VALUES (?)", (number,))
        return number

    return work


async def test_a_job_that_fails_fails_alone(thread: SqliteThread) -> None:
    def bug(db: sqlite3.Connection) -> int:
        db.execute("INSERT INTO numbers VALUES (100)")
        raise ZeroDivisionError("a bug")

    jobs = [_insert(1), bug, _insert(2), _insert(1), _insert(3)]
    answers = await asyncio.gather(*(thread.run(job) for job in jobs), return_exceptions=True)
    assert [type(answer) for answer in answers] == [int, ZeroDivisionError, int, StoreError, int]
    assert await thread.run(_numbers) == [1, 2, 3]


def _numbers(db: sqlite3.Connection) -> list[int]:
    return [number for (number,) in db.execute("SELECT number FROM numbers ORDER BY number")]


async def test_a_failed_commit_fails_everyone_in_it_and_nothing_of_it_is_kept(thread: SqliteThread) -> None:
    def time_bomb(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE bombs (of INTEGER REFERENCES numbers (number) DEFERRABLE INITIALLY DEFERRED)")
        db.execute("INSERT INTO bombs VALUES (404)")

    answers = await asyncio.gather(
        *(thread.run(job) for job in (_insert(1), time_bomb, _insert(2))), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [StoreError] * 3
    assert await thread.run(_insert(3)) == 3
    assert await thread.run(_numbers) == [3]


async def test_a_transaction_that_sqlite_gave_up_fails_everyone_in_it(thread: SqliteThread) -> None:
    def give_up(db: sqlite3.Connection) -> None:
        db.execute("INSERT OR ROLLBACK INTO numbers VALUES (1)")

    await thread.run(_insert(1))
    answers = await asyncio.gather(
        *(thread.run(job) for job in (_insert(2), give_up, _insert(3))), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [StoreError] * 3
    assert await thread.run(_numbers) == [1]


async def test_closing_finishes_what_waits(path: Path, thread: SqliteThread) -> None:
    tasks = [asyncio.create_task(thread.run(_insert(number))) for number in range(50)]
    await asyncio.sleep(0)
    await thread.close()
    assert await asyncio.gather(*tasks) == list(range(50))
    with closing(sqlite3.connect(path)) as db:
        assert _numbers(db) == list(range(50))
    with pytest.raises(StoreError, match="closed"):
        await thread.run(_numbers)
    await thread.close()
