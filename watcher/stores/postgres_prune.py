"""Forgetting what is old, a little at a time. Each function runs inside somebody else's transaction.

It is done for all shards at once, so no other owner writes meanwhile. Space is given back by PostgreSQL's own vacuum.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from watcher.core.lease import SHARDS
from watcher.core.rows import Pruned
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_lanes import promote
from watcher.stores.postgres_outbox import select_undelivered
from watcher.stores.rows import micros, moment, span

SLICE = 20  # events at once: of each there may be many attempts
DAY = span(timedelta(days=1))


async def forget(db: Database, *, before: datetime, ids_before: datetime, limit: int) -> Pruned:
    """Give up and forget about so many rows; fewer mean that nothing is left."""
    old, oldest = micros(before), micros(ids_before)
    given_up = await _give_up(db, old, limit=limit)
    rows = given_up.total()
    for step, age in ((_details, old), (_conditions, old), (_rejected, old), (_origins, old), (_ids, oldest)):
        if rows < limit:
            rows += await step(db, age, limit=limit - rows)
    return Pruned(rows, dict(given_up))


async def _give_up(db: Database, old: int, *, limit: int) -> Counter[str]:
    """Give up what waits since then; return how many, by webhook."""
    late = await db.fetch(LONGEST, await select_undelivered(db, shards=range(SHARDS)), old, limit)
    if late:
        await db.execute(GIVE_UP, [row["id"] for row in late])
        await promote(db, {row["id"]: row["due_at"] for row in late})
    return Counter(row["webhook"] for row in late)


# A delivery waits since the event of its place, or since its replay; where the event is forgotten already, and nobody
# wanted it again, for longer than anybody waits. The places say who has waited longest.
LONGEST = """
    SELECT waits.id, waits.due_at, waits.webhook
    FROM unnest($1::text[]) AS one (webhook)
        CROSS JOIN LATERAL (
            SELECT d.id, d.webhook, d.due_at, d.replayed_at, d.place FROM deliveries AS d
            WHERE d.webhook = one.webhook AND d.status = 'waiting'
            ORDER BY d.place
            LIMIT $3
        ) AS waits
        LEFT JOIN events AS e ON e.cursor = waits.place >> 20
    WHERE greatest(e.at, waits.replayed_at, 0) < $2
    LIMIT $3
"""

GIVE_UP = "UPDATE deliveries SET status = 'exhausted', head = 0 WHERE id = ANY ($1::bigint[])"


async def _details(db: Database, old: int, *, limit: int) -> int:
    """Forget watches that finished before then, but for what recognises their ids; return how many rows it took."""
    watches = [row for (row,) in await db.fetch(KEPT, old, limit)]
    rows = 0
    while rows < limit and (events := await db.fetch(OF_WATCHES, watches, SLICE)):
        rows += await _events(db, [cursor for (cursor,) in events])
    done = watches[: max(limit - rows, 0)]
    await db.execute(EMPTY, done)
    await db.execute(PUT_OFF, done, old + DAY)
    return rows + len(done)


KEPT = "SELECT row FROM watches WHERE kept_since < $1 ORDER BY kept_since LIMIT $2"

OF_WATCHES = """
    SELECT e.cursor FROM events AS e
    WHERE e.watch = ANY ($1::bigint[])
        AND 'waiting' <> ALL (SELECT d.status FROM deliveries AS d WHERE d.event = e.cursor)
    LIMIT $2
"""

EMPTY = """
    WITH emptied AS (
        UPDATE watches AS w
        SET labels = '{}', webhooks = NULL, callback_url = NULL, callback_secret = NULL, callback_ended_at = NULL,
            status = NULL, state = NULL, trouble = NULL, kept_since = NULL
        WHERE w.row = ANY ($1::bigint[]) AND NOT EXISTS (SELECT FROM events AS e WHERE e.watch = w.row)
        RETURNING w.row
    )
    DELETE FROM observations AS o USING emptied WHERE o.watch = emptied.row
"""

# One that has events still, because they wait, is looked at another day.
PUT_OFF = "UPDATE watches SET kept_since = $2 WHERE row = ANY ($1::bigint[]) AND kept_since IS NOT NULL"


async def _conditions(db: Database, old: int, *, limit: int) -> int:
    """Forget what happened to providers as a whole before then; return how many rows went."""
    return await _events(db, [cursor for (cursor,) in await db.fetch(OF_CONDITIONS, limit, old)])


# The oldest are looked at, so that it is one step where none of them is old enough.
OF_CONDITIONS = """
    SELECT e.cursor
    FROM conditions AS c CROSS JOIN LATERAL (
        SELECT cursor, at FROM events WHERE watch = -c.row ORDER BY sequence LIMIT $1
    ) AS e
    WHERE e.at < $2 AND 'waiting' <> ALL (SELECT d.status FROM deliveries AS d WHERE d.event = e.cursor)
    LIMIT $1
"""


async def _events(db: Database, events: Sequence[int]) -> int:
    """Forget events with their deliveries and attempts; return how many rows went."""
    rows = 0
    for sql in (FORGET_ATTEMPTS, FORGET_DELIVERIES, FORGET_EVENTS):
        rows += _number(await db.execute(sql, events))
    return rows


FORGET_ATTEMPTS = """
    DELETE FROM attempts AS a USING deliveries AS d WHERE d.event = ANY ($1::bigint[]) AND a.delivery = d.id
"""
FORGET_DELIVERIES = "DELETE FROM deliveries WHERE event = ANY ($1::bigint[])"
FORGET_EVENTS = "DELETE FROM events WHERE cursor = ANY ($1::bigint[])"


async def _rejected(db: Database, old: int, *, limit: int) -> int:
    """Forget requests that were refused before then; return how many."""
    return _number(await db.execute(FORGET_REJECTED, limit, old))


FORGET_REJECTED = """
    DELETE FROM rejected WHERE id IN (
        SELECT id FROM (SELECT id, at FROM rejected ORDER BY id LIMIT $1) AS first WHERE at < $2
    )
"""


async def _origins(db: Database, old: int, *, limit: int) -> int:
    """Forget origins that nobody has called since then, and that nobody disabled; return how many."""
    return _number(await db.execute(FORGET_ORIGINS, moment(old).isoformat(), limit))


# Their times are texts that sort as they do, byte by byte. However often its breaker opened: it is no reason to wait.
FORGET_ORIGINS = """
    DELETE FROM endpoints WHERE name IN (
        SELECT name FROM endpoints
        WHERE strpos(name, ':') > 0 AND value::jsonb ->> 'disabled' IS NULL
            AND coalesce(value::jsonb #>> '{last_good,at}', '') COLLATE "C" < $1
            AND coalesce(value::jsonb ->> 'failed_at', '') COLLATE "C" < $1
            AND coalesce(value::jsonb ->> 'paused_until', '') COLLATE "C" < $1
            AND NOT EXISTS (SELECT FROM deliveries WHERE webhook = name AND status = 'waiting')
        LIMIT $2
    )
"""


async def _ids(db: Database, oldest: int, *, limit: int) -> int:
    """Forget the ids of watches that finished before then; return how many."""
    return _number(await db.execute(FORGET_IDS, oldest, limit))


FORGET_IDS = """
    DELETE FROM watches WHERE row IN (
        SELECT row FROM watches
        WHERE ending IS NOT NULL AND kept_since IS NULL AND finished_at < $1 ORDER BY finished_at LIMIT $2
    )
"""


def _number(command: str) -> int:
    """Read how many rows a command was carried out on: `DELETE 5`."""
    return int(command.rpartition(" ")[2])
