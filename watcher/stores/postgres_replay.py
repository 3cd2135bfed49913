"""Sending again what was sent before, or was never sent to a webhook. Runs inside somebody else's transaction.

It is done for all shards at once, so no other owner writes meanwhile.
"""

from datetime import datetime
from typing import NamedTuple

from watcher.core.intent import Replay
from watcher.core.lease import shard_of
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_endpoints import touch
from watcher.stores.postgres_text import storable, storable_or_none
from watcher.stores.rows import micros, micros_or_none

WINDOW = 1000  # rows looked at in one transaction, wanted or not
PAGE = 10_000  # rows looked at in one statement, where they are only counted
LAST = 2**63 - 1


class _Place(NamedTuple):
    """A delivery that there is, or could be: an event and a webhook. `uid` says which shard it is of."""

    event: int
    webhook: str
    uid: str
    is_wanted: bool


async def replay(db: Database, intent: Replay, *, now: datetime, limit: int) -> int | None:
    """Make the next deliveries wait; return how many.

    None: none of those that were looked at is wanted, but there are more. With the last of them the intent ends.
    """
    stored = await db.fetchrow("SELECT event, webhook, last FROM intents WHERE id = $1", intent.id)
    if stored is None:
        return 0
    event, name, last = stored
    places = await _look(db, intent, event=event, name=name, last=last, window=WINDOW)
    if not places:
        await db.execute("DELETE FROM intents WHERE id = $1", intent.id)
        return 0
    wanted = [place for place in places if place.is_wanted][:limit]
    reached = wanted[-1] if len(wanted) == limit else places[-1]
    await _send_again(db, wanted, now=now)
    await db.execute(
        "UPDATE intents SET event = $2, webhook = $3 WHERE id = $1", intent.id, reached.event, reached.webhook
    )
    return len(wanted) or None


async def count_wanted(db: Database, intent: Replay) -> int:
    """Count the deliveries that a replay would make wait, all of them."""
    wanted, event, name = 0, 0, ""
    while places := await _look(db, intent, event=event, name=name, last=LAST, window=PAGE):
        wanted += sum(place.is_wanted for place in places)
        event, name = places[-1].event, places[-1].webhook
    return wanted


async def _look(db: Database, intent: Replay, *, event: int, name: str, last: int, window: int) -> list[_Place]:
    """Return what comes behind an event and a name; nothing where there is no more."""
    if intent.events or intent.webhook is None:
        events = [storable(one) for one in intent.events]
        rows = await db.fetch(NAMED, events, storable_or_none(intent.webhook), event, name, last, window)
    else:
        since = micros_or_none(intent.since) or 0
        rows = await db.fetch(
            EXHAUSTED if intent.exhausted else ALL,
            storable(intent.webhook),
            event or await db.fetchval(BEFORE, since, last),
            last,
            since,
            intent.types,
            intent.providers,
            window,
        )
    return [_Place(*row) for row in rows]


# The cursor right before the first event since then; of `min(cursor)` PostgreSQL would look all older ones through.
BEFORE = "SELECT coalesce(min(cursor + 0) - 1, $2) FROM events WHERE at >= $1"

NAMED = """
    SELECT event, webhook, uid, status <> 'waiting' AND (callback_ended_at IS NULL OR strpos(webhook, ':') = 0)
    FROM outbox
    WHERE event_id = ANY ($1::text[]) AND ($2::text IS NULL OR webhook = $2)
        AND (event, webhook) > ($3, $4) AND event <= $5
    ORDER BY event, webhook
    LIMIT $6
"""

EXHAUSTED = """
    SELECT event, webhook, uid,
        at >= $4 AND type = ANY ($5::text[]) AND ($6::text[] IS NULL OR provider = ANY ($6))
            AND (callback_ended_at IS NULL OR strpos(webhook, ':') = 0)
    FROM outbox
    WHERE id = ANY (ARRAY(
        SELECT id FROM deliveries
        WHERE webhook = $1 AND status = 'exhausted' AND event > $2 AND event <= $3
        ORDER BY event
        LIMIT $7
    ))
    ORDER BY event
"""

# A callback is sent only what was meant for it.
ALL = """
    SELECT e.cursor, $1::text, coalesce(w.uid, c.uid),
        e.at >= $4 AND e.type = ANY ($5::text[])
            AND ($6::text[] IS NULL OR coalesce(w.provider, c.provider) = ANY ($6))
            AND coalesce(
                (SELECT d.status <> 'waiting' FROM deliveries AS d WHERE d.event = e.cursor AND d.webhook = $1),
                strpos($1, ':') = 0
            )
            AND (w.callback_ended_at IS NULL OR strpos($1, ':') = 0)
    FROM (SELECT * FROM events WHERE cursor > $2 AND cursor <= $3 ORDER BY cursor LIMIT $7) AS e
        LEFT JOIN watches AS w ON w.row = e.watch
        LEFT JOIN conditions AS c ON c.row = -e.watch
    ORDER BY e.cursor
"""


async def _send_again(db: Database, wanted: list[_Place], *, now: datetime) -> None:
    """Make deliveries wait at the ends of their lanes, due at once."""
    if not wanted:
        return
    last: int = await db.fetchval("SELECT max(cursor) FROM events")
    names = list({place.webhook for place in wanted})
    ends: dict[str, int] = {row["webhook"]: row["end"] for row in await db.fetch(ENDS, last, names)}
    await db.execute(
        SEND_AGAIN,
        [place.event for place in wanted],
        [place.webhook for place in wanted],
        [shard_of(place.uid) for place in wanted],
        [ends[place.webhook] for place in wanted],
        micros(now),
    )
    await touch(db, names)


# Behind what was sent again before, since the last event; a million times, which is enough.
ENDS = """
    SELECT webhook, least(greatest($1::bigint << 20, (
        SELECT max(d.place) FROM deliveries AS d WHERE d.webhook = one.webhook AND d.status = 'waiting'
    )) + 1, (($1 + 1) << 20) - 1) AS end
    FROM unnest($2::text[]) AS one (webhook)
"""


# Of those that come into an empty lane together the first is its head.
SEND_AGAIN = """
    INSERT INTO deliveries (webhook, event, watch, shard, place, due_at, replayed_at, again, loose, head)
    SELECT webhook, event, watch, shard, place, $5, $5, 1, loose, greatest(loose, (rank = 1 AND NOT EXISTS (
        SELECT FROM deliveries AS d
        WHERE d.webhook = one.webhook AND d.watch = one.watch AND d.status = 'waiting' AND d.loose = 0
    ))::integer)
    FROM (
        SELECT wanted.webhook, wanted.event, e.watch, wanted.shard, wanted.place, coalesce(1 - p.ordered, 0) AS loose,
            rank() OVER (PARTITION BY wanted.webhook, e.watch ORDER BY wanted.event) AS rank
        FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::bigint[]) AS wanted (event, webhook, shard, place)
            JOIN events AS e ON e.cursor = wanted.event
            LEFT JOIN endpoints AS p ON p.name = wanted.webhook
    ) AS one
    ORDER BY event, webhook
    ON CONFLICT (event, webhook) DO UPDATE
        SET status = 'waiting', place = excluded.place, due_at = excluded.due_at, replayed_at = excluded.replayed_at,
            again = 1, loose = excluded.loose, head = excluded.head,
            burnt = 0, spared = 0, thin = 0, refused_since = NULL, loosens_at = NULL, batch = NULL
        WHERE deliveries.status <> 'waiting'
"""
