"""One connection on a thread of its own: jobs go in, and what waits goes in one transaction. No statement of a table.

asyncio and not anyio: results come from a foreign thread, a whole group of them with one wake-up of the loop, and
anyio has no future that could wait for that.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Literal, TypeVar

from anyio import to_thread

from watcher.core.errors import StoreError

MOST_ROWS = 500
LINGER = 0.002

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], None]
    rows: int
    asked: float
    done: asyncio.Future[None]


class SqliteThread:
    """Carries out jobs in the order in which they came.

    A job is all or nothing, and its failure is its own; when the group's COMMIT fails, all its jobs have failed.
    A caller that is cancelled no longer learns what became of its job, which is carried out all the same.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        *,
        name: str,
        begin: Literal["BEGIN", "BEGIN IMMEDIATE"],
        observe: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Start the thread, for the running event loop; the connection is the thread's from now on.

        `observe` is told, in the thread, how many seconds each transaction took.
        """
        self._db = db
        self._begin = begin
        self._observe = observe
        self._linger = LINGER if begin == "BEGIN IMMEDIATE" else 0.0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        # A daemon, so that a process that forgot to close can still end; for the file it is a crash like any other.
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], T], *, rows: int = 1) -> T:
        """Carry out `work`, which writes about so many rows, and return what it returned, once that is on disk.

        Raises:
            StoreError: nothing of it was kept; or whatever `work` raised.

        """
        if self._closing:
            raise StoreError("the store is closed")
        result: list[T] = []
        job = _Job(lambda db: result.append(work(db)), rows, time.monotonic(), self._loop.create_future())
        self._jobs.put(job)
        await job.done
        return result[0]

    async def close(self) -> None:
        """Finish the jobs that wait, then close the connection; idempotent."""
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        await to_thread.run_sync(self._thread.join)

    def _live(self) -> None:
        while group := self._next_group():
            began = time.monotonic()
            failures = self._carry_out(group)
            self._observe(time.monotonic() - began)
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                self._loop.call_soon_threadsafe(_answer, group, failures)
        self._db.close()

    def _next_group(self) -> list[_Job]:
        """Wait for a job, and for those that come with it; none when the thread is to end."""
        first = self._jobs.get()
        if first is None:
            return []
        time.sleep(max(0.0, first.asked + self._linger - time.monotonic()))
        group, rows = [first], first.rows
        while rows < MOST_ROWS and not self._jobs.empty():
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)
                break
            group.append(job)
            rows += job.rows
        return group

    def _carry_out(self, group: list[_Job]) -> list[Exception | None]:
        try:
            self._db.execute(self._begin)
            failures = [self._attempt(job) for job in group]
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._db.rollback()
            return [translated(error) for _ in group]
        return failures

    def _attempt(self, job: _Job) -> Exception | None:
        try:
            with savepoint(self._db):
                job.work(self._db)
        except Exception as error:  # the border of the thread: whatever it is, its caller learns it
            if not self._db.in_transaction:  # SQLite gave up the whole group
                raise
            return translated(error) if isinstance(error, sqlite3.Error) else error
        return None


@contextmanager
def savepoint(db: sqlite3.Connection) -> Iterator[None]:
    """Undo what the block wrote if it raises. SQLite may have undone the whole transaction already (disk full)."""
    db.execute("SAVEPOINT block")
    try:
        yield
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK TO block")
            db.execute("RELEASE block")
        raise
    db.execute("RELEASE block")


def translated(error: sqlite3.Error) -> StoreError:
    """Make SQLite's error one of ours."""
    failure = StoreError(f"the store could not be written or read: {error}")
    failure.__cause__ = error
    return failure


def _answer(group: list[_Job], failures: list[Exception | None]) -> None:
    for job, failure in zip(group, failures, strict=True):
        if job.done.done():  # its caller was cancelled
            continue
        if failure is None:
            job.done.set_result(None)
        else:
            job.done.set_exception(failure)
