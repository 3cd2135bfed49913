"""What was put off by a clock that has gone back since. Inside somebody else's transaction."""

import sqlite3
from datetime import datetime

from watcher.core.endpoint import rewound
from watcher.stores.rows import micros
from watcher.stores.sqlite_endpoints import keep, read_endpoints
from watcher.stores.sqlite_outbox import select_undelivered


def rewind(db: sqlite3.Connection, *, now: datetime) -> None:
    """Let each wait that began in the future begin now; all that is looked at is what waits for its time."""
    db.executemany(DELIVERIES, [{"now": micros(now), "webhook": webhook} for webhook in select_undelivered(db)])
    db.execute(CONDITIONS, {"now": micros(now)})
    for endpoint in read_endpoints(db):
        if (after := rewound(endpoint, now=now)) != endpoint:
            keep(db, after)


# First attempts are due, whatever their time is; a replay that nobody has tried yet waits for nothing.
DELIVERIES = """
    UPDATE deliveries
    SET due_at = CASE WHEN last_at > :now THEN max(:now + due_at - last_at, :now) ELSE :now END,
        last_at = CASE WHEN last_at > :now THEN :now ELSE last_at END,
        loosens_at = CASE WHEN refused_since > :now THEN :now + loosens_at - refused_since ELSE loosens_at END,
        refused_since = CASE WHEN refused_since > :now THEN :now ELSE refused_since END
    WHERE webhook = :webhook AND head = 1 AND again = 1 AND due_at > :now AND (last_at > :now OR last_at IS NULL)
"""
CONDITIONS = """
    UPDATE conditions SET paused_until = :now + paused_until - paused_at, paused_at = :now
    WHERE paused_at > :now AND paused_until > :now
"""
