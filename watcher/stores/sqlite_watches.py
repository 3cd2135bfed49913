"""Reading watches. Inside somebody else's transaction."""

import sqlite3
from collections.abc import Collection
from itertools import islice

from watcher.core.lease import shard_of
from watcher.core.model import Watch
from watcher.core.rows import Opened
from watcher.stores.rows import OpenedColumns, WatchColumns


def select_opened(
    db: sqlite3.Connection, *, after: int, limit: int, shards: Collection[int] | None, provider: str | None
) -> list[Opened]:
    """Read a page of the open watches, of some shards or of all."""
    rows = (OpenedColumns(*row) for row in db.execute(LOAD, (after, limit if shards is None else -1, provider)))
    asked = (row for row in rows if shards is None or shard_of(row.uid) in shards)
    return [row.value() for row in islice(asked, limit)]


# INDEXED BY, because by its own row a table is read through every finished watch too.
LOAD = """
    SELECT row, uid, id, provider, params, accepted_at, changed_at, deadline_at, state
    FROM watches INDEXED BY watches_open
    WHERE ending IS NULL AND row > ?1 AND (?3 IS NULL OR provider = ?3)
    ORDER BY row
    LIMIT ?2
"""


def select_watch(db: sqlite3.Connection, uid: str, *, epoch: int) -> Watch | None:
    """Read one watch, whole, as loaded under an epoch."""
    found = db.execute(WATCH, (uid,)).fetchone()
    return None if found is None else WatchColumns(*found).value(epoch=epoch)


WATCH = """
    SELECT w.uid, w.id, w.provider, w.params, w.labels, w.webhooks,
        w.callback_url, w.callback_secret, w.callback_ended_at, w.submitted_at, w.accepted_at, w.deadline,
        w.sequence, w.changed_at, w.trouble, w.ending, w.finished_at, o.snapshot
    FROM watches AS w LEFT JOIN observations AS o ON o.watch = w.row
    WHERE w.uid = ?
"""
