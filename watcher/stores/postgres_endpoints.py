"""What is known of each webhook, and whether its deliveries stand in lanes. Inside somebody else's transaction.

Versions are given one writer at a time (`postgres_writer.TURN`), so that none appears below one that was read.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from watcher.core.endpoint import Endpoint, merged
from watcher.core.lease import News
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_news import tell
from watcher.stores.rows_outbox import read_endpoint, write_endpoint


class Known(NamedTuple):
    """What is stored of a webhook."""

    endpoint: Endpoint
    is_ordered: bool


async def find(db: Database, webhook: str) -> Known | None:
    """Read what is known of a webhook."""
    row = await db.fetchrow("SELECT value, version, ordered FROM endpoints WHERE name = $1", webhook)
    return None if row is None else Known(_endpoint(row["value"], row["version"]), bool(row["ordered"]))


async def know(db: Database, webhook: str, *, ordered: bool, limit: int) -> Endpoint:
    """Read what is known of a webhook, and have its deliveries stand in lanes or not: at once those that are made now.

    Of those that wait already, in all shards, about `limit`; `arrange` goes on with the others. No other owner writes
    meanwhile.
    """
    known = await find(db, webhook) or Known(await keep(db, Endpoint(webhook)), is_ordered=True)
    if ordered != known.is_ordered:
        await db.execute(CHANGE, webhook, int(ordered))
        await arrange(db, limit=limit, webhook=webhook)
    return known.endpoint


async def keep(db: Database, endpoint: Endpoint, *, before: Endpoint | None = None) -> Endpoint:
    """Store what is known of a webhook, on top of what others have found out since `before`; return all of it.

    One more good attempt is no news for others.
    """
    known = await find(db, endpoint.name)
    if known is not None:
        endpoint = merged(endpoint, since=before or known.endpoint, theirs=known.endpoint)
    is_news = known is None or replace(endpoint, last_good=None) != replace(known.endpoint, last_good=None)
    version = await db.fetchval(KEEP, endpoint.name, write_endpoint(endpoint), is_news)
    if is_news:
        await tell(db, News.KNOWN)
    return replace(endpoint, version=version)


# While its version stays, a row is updated in place.
KEEP = """
    INSERT INTO endpoints AS known (name, ordered, value, version) VALUES ($1, 1, $2, nextval('versions'))
    ON CONFLICT (name) DO UPDATE
        SET value = excluded.value, version = CASE WHEN $3 THEN excluded.version ELSE known.version END
    RETURNING version
"""


async def touch(db: Database, webhooks: Collection[str]) -> None:
    """Have other workers look at webhooks, for which something may wait in their shards now."""
    await db.execute("UPDATE endpoints SET version = nextval('versions') WHERE name = ANY ($1::text[])", webhooks)
    await tell(db, News.KNOWN)


async def read_endpoints(db: Database, *, after: int = -1) -> list[Endpoint]:
    """Read what is known of each webhook whose version is larger."""
    rows = await db.fetch("SELECT value, version FROM endpoints WHERE version > $1 ORDER BY name", after)
    return [_endpoint(value, version) for value, version in rows]


def _endpoint(value: str, version: int) -> Endpoint:
    return replace(read_endpoint(value), version=version)


# --- with lanes and without: the last places first, so that what comes meanwhile stands right ---------------------

CHANGE = """
    UPDATE endpoints SET ordered = $2, reached = (
        SELECT max(place) + 1 FROM deliveries WHERE webhook = $1 AND status = 'waiting'
    )
    WHERE name = $1
"""


async def is_arranging(db: Database) -> bool:
    """Does anything wait that stands as before a webhook's order was changed?"""
    return bool(await db.fetchval("SELECT EXISTS (SELECT FROM endpoints WHERE reached IS NOT NULL)"))


async def arrange(db: Database, *, limit: int, webhook: str | None = None) -> bool:
    """Let about so many more deliveries, of all shards, stand as their webhook's order says now; False if none were.

    No other owner writes meanwhile. Before and after a lane has its first for its head, and nothing else of it: what
    is let go of from the end leaves it where it is, and what is lined up comes before it.
    """
    found = await db.fetchrow(ARRANGED, webhook)
    if found is None:
        return False
    name, ordered, reached = found
    places = [place for (place,) in await db.fetch(NEXT, name, reached, limit)]
    until = places[-1] if len(places) == limit else 0
    part = (name, until, reached, 1 - ordered)
    watches = [watch for (watch,) in await db.fetch(LANES, *part)] if ordered else []
    await db.execute(MARK, name, watches, 0)
    await db.execute(MOVE, *part)
    await db.execute(MARK, name, watches, 1)
    await db.execute("UPDATE endpoints SET reached = nullif($2::bigint, 0) WHERE name = $1", name, until)
    if not until:
        await touch(db, [name])
    return True


ARRANGED = """
    SELECT name, ordered, reached FROM endpoints WHERE reached IS NOT NULL AND ($1::text IS NULL OR name = $1) LIMIT 1
"""

NEXT = """
    SELECT place FROM deliveries WHERE webhook = $1 AND status = 'waiting' AND place < $2 ORDER BY place DESC LIMIT $3
"""

LANES = """
    SELECT DISTINCT watch FROM deliveries
    WHERE webhook = $1 AND status = 'waiting' AND place >= $2 AND place < $3 AND loose <> $4
"""

MOVE = """
    UPDATE deliveries SET loose = $4, head = $4
    WHERE webhook = $1 AND status = 'waiting' AND place >= $2 AND place < $3 AND loose <> $4
"""

# The first of each lane, if it has one.
MARK = """
    UPDATE deliveries AS d SET head = $3
    FROM unnest($2::bigint[]) AS lane (watch) CROSS JOIN LATERAL (
        SELECT id FROM deliveries
        WHERE webhook = $1 AND watch = lane.watch AND status = 'waiting' AND loose = 0
        ORDER BY place, event
        LIMIT 1
    ) AS first
    WHERE d.id = first.id
"""
