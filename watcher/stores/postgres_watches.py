"""Reading watches. Inside somebody else's transaction."""

from collections.abc import Collection

from watcher.core.model import Watch
from watcher.core.rows import Opened
from watcher.stores.postgres_connection import Database
from watcher.stores.rows import OpenedColumns, WatchColumns


async def select_opened(
    db: Database, *, after: int, limit: int, shards: Collection[int], provider: str | None
) -> list[Opened]:
    """Read a page of the open watches of some shards."""
    await db.execute(IN_ORDER)
    rows = await db.fetch(LOAD, after, list(shards), provider, limit)
    return [OpenedColumns(*row).value() for row in rows]


# Without statistics, as after a restore, PostgreSQL would read and sort a million watches for each page.
IN_ORDER = "SET LOCAL enable_sort = off"

LOAD = """
    SELECT row, uid, id, provider, params, accepted_at, changed_at, deadline_at, state
    FROM watches
    WHERE ending IS NULL AND row > $1 AND shard = ANY ($2::smallint[]) AND ($3::text IS NULL OR provider = $3)
    ORDER BY row
    LIMIT $4
"""


async def select_watch(db: Database, uid: str, *, epoch: int) -> Watch | None:
    """Read one watch, whole, as loaded under an epoch."""
    row = await db.fetchrow(WATCH, uid)
    return None if row is None else WatchColumns(*row).value(epoch=epoch)


WATCH = """
    SELECT w.uid, w.id, w.provider, w.params, w.labels, w.webhooks,
        w.callback_url, w.callback_secret, w.callback_ended_at, w.submitted_at, w.accepted_at, w.deadline,
        w.sequence, w.changed_at, w.trouble, w.ending, w.finished_at, o.snapshot
    FROM watches AS w LEFT JOIN observations AS o ON o.watch = w.row
    WHERE w.uid = $1
"""
