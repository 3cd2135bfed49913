"""What was sent, as the commands show it: deliveries and their failed attempts. Reads only."""

from watcher.core.delivery import Attempt
from watcher.core.rows import DeliveryRow
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_text import storable_or_none
from watcher.stores.rows_outbox import AttemptColumns, DeliveryRowColumns


async def select_deliveries(  # noqa: PLR0913  # each narrows the list
    db: Database,
    *,
    watch: str | None,
    webhook: str | None,
    status: str | None,
    event: str | None,
    since: int | None,
    after: int,
    limit: int,
) -> list[DeliveryRow]:
    """Read deliveries, starting from the narrowest of what is asked."""
    watch, webhook, status, event = map(storable_or_none, (watch, webhook, status, event))
    if watch is not None:
        rows = await db.fetch(OF_WATCH, after, since, limit, webhook, status, event, watch)
    elif event is not None:
        rows = await db.fetch(OF_EVENT, after, since, limit, webhook, status, event)
    else:
        rows = await db.fetch(DELIVERIES, after, since, limit, webhook, status)
    return [DeliveryRowColumns(*row).value() for row in rows]


DELIVERIES = """
    SELECT d.id, d.webhook, e.id, e.type, w.id, e.sequence, d.status, d.attempts, d.due_at,
        d.last_at, d.last_status, d.last_error, d.last_duration, d.head
    FROM deliveries AS d JOIN events AS e ON e.cursor = d.event LEFT JOIN watches AS w ON w.row = d.watch
    WHERE d.id > $1
        AND ($2::bigint IS NULL OR e.at >= $2)
        AND ($4::text IS NULL OR d.webhook = $4)
        AND ($5::text IS NULL OR d.status = $5)
    ORDER BY d.id
    LIMIT $3
"""

OF_WATCH = """
    SELECT d.id, d.webhook, e.id, e.type, w.id, e.sequence, d.status, d.attempts, d.due_at,
        d.last_at, d.last_status, d.last_error, d.last_duration, d.head
    FROM watches AS w JOIN events AS e ON e.watch = w.row JOIN deliveries AS d ON d.event = e.cursor
    WHERE w.id = $7 AND d.id > $1
        AND ($2::bigint IS NULL OR e.at >= $2)
        AND ($4::text IS NULL OR d.webhook = $4)
        AND ($5::text IS NULL OR d.status = $5)
        AND ($6::text IS NULL OR e.id = $6)
    ORDER BY d.id
    LIMIT $3
"""

OF_EVENT = """
    SELECT d.id, d.webhook, e.id, e.type, w.id, e.sequence, d.status, d.attempts, d.due_at,
        d.last_at, d.last_status, d.last_error, d.last_duration, d.head
    FROM events AS e JOIN deliveries AS d ON d.event = e.cursor LEFT JOIN watches AS w ON w.row = e.watch
    WHERE e.id = $6 AND d.id > $1
        AND ($2::bigint IS NULL OR e.at >= $2)
        AND ($4::text IS NULL OR d.webhook = $4)
        AND ($5::text IS NULL OR d.status = $5)
    ORDER BY d.id
    LIMIT $3
"""


async def select_attempts(db: Database, delivery: int) -> list[Attempt]:
    """Read the failed attempts of a delivery, oldest first."""
    rows = await db.fetch(
        """
        SELECT number, at, duration, status, address, headers, body, error, timing
        FROM attempts WHERE delivery = $1 ORDER BY id
        """,
        delivery,
    )
    return [AttemptColumns(*row).value() for row in rows]
