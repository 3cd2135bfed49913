"""The store on one SQLite file: the owner's verbs. What is only read for people stands in `sqlite_records.py`."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from anyio import to_thread

from watcher.core.delivery import Delivery, Settled
from watcher.core.errors import LeaseLostError
from watcher.core.model import Condition, Intent, Report, Step, Watch
from watcher.core.rows import Admission, Arrival, Opened
from watcher.stores.rows import OpenedColumns, WatchColumns
from watcher.stores.sqlite_deliveries import record, select_heads
from watcher.stores.sqlite_file import open_owned, open_read_only
from watcher.stores.sqlite_lock import OwnerLock
from watcher.stores.sqlite_requests import keep_position, take_in
from watcher.stores.sqlite_steps import attempt_step, read_conditions, write_report
from watcher.stores.sqlite_thread import SqliteThread


class SqliteStore:
    """`ports.Store`: one thread writes, in groups; another reads beside it. Made by `open`, on the running loop.

    The owner holds a lock of the operating system and the latest epoch. The lock keeps a second daemon away; the
    epoch refuses the writes of one whose lock was taken from under it (somebody removed the file).
    """

    def __init__(self, path: Path, *, writer: SqliteThread, reader: SqliteThread) -> None:
        """Work on what `open` has opened."""
        self._writer = writer
        self._reader = reader
        self._lock = OwnerLock(path)
        self._epoch: int | None = None

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the database, made and migrated if need be.

        Raises:
            StoreError: it cannot be opened, or a newer version wrote it.

        """
        writer = await to_thread.run_sync(open_owned, path)
        reader = await to_thread.run_sync(open_read_only, path)
        return cls(
            path,
            writer=SqliteThread(writer, name="store-writer", begin="BEGIN IMMEDIATE"),
            reader=SqliteThread(reader, name="store-reader", begin="BEGIN"),
        )

    async def close(self) -> None:
        """Finish what was begun, close, and stop being the owner; idempotent."""
        await self._writer.close()
        await self._reader.close()
        await self.release()

    # --- who owns it ------------------------------------------------------------------------------------------

    async def lease(self) -> int:
        """Take the lock and the next epoch."""
        await to_thread.run_sync(self._lock.take)
        try:
            self._epoch = await self._writer.run(_next_epoch)
        except BaseException:
            await self.release()
            raise
        return self._epoch

    async def renew(self) -> None:
        """Look whether the epoch is still ours; the lock needs no renewal."""
        epoch = self._epoch
        await self._reader.run(lambda db: _verify(db, epoch))

    async def release(self) -> None:
        """Let go of the lock."""
        self._epoch = None
        self._lock.release()

    # --- watches ----------------------------------------------------------------------------------------------

    async def add(
        self, arrivals: Sequence[Arrival], *, source: str | None = None, position: bytes | None = None
    ) -> list[Admission]:
        """Take requests in, and the source's position with them."""
        now = datetime.now(UTC)  # only shown, beside a refusal

        def work(db: sqlite3.Connection) -> list[Admission]:
            admissions = [take_in(db, arrival, now=now) for arrival in arrivals]
            if source is not None and position is not None:
                keep_position(db, source, position=position)
            return admissions

        return await self._writer.run(work, rows=len(arrivals))

    async def position(self, source: str) -> bytes | None:
        """Return the source's position."""

        def work(db: sqlite3.Connection) -> bytes | None:
            found = db.execute("SELECT position FROM positions WHERE source = ?", (source,)).fetchone()
            return None if found is None else found[0]

        return await self._reader.run(work)

    async def load(self, *, after: int, limit: int) -> list[Opened]:
        """Return a page of open watches."""
        return await self._reader.run(
            lambda db: [OpenedColumns(*row).value() for row in db.execute(LOAD, (after, limit))]
        )

    async def watch(self, uid: str) -> Watch | None:
        """Return one watch, whole."""
        epoch = self._epoch or 0

        def work(db: sqlite3.Connection) -> Watch | None:
            found = db.execute(WATCH, (uid,)).fetchone()
            return None if found is None else WatchColumns(*found).value(epoch=epoch)

        return await self._reader.run(work)

    async def commit(self, steps: Sequence[Step]) -> list[Exception | None]:
        """Write the steps, each whole or not at all."""
        epoch = self._epoch

        def work(db: sqlite3.Connection) -> list[Exception | None]:
            epoch_now = _verify(db, epoch)
            return [attempt_step(db, step, epoch=epoch_now) for step in steps]

        return await self._writer.run(work, rows=len(steps))

    async def conditions(self) -> list[Condition]:
        """Return the providers' conditions."""
        return await self._reader.run(read_conditions)

    async def report(self, report: Report) -> None:
        """Write what happened to a provider as a whole."""
        epoch = self._epoch

        def work(db: sqlite3.Connection) -> None:
            _verify(db, epoch)
            write_report(db, report)

        await self._writer.run(work)

    async def intents(self) -> list[Intent]:
        """Return what is wanted of the owner."""

        def work(db: sqlite3.Connection) -> list[Intent]:
            rows = db.execute("SELECT i.id, w.uid FROM intents AS i JOIN watches AS w ON w.row = i.watch ORDER BY i.id")
            return [Intent(id=row, uid=uid) for row, uid in rows]

        return await self._reader.run(work)

    # --- deliveries -------------------------------------------------------------------------------------------

    async def heads(self, webhook: str, *, now: datetime, limit: int) -> list[Delivery]:
        """Return the due heads of a webhook's lanes."""
        return await self._reader.run(lambda db: select_heads(db, webhook, now=now, limit=limit))

    async def settle(self, settled: Sequence[Settled]) -> None:
        """Record attempts and what they mean."""
        epoch = self._epoch

        def work(db: sqlite3.Connection) -> None:
            _verify(db, epoch)
            for one in settled:
                record(db, one)

        await self._writer.run(work, rows=len(settled))


# INDEXED BY, because by its own row a table is read through every finished watch too.
LOAD = """
    SELECT row, uid, id, provider, params, accepted_at, changed_at, deadline_at, state IS NOT NULL
    FROM watches INDEXED BY watches_open
    WHERE ending IS NULL AND row > ?
    ORDER BY row
    LIMIT ?
"""

WATCH = """
    SELECT w.uid, w.id, w.provider, w.params, w.labels, w.webhooks, w.submitted_at, w.accepted_at, w.deadline,
        w.sequence, w.changed_at, w.trouble, w.ending, w.finished_at, o.snapshot
    FROM watches AS w LEFT JOIN observations AS o ON o.watch = w.row
    WHERE w.uid = ?
"""


def _next_epoch(db: sqlite3.Connection) -> int:
    epoch: int = db.execute("UPDATE meta SET epoch = epoch + 1 RETURNING epoch").fetchone()[0]
    return epoch


def _verify(db: sqlite3.Connection, epoch: int | None) -> int:
    """Return the epoch if it is the latest, so that nobody writes who owns nothing any more."""
    if epoch is None or db.execute("SELECT epoch FROM meta").fetchone() != (epoch,):
        raise LeaseLostError("the store belongs to another owner, or to nobody")
    return epoch
