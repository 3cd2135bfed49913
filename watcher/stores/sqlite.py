"""The store on one SQLite file: the owner's verbs. What is only read for people stands in `sqlite_records.py`."""

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from anyio import sleep_forever, to_thread

from watcher import metrics
from watcher.core.delivery import Delivery, Settled
from watcher.core.endpoint import Endpoint
from watcher.core.errors import LeaseLostError
from watcher.core.intent import Intent, Replay, Switch
from watcher.core.lease import SHARDS, Lease, News
from watcher.core.model import Condition, Report, Step, Watch
from watcher.core.rows import Admission, Arrival, Backlog, Opened, Pruned
from watcher.stores.sqlite_endpoints import arrange, is_arranging, keep, know, read_endpoints
from watcher.stores.sqlite_file import open_owned, open_read_only
from watcher.stores.sqlite_hasten import hasten, is_late, switch
from watcher.stores.sqlite_intents import read_intents, write_intent
from watcher.stores.sqlite_lock import OwnerLock
from watcher.stores.sqlite_outbox import (
    loosen,
    select_backlog,
    select_heads,
    select_members,
    select_undelivered,
    settle,
)
from watcher.stores.sqlite_prune import forget
from watcher.stores.sqlite_replay import replay
from watcher.stores.sqlite_requests import keep_position, read_position, take_in
from watcher.stores.sqlite_steps import attempt_step, read_conditions, write_pause, write_report
from watcher.stores.sqlite_thread import SqliteThread
from watcher.stores.sqlite_watches import select_opened, select_watch

FEW = 500  # rows at most in one transaction of what can be done bit by bit

T = TypeVar("T")


