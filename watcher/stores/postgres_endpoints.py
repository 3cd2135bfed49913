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


async def know(db: Database, webhook: str, *, ordered: bool) -> Endpoint:
    """Read what is known of a webhook, and have its deliveries, of all shards, stand in lanes or not.

    No other owner writes meanwhile.
    """
    known = await find(db, webhook) or Known(await keep(db, Endpoint(webhook)), is_ordered=True)
    if ordered != known.is_ordered:
        await db.execute("UPDATE endpoints SET ordered = $2 WHERE name = $1", webhook, int(ordered))
        await (_line_up(db, webhook) if ordered else _let_go(db, webhook))
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


async def _line_up(db: Database, webhook: str) -> None:
    """Make all that waits stand in lanes, also what had loosened, and mark the first of each."""
    await db.execute("UPDATE deliveries SET loose = 0, head = 0 WHERE webhook = $1 AND head = 1", webhook)
    await db.execute(
        """
        UPDATE deliveries AS d SET head = 1
        FROM (
            SELECT DISTINCT ON (watch) id FROM deliveries
            WHERE webhook = $1 AND status = 'waiting' AND loose = 0
            ORDER BY watch, place, event
        ) AS first
        WHERE d.id = first.id
        """,
        webhook,
    )


async def _let_go(db: Database, webhook: str) -> None:
    """Make each that waits stand by itself."""
    await db.execute(
        "UPDATE deliveries SET loose = 1, head = 1 WHERE webhook = $1 AND status = 'waiting' AND loose = 0", webhook
    )
