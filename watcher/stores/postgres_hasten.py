"""What waits for longer than it must: a clock was ahead, or a webhook is well again. In others' transactions."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from watcher.stores.postgres_connection import Database
from watcher.stores.rows import micros, span


async def is_late(
    db: Database, webhook: str, *, shards: Collection[int], now: datetime, waits: Sequence[timedelta]
) -> bool:
    """Say whether anything in these shards waits for longer; looks only at what waits for its time."""
    return bool(await db.fetch(LATE, webhook, micros(now), [span(wait) for wait in waits], list(shards), 1))


async def hasten(  # as the store's
    db: Database,
    shards: Collection[int],
    *,
    webhook: str,
    now: datetime,
    waits: Sequence[timedelta],
    order_wait: timedelta,
    limit: int,
) -> int:
    """Let some of it wait for no longer than it may from now; return how many."""
    longest = [span(wait) for wait in waits]
    return len(await db.fetch(HASTEN, webhook, micros(now), longest, list(shards), limit, span(order_wait)))


async def make_due(db: Database, *, webhook: str, now: datetime, limit: int) -> int:
    """Let some of what goes again wait no longer, whoever holds it; return how many."""
    return len(await db.fetch(MAKE_DUE, webhook, micros(now), limit))


LATE = """
    SELECT id FROM deliveries
    WHERE webhook = $1 AND head = 1 AND again = 1 AND due_at > $2
        AND due_at > $2 + ($3::bigint[])[least(burnt + 1, cardinality($3::bigint[]))]
        AND shard = ANY ($4::smallint[])
    LIMIT $5
"""
HASTEN = """
    UPDATE deliveries
    SET due_at = $2 + ($3::bigint[])[least(burnt + 1, cardinality($3::bigint[]))],
        refused_since = CASE WHEN loosens_at > $2 + $6 THEN $2 ELSE refused_since END,
        loosens_at = CASE WHEN loosens_at > $2 + $6 THEN $2 + $6 ELSE loosens_at END
    WHERE id = ANY (ARRAY(
        SELECT id FROM deliveries
        WHERE webhook = $1 AND head = 1 AND again = 1 AND due_at > $2
            AND due_at > $2 + ($3::bigint[])[least(burnt + 1, cardinality($3::bigint[]))]
            AND shard = ANY ($4::smallint[])
        ORDER BY due_at DESC  -- or what is hastened already would be looked at again, in each lot
        LIMIT $5
    ))
    RETURNING id
"""
MAKE_DUE = """
    UPDATE deliveries SET due_at = $2
    WHERE id = ANY (ARRAY(
        SELECT id FROM deliveries WHERE webhook = $1 AND head = 1 AND again = 1 AND due_at > $2 LIMIT $3
    ))
    RETURNING id
"""