class SqliteStore:
    """`store.Store`: one thread writes, in groups; another reads beside it. Made by `open`, on the running loop.

    The owner holds a lock of the operating system and the latest epoch. The lock keeps a second daemon away; the
    epoch refuses the writes of one whose lock was taken from under it (somebody removed the file).
    """

    def __init__(self, path: Path, *, writer: SqliteThread, reader: SqliteThread) -> None:
        """Work on what `open` has opened."""
        self._writer, self._reader = writer, reader
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
        observe = metrics.STORE_COMMIT.observe
        return cls(
            path,
            writer=SqliteThread(writer, name="store-writer", begin="BEGIN IMMEDIATE", observe=observe),
            reader=SqliteThread(reader, name="store-reader", begin="BEGIN"),
        )

    async def close(self) -> None:
        """Finish what was begun, close, and stop being the owner; idempotent."""
        await self._writer.close()
        await self._reader.close()
        await self.release()

    # --- who owns it ------------------------------------------------------------------------------------------

    async def lease(self) -> Lease:
        """Take the lock and the next epoch: all shards have it, and no other worker ever wants any."""
        await to_thread.run_sync(self._lock.take)
        try:
            self._epoch = await self._writer.run(lambda db: int(db.execute(NEXT_EPOCH).fetchone()[0]))
        except BaseException:
            await self.release()
            raise
        return Lease(dict.fromkeys(range(SHARDS), self._epoch))

    async def renew(self, *, is_leaving: bool = False) -> Lease:  # noqa: ARG002  # there is nobody to take it
        """Look whether the epoch is still ours; the lock needs no renewal."""
        epoch = self._epoch
        return Lease(dict.fromkeys(range(SHARDS), await self._reader.run(lambda db: _verify(db, epoch))))

    async def release(self, shards: Collection[int] | None = None) -> None:
        """Let go of the lock; not for some shards, because there is nobody who could take them."""
        if shards is None:
            self._epoch = None
            self._lock.release()

    async def news(self) -> frozenset[News]:
        """Wait for ever: who else writes into the file tells nobody."""
        await sleep_forever()
        return frozenset()

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
        return await self._reader.run(lambda db: read_position(db, source))

    async def load(
        self, *, after: int, limit: int, provider: str | None = None, shards: Collection[int] | None = None
    ) -> list[Opened]:
        """Return a page of open watches; those of other shards than are asked for are passed over."""
        work = partial(select_opened, after=after, limit=limit, provider=provider, shards=shards)
        return await self._reader.run(work)

    async def watch(self, uid: str) -> Watch | None:
        """Return one watch, whole."""
        epoch = self._epoch or 0
        return await self._reader.run(lambda db: select_watch(db, uid, epoch=epoch))

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
        await self._own(lambda db: write_report(db, report))

    async def pause(self, condition: Condition) -> None:
        """Write until when nothing is sent to a provider."""
        await self._own(lambda db: write_pause(db, condition))

    # --- deliveries -------------------------------------------------------------------------------------------

    async def endpoints(self, *, after: int = -1) -> list[Endpoint]:
        """Return what is known of each webhook."""
        return [one for one in await self._reader.run(read_endpoints) if one.version > after]

    async def endpoint(self, webhook: str, *, ordered: bool) -> Endpoint:
        """Return what is known of a webhook."""
        return await self._own(lambda db: know(db, webhook, ordered=ordered, limit=FEW))

    async def arrange(self) -> bool:
        """Let a few more stand as they should."""
        return await self._reader.run(is_arranging) and await self._own(lambda db: arrange(db, limit=FEW), rows=FEW)

    async def heads(
        self, webhook: str, *, again: bool, now: datetime, limit: int, but: Collection[int] = ()
    ) -> list[Delivery]:
        """Return the due heads of a webhook's lanes."""
        return await self._reader.run(lambda db: select_heads(db, webhook, again=again, now=now, limit=limit, but=but))

    async def members(self, head: Delivery, *, limit: int) -> list[Delivery]:
        """Return what goes in one POST with a head."""
        return await self._reader.run(lambda db: select_members(db, head, limit=limit))

    async def settle(
        self,
        settled: Sequence[Settled],
        *,
        endpoint: Endpoint | None = None,
        before: Endpoint | None = None,  # noqa: ARG002
    ) -> Endpoint | None:
        """Record attempts and what they mean; nobody else knows anything of a webhook."""

        def work(db: sqlite3.Connection) -> None:
            settle(db, settled)
            if endpoint is not None:
                keep(db, endpoint)

        await self._own(work, rows=len(settled))
        return endpoint

    async def loosen(self, *, now: datetime) -> int:
        """Let go of lanes, a few at a time."""
        loosened = 0
        while (some := await self._own(lambda db: loosen(db, now=now, limit=FEW), rows=FEW)) == FEW:
            loosened += some
        return loosened + some

    async def hasten(self, webhook: str, *, now: datetime, waits: Sequence[timedelta], order_wait: timedelta) -> None:
        """Shorten what is too long, a few at a time; nothing is written where nothing is."""
        some = FEW if await self._reader.run(lambda db: is_late(db, webhook, now=now, waits=waits)) else 0
        work = partial(hasten, webhook=webhook, now=now, waits=waits, order_wait=order_wait, limit=FEW)
        while some == FEW:
            some = await self._own(work, rows=FEW)

    async def undelivered(self) -> list[str]:
        """Return whose deliveries wait."""
        return await self._reader.run(select_undelivered)

    async def backlog(self) -> Mapping[str, Backlog]:
        """Count what waits."""
        return await self._reader.run(select_backlog)

    # --- intents ----------------------------------------------------------------------------------------------

    async def want(self, intent: Intent) -> None:
        """Write what is wanted of the owner."""
        await self._writer.run(lambda db: write_intent(db, intent))

    async def intents(self, *, limit: int = 1000) -> list[Intent]:
        """Return what is wanted of the owner."""
        return await self._reader.run(lambda db: read_intents(db, limit=limit))

    async def done(self, intent: Switch, endpoint: Endpoint | None, *, now: datetime) -> bool:
        """Write what is now known of a webhook, and that the intent is carried out, or a part of it."""
        rows = FEW if intent.on else 1
        return await self._own(lambda db: switch(db, intent, endpoint, now=now, limit=FEW), rows=rows)

    async def replay(self, intent: Replay, *, now: datetime, limit: int) -> int:
        """Make the next deliveries of a replay wait; where many are passed over, in several transactions."""
        made = None
        while made is None:
            made = await self._own(lambda db: replay(db, intent, now=now, limit=limit), rows=limit)
        return made

    # --- what is old ------------------------------------------------------------------------------------------

    async def prune(self, *, before: datetime, ids_before: datetime, limit: int) -> Pruned:
        """Forget a little."""
        return await self._own(lambda db: forget(db, before=before, ids_before=ids_before, limit=limit), rows=limit)

    async def _own(self, work: Callable[[sqlite3.Connection], T], *, rows: int = 1) -> T:
        """Write as the owner, who is verified in the same transaction."""
        epoch = self._epoch

        def owned(db: sqlite3.Connection) -> T:
            _verify(db, epoch)
            return work(db)

        return await self._writer.run(owned, rows=rows)


NEXT_EPOCH = "UPDATE meta SET epoch = epoch + 1 RETURNING epoch"


def _verify(db: sqlite3.Connection, epoch: int | None) -> int:
    """Return the epoch if it is the latest, so that nobody writes who owns nothing any more."""
    if epoch is None or db.execute("SELECT epoch FROM meta").fetchone() != (epoch,):
        raise LeaseLostError("the store belongs to another owner, or to nobody")
    return epoch
