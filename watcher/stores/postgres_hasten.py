"""What waits for longer than it must: a clock was ahead, or a webhook is well again. In others' transactions."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from watcher.core.endpoint import Endpoint
from watcher.core.intent import Switch
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_endpoints import keep, touch
from watcher.stores.postgres_text import storable
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


async def switch(db: Database, intent: Switch, endpoint: Endpoint | None, *, now: datetime, limit: int) -> bool:
    """Store what is known of a webhook, and let some of what goes again wait no longer, whoever holds it.

    False: there may be more. Else the intent ends.
    """
    last = await db.fetchval("SELECT last FROM intents WHERE id = $1", intent.id)
    if last is None:
        return True
    if intent.on:
        await touch(db, [intent.webhook])
    if endpoint is not None:
        await keep(db, endpoint)
    if intent.on and len(await db.fetch(MAKE_DUE, intent.webhook, micros(now), last, limit)) == limit:
        return False
    await db.execute(END, intent.id, storable(intent.webhook))
    return True


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
        SELECT id FROM deliveries AS d
        WHERE webhook = $1 AND head = 1 AND again = 1 AND due_at > $2
            -- Asked of each, whatever the planner thinks of so many; `+ 0`, or it may read all attempts from the last.
            AND (SELECT coalesce(max(a.id + 0), 0) FROM attempts AS a WHERE a.delivery = d.id) <= $3
        LIMIT $4
    ))
    RETURNING id
"""
END = "DELETE FROM intents WHERE id <= $1 AND switch::json ->> 'webhook' = $2"
