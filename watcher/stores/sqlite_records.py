"""What the commands ask of an SQLite file: reads only, beside a running owner, and never makes one."""

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self

import orjson
from anyio import to_thread

from watcher.core.delivery import Attempt
from watcher.core.endpoint import Endpoint
from watcher.core.intent import Replay
from watcher.core.model import Condition, State, Watch
from watcher.core.rows import DeliveryRow, EventRow, Overview, RejectedRow, WatchRow
from watcher.stores.rows import EventColumns, WatchColumns, micros_or_none, moment
from watcher.stores.sqlite_endpoints import read_endpoints
from watcher.stores.sqlite_file import open_read_only
from watcher.stores.sqlite_lock import owner
from watcher.stores.sqlite_replay import count_wanted
from watcher.stores.sqlite_sent import select_attempts, select_deliveries
from watcher.stores.sqlite_steps import read_conditions
from watcher.stores.sqlite_thread import SqliteThread


class SqliteRecords:
    """`ports.Records` on one SQLite file. Made by `open`, on the running loop."""

    def __init__(self, path: Path, *, reader: SqliteThread) -> None:
        """Read what `open` has opened."""
        self._path = path
        self._reader = reader

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the database.

        Raises:
            StoreError: there is none, it cannot be opened, or another version wrote it.

        """
        reader = await to_thread.run_sync(open_read_only, path)
        return cls(path, reader=SqliteThread(reader, name="store-records", begin="BEGIN"))

    async def close(self) -> None:
        """Close; idempotent."""
        await self._reader.close()

    async def watches(
        self,
        *,
        state: State | str | None = None,
        provider: str | None = None,
        labels: Mapping[str, str] | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[WatchRow]:
        """Return watches by row; one that was never seen counts as pending."""
        asked = {
            "state": state,
            "provider": provider,
            "labels": None if labels is None else orjson.dumps(dict(labels)).decode(),
            "after": after,
            "limit": limit,
        }
        rows = await self._reader.run(lambda db: db.execute(WATCHES, asked).fetchall())
        return [WatchRow(row=row, watch=WatchColumns(*columns).value(epoch=0)) for row, *columns in rows]

    async def find(self, id: str) -> Watch | None:
        """Return the watch of a sender's id."""
        found = await self._reader.run(lambda db: db.execute(FIND, (id,)).fetchone())
        return None if found is None else WatchColumns(*found).value(epoch=0)

    async def events(
        self, *, after: int = 0, watch: str | None = None, since: datetime | None = None, limit: int = 100
    ) -> list[EventRow]:
        """Return events by cursor; `watch` is a sender's id."""
        asked = {"after": after, "watch": watch, "since": micros_or_none(since), "limit": limit}
        sql = EVENTS if watch is None else EVENTS_OF_WATCH
        rows = await self._reader.run(lambda db: db.execute(sql, asked).fetchall())
        return [EventRow(cursor=cursor, event=EventColumns(*columns).value()) for cursor, *columns in rows]

    async def deliveries(  # each narrows the list
        self,
        *,
        watch: str | None = None,
        webhook: str | None = None,
        status: str | None = None,
        event: str | None = None,
        since: datetime | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[DeliveryRow]:
        """Return deliveries by id."""
        asked = {
            "watch": watch,
            "webhook": webhook,
            "status": status,
            "event": event,
            "since": micros_or_none(since),
            "after": after,
            "limit": limit,
        }
        return await self._reader.run(lambda db: select_deliveries(db, asked))

    async def attempts(self, *, delivery: int) -> list[Attempt]:
        """Return the failed attempts of a delivery, oldest first."""
        return await self._reader.run(lambda db: select_attempts(db, delivery))

    async def replayable(self, replay: Replay) -> int:
        """Count the deliveries that a replay would make wait."""
        return await self._reader.run(lambda db: count_wanted(db, replay))

    async def endpoints(self) -> list[Endpoint]:
        """Return what is known of each webhook."""
        return await self._reader.run(read_endpoints)

    async def rejected(self, *, limit: int = 100) -> list[RejectedRow]:
        """Return refused requests, newest first."""
        sql = "SELECT at, source, place, reason, raw FROM rejected ORDER BY id DESC LIMIT ?"
        rows = await self._reader.run(lambda db: db.execute(sql, (limit,)).fetchall())
        return [
            RejectedRow(at=moment(at), source=source, where=place, reason=reason, raw=raw)
            for at, source, place, reason, raw in rows
        ]

    async def overview(self) -> Overview:
        """Return the numbers of `watcher status`."""
        return await self._reader.run(partial(_overview, path=self._path))

    async def conditions(self) -> list[Condition]:
        """Return the last condition of each provider that was ever down."""
        return await self._reader.run(read_conditions)


WATCHES = """
    SELECT w.row, w.uid, w.id, w.provider, w.params, w.labels, w.webhooks,
        w.callback_url, w.callback_secret, w.callback_ended_at, w.submitted_at, w.accepted_at, w.deadline,
        w.sequence, w.changed_at, w.trouble, w.ending, w.finished_at, o.snapshot
    FROM watches AS w LEFT JOIN observations AS o ON o.watch = w.row
    WHERE w.row > :after
        AND (:provider IS NULL OR w.provider = :provider)
        AND (
            :state IS NULL
            OR :state = coalesce(w.ending, w.state, 'pending')
            OR :state = 'open' AND w.ending IS NULL
            OR :state = 'trouble' AND w.ending IS NULL AND w.trouble IS NOT NULL
        )
        AND NOT EXISTS (
            SELECT 1 FROM json_each(:labels) AS wanted WHERE NOT EXISTS (
                SELECT 1 FROM json_each(w.labels) AS label WHERE label.key = wanted.key AND label.value = wanted.value
            )
        )
    ORDER BY w.row
    LIMIT :limit
"""

FIND = """
    SELECT w.uid, w.id, w.provider, w.params, w.labels, w.webhooks,
        w.callback_url, w.callback_secret, w.callback_ended_at, w.submitted_at, w.accepted_at, w.deadline,
        w.sequence, w.changed_at, w.trouble, w.ending, w.finished_at, o.snapshot
    FROM watches AS w LEFT JOIN observations AS o ON o.watch = w.row
    WHERE w.id = ?
"""

EVENTS = """
    SELECT e.cursor,
        e.id, e.type, e.at, coalesce(w.uid, c.uid), w.id, coalesce(w.provider, c.provider), e.sequence, e.body
    FROM events AS e LEFT JOIN watches AS w ON w.row = e.watch LEFT JOIN conditions AS c ON c.row = -e.watch
    WHERE e.cursor > :after AND (:since IS NULL OR e.at >= :since)
    ORDER BY e.cursor
    LIMIT :limit
"""

EVENTS_OF_WATCH = """
    SELECT e.cursor, e.id, e.type, e.at, w.uid, w.id, w.provider, e.sequence, e.body
    FROM watches AS w JOIN events AS e ON e.watch = w.row
    WHERE w.id = :watch AND e.cursor > :after AND (:since IS NULL OR e.at >= :since)
    ORDER BY e.sequence
    LIMIT :limit
"""

GIVEN_UP = """
    SELECT d.webhook, count(*), count(CASE WHEN instr(d.webhook, ':') > 0 THEN w.callback_ended_at END)
    FROM deliveries AS d LEFT JOIN watches AS w ON w.row = d.watch
    WHERE d.status = 'exhausted'
    GROUP BY d.webhook
"""


def _overview(db: sqlite3.Connection, *, path: Path) -> Overview:
    """Ask for each number; the job is one transaction, so they fit together."""
    by_state = db.execute(
        "SELECT provider, coalesce(ending, state, 'pending') AS word, count(*) FROM watches GROUP BY provider, word"
    ).fetchall()
    troubled = db.execute(
        "SELECT provider, count(*) FROM watches WHERE ending IS NULL AND trouble IS NOT NULL GROUP BY provider"
    ).fetchall()
    waiting = db.execute(
        """
        SELECT webhook, count, at FROM (
            SELECT webhook, count(*) AS count, min(place) >> 20 AS oldest
            FROM deliveries WHERE status = 'waiting' GROUP BY webhook
        ) LEFT JOIN events ON cursor = oldest
        """
    ).fetchall()
    exhausted = db.execute(GIVEN_UP).fetchall()
    rejected, intents, cursor = db.execute(
        """
        SELECT (SELECT count(*) FROM rejected), (SELECT count(*) FROM intents),
            (SELECT coalesce(max(cursor), 0) FROM events)
        """
    ).fetchone()
    return Overview(
        watches={(provider, word): count for provider, word, count in by_state},
        troubled=dict(troubled),
        waiting={webhook: count for webhook, count, _ in waiting},
        oldest_waiting={webhook: moment(at) for webhook, _, at in waiting if at is not None},
        exhausted={webhook: count for webhook, count, _ in exhausted},
        ended={webhook: ended for webhook, _, ended in exhausted if ended},
        rejected=rejected,
        intents=intents,
        down=dict(db.execute("SELECT provider, reason FROM conditions WHERE reason IS NOT NULL").fetchall()),
        owner=owner(path),
        cursor=cursor,
    )
