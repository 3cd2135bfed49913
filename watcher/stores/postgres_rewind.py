"""What was put off by a clock that has gone back since. Runs in a transaction that holds the shards."""

from collections.abc import Collection
from datetime import datetime

from watcher.core.endpoint import rewound
from watcher.core.lease import News
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_endpoints import keep, read_endpoints
from watcher.stores.postgres_news import tell
from watcher.stores.postgres_outbox import select_undelivered
from watcher.stores.rows import micros


async def rewind(db: Database, shards: Collection[int], *, now: datetime) -> None:
    """Let each wait that began in the future begin now; of deliveries those in these shards."""
    webhooks = await select_undelivered(db, shards=shards)
    await db.execute(DELIVERIES, micros(now), webhooks, list(shards))
    if await db.fetch(CONDITIONS, micros(now)):
        await tell(db, News.KNOWN)
    for endpoint in await read_endpoints(db):
        if (after := rewound(endpoint, now=now)) != endpoint:
            await keep(db, after)


# First attempts are due, whatever their time is; a replay that nobody has tried yet waits for nothing.
DELIVERIES = """
    UPDATE deliveries
    SET due_at = CASE WHEN last_at > $1 THEN greatest($1 + due_at - last_at, $1) ELSE $1 END,
        last_at = CASE WHEN last_at > $1 THEN $1 ELSE last_at END,
        loosens_at = CASE WHEN refused_since > $1 THEN $1 + loosens_at - refused_since ELSE loosens_at END,
        refused_since = CASE WHEN refused_since > $1 THEN $1 ELSE refused_since END
    WHERE webhook = ANY ($2::text[]) AND head = 1 AND again = 1 AND due_at > $1 AND (last_at > $1 OR last_at IS NULL)
        AND shard = ANY ($3::smallint[])
"""
CONDITIONS = """
    UPDATE conditions SET paused_until = $1 + paused_until - paused_at, paused_at = $1
    WHERE paused_at > $1 AND paused_until > $1
    RETURNING row
"""
