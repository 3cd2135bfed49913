"""What somebody who does not own the store wants of its owners. Runs inside somebody else's transaction."""

from collections.abc import Collection
from typing import assert_never

from watcher.core.intent import Cancel, Intent, Replay, Switch
from watcher.core.lease import News
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_news import tell
from watcher.stores.rows_outbox import IntentColumns, write_replay, write_switch


async def write_intent(db: Database, intent: Intent) -> None:
    """Store what is wanted; that a watch is to end is wanted once, and of an open one only."""
    match intent:
        case Cancel():
            await db.execute(
                """
                INSERT INTO intents (cancel, shard) SELECT row, shard FROM watches WHERE uid = $1 AND ending IS NULL
                ON CONFLICT (cancel) DO NOTHING
                """,
                intent.uid,
            )
        case Switch():
            await db.execute(
                "INSERT INTO intents (switch, last) VALUES ($1, (SELECT coalesce(max(id), 0) FROM attempts))",
                write_switch(intent),
            )
        case Replay():
            await db.execute(
                "INSERT INTO intents (replay, last) VALUES ($1, (SELECT coalesce(max(cursor), 0) FROM events))",
                write_replay(intent),
            )
        case _:
            assert_never(intent)
    await tell(db, News.WANTED)


async def read_intents(db: Database, *, shards: Collection[int], limit: int) -> list[Intent]:
    """Read what is wanted of who holds these shards, oldest first; what is of no watch is wanted of the steward."""
    rows = await db.fetch(INTENTS, list(shards), limit)
    return [IntentColumns(*row).value() for row in rows]


INTENTS = """
    SELECT i.id, w.uid, i.switch, i.replay, i.event
    FROM (
        SELECT * FROM intents WHERE shard = ANY ($1::smallint[]) ORDER BY id LIMIT $2
    ) AS i LEFT JOIN watches AS w ON w.row = i.cancel
    ORDER BY i.id
"""
