"""What the commands ask of a PostgreSQL database: reads only, beside running owners, and never makes anything."""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

import orjson

from watcher.core.delivery import Attempt
from watcher.core.endpoint import Endpoint
from watcher.core.intent import Replay
from watcher.core.model import Condition, State, Watch
from watcher.core.rows import DeliveryRow, EventRow, Overview, RejectedRow, WatchRow
from watcher.stores.postgres_connection import PostgresConnection
from watcher.stores.postgres_endpoints import read_endpoints
from watcher.stores.postgres_overview import read_overview, read_owner
from watcher.stores.postgres_replay import count_wanted
from watcher.stores.postgres_schema import SCHEMA, require_current
from watcher.stores.postgres_sent import select_attempts, select_deliveries
from watcher.stores.postgres_steps import read_conditions
from watcher.stores.postgres_text import storable, storable_or_none
from watcher.stores.rows import EventColumns, WatchColumns, micros_or_none, moment


class PostgresRecords:
    """`ports.Records` on one connection to PostgreSQL. Made by `open`."""

    def __init__(self, connection: PostgresConnection) -> None:
        """Read through what `open` has opened."""
        self._connection = connection

    @classmethod
    async def open(cls, url: str, *, schema: str = SCHEMA) -> Self:
        """Open the database.

        Raises:
            StoreError: it cannot be reached, holds nothing of ours, or another version wrote it.

        """
        connection = PostgresConnection(url, name="watcher records", schema=schema, mode="READ ONLY")
        try:
            async with connection.transaction() as db:
                await require_current(db, schema=schema)
        except BaseException:
            await connection.close()
            raise
        return cls(connection)

    async def close(self) -> None:
        """Close; idempotent."""
        await self._connection.close()

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
        wanted = None if labels is None else orjson.dumps(dict(labels)).decode()
        async with self._connection.transaction() as db:
            rows = await db.fetch(WATCHES, after, storable_or_none(provider), storable_or_none(state), wanted, limit)
        return [WatchRow(row=row, watch=WatchColumns(*columns).value(epoch=0)) for row, *columns in rows]

    async def find(self, id: str) -> Watch | None:
        """Return the watch of a sender's id."""
        async with self._connection.transaction() as db:
            found = await db.fetchrow(FIND, storable(id))
        return None if found is None else WatchColumns(*found).value(epoch=0)

    async def events(
        self, *, after: int = 0, watch: str | None = None, since: datetime | None = None, limit: int = 100
    ) -> list[EventRow]:
        """Return events by cursor; `watch` is a sender's id."""
        asked = after, micros_or_none(since), limit
        async with self._connection.transaction() as db:
            if watch is None:
                rows = await db.fetch(EVENTS, *asked)
            else:
                rows = await db.fetch(EVENTS_OF_WATCH, *asked, storable(watch))
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
        async with self._connection.transaction() as db:
            return await select_deliveries(
                db,
                watch=watch,
                webhook=webhook,
                status=status,
                event=event,
                since=micros_or_none(since),
                after=after,
                limit=limit,
            )

    async def attempts(self, *, delivery: int) -> list[Attempt]:
        """Return the failed attempts of a delivery, oldest first."""
        async with self._connection.transaction() as db:
            return await select_attempts(db, delivery)

    async def replayable(self, replay: Replay) -> int:
        """Count the deliveries that a replay would make wait."""
        async with self._connection.transaction() as db:
            return await count_wanted(db, replay)

    async def endpoints(self) -> list[Endpoint]:
        """Return what is known of each webhook."""
        async with self._connection.transaction() as db:
            return await read_endpoints(db)

    async def rejected(self, *, limit: int = 100) -> list[RejectedRow]:
        """Return refused requests, newest first."""
        async with self._connection.transaction() as db:
            rows = await db.fetch(
                "SELECT at, source, place, reason, raw FROM rejected ORDER BY id DESC LIMIT $1", limit
            )
        return [
            RejectedRow(at=moment(at), source=source, where=place, reason=reason, raw=raw)
            for at, source, place, reason, raw in rows
        ]

    async def overview(self) -> Overview:
        """Return the numbers of `watcher status`."""
        async with self._connection.transaction() as db:
            return await read_overview(db)

    async def owner(self) -> str | None:
        """Say who owns the database now, None if nobody does."""
        async with self._connection.transaction() as db:
            return await read_owner(db)

    async def conditions(self) -> list[Condition]:
        """Return the last condition of each provider that was ever down."""
        async with self._connection.transaction() as db:
            return await read_conditions(db)


# In labels U+0000, which jsonb does not take, is U+E000, which nobody writes.
WATCHES = r"""
    SELECT w.row, w.uid, w.id, w.provider, w.params, w.labels, w.webhooks,
        w.callback_url, w.callback_secret, w.callback_ended_at, w.submitted_at, w.accepted_at, w.deadline,
        w.sequence, w.changed_at, w.trouble, w.ending, w.finished_at, o.snapshot
    FROM watches AS w LEFT JOIN observations AS o ON o.watch = w.row
    WHERE w.row > $1
        AND ($2::text IS NULL OR w.provider = $2)
        AND (
            $3::text IS NULL
            OR $3 = coalesce(w.ending, w.state, 'pending')
            OR $3 = 'open' AND w.ending IS NULL
            OR $3 = 'trouble' AND w.ending IS NULL AND w.trouble IS NOT NULL
        )
        AND (
            $4::text IS NULL
            OR replace(w.labels, '\u0000', '\ue000')::jsonb @> replace($4, '\u0000', '\ue000')::jsonb
        )
    ORDER BY w.row
    LIMIT $5
"""

FIND = """
    SELECT w.uid, w.id, w.provider, w.params, w.labels, w.webhooks,
        w.callback_url, w.callback_secret, w.callback_ended_at, w.submitted_at, w.accepted_at, w.deadline,
        w.sequence, w.changed_at, w.trouble, w.ending, w.finished_at, o.snapshot
    FROM watches AS w LEFT JOIN observations AS o ON o.watch = w.row
    WHERE w.id = $1
"""

EVENTS = """
    SELECT e.cursor,
        e.id, e.type, e.at, coalesce(w.uid, c.uid), w.id, coalesce(w.provider, c.provider), e.sequence, e.body
    FROM events AS e LEFT JOIN watches AS w ON w.row = e.watch LEFT JOIN conditions AS c ON c.row = -e.watch
    WHERE e.cursor > $1 AND ($2::bigint IS NULL OR e.at >= $2)
    ORDER BY e.cursor
    LIMIT $3
"""

EVENTS_OF_WATCH = """
    SELECT e.cursor, e.id, e.type, e.at, w.uid, w.id, w.provider, e.sequence, e.body
    FROM watches AS w JOIN events AS e ON e.watch = w.row
    WHERE w.id = $4 AND e.cursor > $1 AND ($2::bigint IS NULL OR e.at >= $2)
    ORDER BY e.sequence
    LIMIT $3
"""
