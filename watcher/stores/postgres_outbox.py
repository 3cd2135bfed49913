"""The outbox: what may be sent now, and what waits. Reads only, inside somebody else's transaction."""

from collections.abc import Collection
from datetime import datetime

from watcher.core.delivery import Delivery
from watcher.core.rows import Backlog
from watcher.stores.postgres_connection import Database
from watcher.stores.rows import micros, moment_or_none
from watcher.stores.rows_outbox import DeliveryColumns


async def select_heads(
    db: Database,
    webhook: str,
    *,
    shards: Collection[int],
    again: bool,
    now: datetime,
    limit: int,
    but: Collection[int],
) -> list[Delivery]:
    """Read the due heads of a webhook's lanes; the index of heads holds nothing else, so no lane is looked through."""
    rows = await db.fetch(HEADS, webhook, int(again), micros(now), list(shards), list(but), limit)
    return [DeliveryColumns(*row).value() for row in rows]


# The index alone says which; whatever the planner thinks of the rest, it is of so many and no more.
HEADS = """
    SELECT id, webhook, attempts, due_at, burnt, spared, thin, refused_since, loosens_at, batch,
        callback_url, callback_secret, event_id, type, at, uid, watch_id, provider, sequence, body
    FROM outbox
    WHERE id = ANY (ARRAY(
        SELECT id FROM deliveries
        WHERE webhook = $1 AND head = 1 AND again = $2 AND due_at <= $3
            AND shard = ANY ($4::smallint[]) AND id <> ALL ($5::bigint[])
        ORDER BY due_at, id
        LIMIT $6
    ))
    ORDER BY due_at, id
"""


async def select_members(db: Database, head: Delivery, *, shards: Collection[int], limit: int) -> list[Delivery]:
    """Read what goes in one POST with a head."""
    if head.batch is None:
        rows = await db.fetch(LANE, head.id, limit)
    else:
        rows = await db.fetch(BATCH, head.webhook, head.batch, list(shards), head.id, limit)
    if not rows or rows[0]["id"] != head.id:
        rows = await db.fetch(ALONE, head.id)
    return [DeliveryColumns(*row).value() for row in rows]


BATCH = """
    SELECT id, webhook, attempts, due_at, burnt, spared, thin, refused_since, loosens_at, batch,
        callback_url, callback_secret, event_id, type, at, uid, watch_id, provider, sequence, body
    FROM outbox
    WHERE webhook = $1 AND batch = $2 AND status = 'waiting' AND shard = ANY ($3::smallint[])
    ORDER BY id <> $4, place, event
    LIMIT $5
"""

LANE = """
    SELECT id, webhook, attempts, due_at, burnt, spared, thin, refused_since, loosens_at, batch,
        callback_url, callback_secret, event_id, type, at, uid, watch_id, provider, sequence, body
    FROM outbox
    WHERE id = ANY (ARRAY(
        SELECT id FROM deliveries
        WHERE (webhook, watch) = (SELECT webhook, watch FROM deliveries WHERE id = $1 AND loose = 0)
            AND status = 'waiting' AND loose = 0
        ORDER BY place, event
        LIMIT $2
    ))
    ORDER BY place, event
"""


# What is in no lane, if it waits.
ALONE = """
    SELECT id, webhook, attempts, due_at, burnt, spared, thin, refused_since, loosens_at, batch,
        callback_url, callback_secret, event_id, type, at, uid, watch_id, provider, sequence, body
    FROM outbox
    WHERE id = $1 AND status = 'waiting' AND loose = 1
"""


async def select_undelivered(db: Database, *, shards: Collection[int]) -> list[str]:
    """Read whose deliveries wait: whatever waits has a head before it, and each name is one step in their index."""
    return [name for (name,) in await db.fetch(UNDELIVERED, list(shards))]


UNDELIVERED = """
    WITH RECURSIVE names (name) AS (
        (SELECT webhook FROM deliveries WHERE head = 1 AND shard = ANY ($1::smallint[]) ORDER BY webhook LIMIT 1)
        UNION ALL
        SELECT (
            SELECT webhook FROM deliveries
            WHERE head = 1 AND shard = ANY ($1::smallint[]) AND webhook > name
            ORDER BY webhook
            LIMIT 1
        )
        FROM names WHERE name IS NOT NULL
    )
    SELECT name FROM names WHERE name IS NOT NULL
"""


async def select_backlog(db: Database, *, shards: Collection[int]) -> dict[str, Backlog]:
    """Count what waits in these shards; unlike all else that is asked often, it costs more where much waits."""
    rows = await db.fetch(BACKLOG, list(shards))
    return {webhook: Backlog(waiting, moment_or_none(since)) for webhook, waiting, since in rows}


# The first place says since when: a replay waits since it was wanted, and not since its events happened.
BACKLOG = """
    SELECT waits.webhook, waits.number, greatest(e.at, (
        SELECT max(d.replayed_at) FROM deliveries AS d
        WHERE d.webhook = waits.webhook AND d.place = waits.place AND d.status = 'waiting'
    ))
    FROM (
        SELECT webhook, count(*) AS number, min(place) AS place
        FROM deliveries
        WHERE status = 'waiting' AND shard = ANY ($1::smallint[])
        GROUP BY webhook
    ) AS waits LEFT JOIN events AS e ON e.cursor = waits.place >> 20
"""
