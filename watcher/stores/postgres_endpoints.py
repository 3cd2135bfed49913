"""What is known of each webhook, and whether its deliveries stand in lanes. Inside somebody else's transaction."""

from dataclasses import replace

from watcher.core.endpoint import Endpoint, merged
from watcher.stores.postgres_connection import Database
from watcher.stores.rows_outbox import read_endpoint, write_endpoint


async def know(db: Database, webhook: str, *, ordered: bool) -> Endpoint:
    """Read what is known of a webhook, and have its deliveries, of all shards, stand in lanes or not.

    No other owner writes meanwhile.
    """
    found = await db.fetchrow("SELECT ordered, value FROM endpoints WHERE name = $1", webhook)
    was_ordered, endpoint = (True, Endpoint(webhook)) if found is None else (bool(found[0]), read_endpoint(found[1]))
    if found is None:
        await keep(db, endpoint)
    if ordered != was_ordered:
        await db.execute("UPDATE endpoints SET ordered = $2 WHERE name = $1", webhook, int(ordered))
        await (_line_up(db, webhook) if ordered else _let_go(db, webhook))
    return endpoint


async def keep(db: Database, endpoint: Endpoint, *, before: Endpoint | None = None) -> Endpoint:
    """Store what is known of a webhook, on top of what others have found out since `before`; return all of it."""
    found = await db.fetchval("SELECT value FROM endpoints WHERE name = $1", endpoint.name)
    if found is not None:
        theirs = read_endpoint(found)
        endpoint = replace(merged(endpoint, since=before or theirs, theirs=theirs), version=theirs.version + 1)
    await db.execute(
        """
        INSERT INTO endpoints (name, ordered, value) VALUES ($1, 1, $2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value
        """,
        endpoint.name,
        write_endpoint(endpoint),
    )
    return endpoint


async def read_endpoints(db: Database) -> list[Endpoint]:
    """Read what is known of each webhook."""
    rows = await db.fetch("SELECT value FROM endpoints ORDER BY name")
    return [read_endpoint(value) for (value,) in rows]


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
