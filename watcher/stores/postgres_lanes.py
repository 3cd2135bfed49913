"""Which delivery of a lane may be sent: the next one becomes its head; what is late holds back nobody any more.

Each function runs inside somebody else's transaction, whose shards are the deliveries'.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from watcher.stores.postgres_connection import Database
from watcher.stores.rows import micros


async def promote(db: Database, done: Mapping[int, int]) -> None:
    """Make heads of what comes next in the lanes of deliveries, each done at a moment."""
    if done:
        await db.execute(PROMOTE, list(done), list(done.values()))


# Due at once, and behind what is due already, so that lanes take turns; what was sent in a batch keeps its own time.
PROMOTE = """
    UPDATE deliveries AS next SET head = 1, due_at = greatest(next.due_at, lane.at)
    FROM (
        SELECT d.webhook, d.watch, max(done.at) AS at
        FROM unnest($1::bigint[], $2::bigint[]) AS done (id, at) JOIN deliveries AS d ON d.id = done.id
        GROUP BY d.webhook, d.watch
    ) AS lane CROSS JOIN LATERAL (
        SELECT d.id FROM deliveries AS d
        WHERE d.webhook = lane.webhook AND d.watch = lane.watch AND d.status = 'waiting' AND d.loose = 0
        ORDER BY d.place, d.event
        LIMIT 1
    ) AS first
    WHERE next.id = first.id AND next.head = 0
"""


async def loosen(db: Database, shards: Collection[int], *, now: datetime, limit: int) -> int:
    """Let go of the lanes of what was refused for too long, and of what goes in one POST with it; return how many."""
    late = await db.fetch(LOOSENING, micros(now), list(shards), limit)
    return await let_go(db, {one: micros(now) for (one,) in late})


LOOSENING = """
    SELECT id FROM deliveries
    WHERE loosens_at <= $1 AND loosens_at IS NOT NULL AND head = 1 AND loose = 0 AND shard = ANY ($2::smallint[])
    ORDER BY loosens_at
    LIMIT $3
"""


async def let_go(db: Database, late: Mapping[int, int]) -> int:
    """Have deliveries, each since a moment, hold back nobody if they are heads of lanes; return how many were."""
    if not late:
        return 0
    loose = await db.fetch(LOOSEN, list(late))
    batches = [batch for _, *batch in loose if batch[-1] is not None]
    if batches:
        await db.execute(LOOSEN_BATCHES, *zip(*batches, strict=True))
    await promote(db, {one: late[one] for one, *_ in loose})
    return len(loose)


LOOSEN = """
    UPDATE deliveries SET loose = 1 WHERE id = ANY ($1::bigint[]) AND head = 1 AND loose = 0
    RETURNING id, webhook, watch, batch
"""

LOOSEN_BATCHES = """
    UPDATE deliveries AS d SET head = 1, loose = 1
    FROM unnest($1::text[], $2::bigint[], $3::text[]) AS late (webhook, watch, batch)
    WHERE d.webhook = late.webhook AND d.batch = late.batch AND d.watch = late.watch AND d.status = 'waiting'
"""
