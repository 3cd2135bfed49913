"""The numbers of `watcher status`. Reads only; the transaction sees one moment, so they fit together."""

from watcher.core.lease import SHARDS
from watcher.core.rows import Overview
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_outbox import select_backlog


async def read_overview(db: Database) -> Overview:
    """Ask for each number."""
    by_state = await db.fetch(BY_STATE)
    waiting = await select_backlog(db, shards=range(SHARDS))
    exhausted = await db.fetch(GIVEN_UP)
    ((rejected, intents, cursor),) = await db.fetch(NUMBERS)
    return Overview(
        watches={(provider, word): count for provider, word, count in by_state},
        troubled={row["provider"]: row["count"] for row in await db.fetch(TROUBLED)},
        waiting={webhook: backlog.waiting for webhook, backlog in waiting.items()},
        oldest_waiting={webhook: backlog.since for webhook, backlog in waiting.items() if backlog.since is not None},
        exhausted={webhook: count for webhook, count, _ in exhausted},
        ended={webhook: ended for webhook, _, ended in exhausted if ended},
        rejected=rejected,
        intents=intents,
        down={row["provider"]: row["reason"] for row in await db.fetch(DOWN)},
        owner=await read_owner(db),
        cursor=cursor,
    )


BY_STATE = """
    SELECT provider, coalesce(ending, state, 'pending') AS word, count(*) FROM watches GROUP BY provider, word
"""

TROUBLED = "SELECT provider, count(*) FROM watches WHERE ending IS NULL AND trouble IS NOT NULL GROUP BY provider"

GIVEN_UP = """
    SELECT d.webhook, count(*), count(w.callback_ended_at) FILTER (WHERE strpos(d.webhook, ':') > 0)
    FROM deliveries AS d LEFT JOIN watches AS w ON w.row = d.watch
    WHERE d.status = 'exhausted'
    GROUP BY d.webhook
"""

NUMBERS = """
    SELECT (SELECT count(*) FROM rejected), (SELECT count(*) FROM intents),
        (SELECT coalesce(max(cursor), 0) FROM events)
"""

DOWN = "SELECT provider, reason FROM conditions WHERE reason IS NOT NULL"


async def read_owner(db: Database) -> str | None:
    """Say who owns the database now, None if nobody does."""
    workers = [name for (name,) in await db.fetch(OWNERS)]
    return f"{'worker' if len(workers) == 1 else 'workers'} {', '.join(workers)}" if workers else None


OWNERS = "SELECT name FROM workers WHERE expires_at > clock_timestamp() ORDER BY name"
