"""Sending again what was sent before, or was never sent to a webhook. Runs inside somebody else's transaction."""

import sqlite3
from datetime import datetime
from typing import TypeAlias

import orjson

from watcher.core.intent import Replay
from watcher.stores.rows import micros, micros_or_none

WINDOW = 1000  # rows looked at in one transaction, wanted or not
LAST = 2**63 - 1


def replay(db: sqlite3.Connection, intent: Replay, *, now: datetime, limit: int) -> int | None:
    """Make the next deliveries wait; return how many.

    None: none of those that were looked at is wanted, but there are more. With the last of them the intent ends.
    """
    stored = db.execute("SELECT event, webhook, last FROM intents WHERE id = ?", (intent.id,)).fetchone()
    if stored is None:
        return 0
    wanted, reached = _look(db, intent, *stored, limit=limit)
    if reached is None:
        db.execute("DELETE FROM intents WHERE id = ?", (intent.id,))
        return 0
    _send_again(db, wanted, now=now)
    db.execute("UPDATE intents SET event = ?, webhook = ? WHERE id = ?", (*reached, intent.id))
    return len(wanted) or None


_Place: TypeAlias = tuple[int, str]  # an event and a webhook


def _look(
    db: sqlite3.Connection, intent: Replay, event: int, name: str, last: int, *, limit: int
) -> tuple[list[_Place], _Place | None]:
    """Return what is wanted behind an event and a name, and how far we looked; None where there was nothing more."""
    wanted: list[_Place] = []
    reached = None
    for at_event, at_webhook, is_wanted in _looked_at(db, intent, event, name, last, window=WINDOW):
        reached = (at_event, at_webhook)
        if is_wanted:
            wanted.append(reached)
        if len(wanted) == limit:
            break
    return wanted, reached


def count_wanted(db: sqlite3.Connection, intent: Replay) -> int:
    """Count the deliveries that a replay would make wait, all of them."""
    return sum(bool(is_wanted) for *_, is_wanted in _looked_at(db, intent, 0, "", LAST, window=LAST))


def _looked_at(
    db: sqlite3.Connection, intent: Replay, event: int, name: str, last: int, *, window: int
) -> sqlite3.Cursor:
    """Read the places behind an event and a name, and of each whether it is wanted."""
    since = micros_or_none(intent.since) or 0
    asked = {
        "after": event,
        "name": name,
        "last": last,
        "events": orjson.dumps(intent.events),
        "webhook": intent.webhook,
        "since": since,
        "types": orjson.dumps(intent.types),
        "providers": None if intent.providers is None else orjson.dumps(intent.providers),
        "window": window,
    }
    if intent.events or intent.webhook is None:
        sql = NAMED
    else:
        sql = EXHAUSTED if intent.exhausted else ALL
        asked["after"] = event or _before(db, since, last=last)
    return db.execute(sql, asked)


def _before(db: sqlite3.Connection, since: int, *, last: int) -> int:
    """Return the cursor right before the first event since then, `last` if there is none."""
    sql = "SELECT coalesce(min(cursor) - 1, ?) FROM events INDEXED BY events_at WHERE at >= ?"
    cursor: int = db.execute(sql, (last, since)).fetchone()[0]
    return cursor


NAMED = """
    SELECT event, webhook,
        status <> 'waiting' AND (callback_ended_at IS NULL OR instr(webhook, ':') = 0)
    FROM outbox
    WHERE event_id IN (SELECT value FROM json_each(:events)) AND (:webhook IS NULL OR webhook = :webhook)
        AND event <= :last AND (event, webhook) > (:after, :name)
    ORDER BY event, webhook
    LIMIT :window
"""

EXHAUSTED = """
    SELECT event, webhook,
        at >= :since AND type IN (SELECT value FROM json_each(:types))
        AND (:providers IS NULL OR provider IN (SELECT value FROM json_each(:providers)))
        AND (callback_ended_at IS NULL OR instr(webhook, ':') = 0)
    FROM outbox
    WHERE webhook = :webhook AND status = 'exhausted' AND event > :after AND event <= :last
    ORDER BY event
    LIMIT :window
"""

# A callback is sent only what was meant for it.
ALL = """
    SELECT e.cursor, :webhook,
        e.at >= :since AND e.type IN (SELECT value FROM json_each(:types))
        AND (:providers IS NULL OR coalesce(w.provider, c.provider) IN (SELECT value FROM json_each(:providers)))
        AND coalesce(d.status <> 'waiting', instr(:webhook, ':') = 0)
        AND (w.callback_ended_at IS NULL OR instr(:webhook, ':') = 0)
    FROM events AS e
        LEFT JOIN watches AS w ON w.row = e.watch
        LEFT JOIN conditions AS c ON c.row = -e.watch
        LEFT JOIN deliveries AS d ON d.event = e.cursor AND d.webhook = :webhook
    WHERE e.cursor > :after AND e.cursor <= :last
    ORDER BY e.cursor
    LIMIT :window
"""


def _send_again(db: sqlite3.Connection, wanted: list[tuple[int, str]], *, now: datetime) -> None:
    """Make deliveries wait at the ends of their lanes, due at once."""
    (last,) = db.execute("SELECT max(cursor) FROM events").fetchone()
    ends = {name: db.execute(END, (last, name)).fetchone()[0] for name in {webhook for _, webhook in wanted}}
    db.executemany(
        SEND_AGAIN,
        [
            {"event": event, "webhook": webhook, "due_at": micros(now), "place": ends[webhook]}
            for event, webhook in wanted
        ],
    )


# Behind what was sent again before, since the last event; a million times, which is enough.
END = """
    SELECT min(max(?1 << 20, coalesce((
        SELECT max(place) FROM deliveries WHERE webhook = ?2 AND status = 'waiting'
    ), 0)) + 1, ((?1 + 1) << 20) - 1)
"""


SEND_AGAIN = """
    INSERT INTO deliveries (webhook, event, watch, place, due_at, replayed_at, again, loose, head)
    SELECT :webhook, e.cursor, e.watch, :place, :due_at, :due_at, 1, endpoint.loose, endpoint.loose OR NOT EXISTS (
        SELECT 1 FROM deliveries AS d
        WHERE d.webhook = :webhook AND d.watch = e.watch AND d.status = 'waiting' AND d.loose = 0
    )
    FROM events AS e
        JOIN (SELECT coalesce((SELECT NOT ordered FROM endpoints WHERE name = :webhook), 0) AS loose) AS endpoint
    WHERE e.cursor = :event
    ON CONFLICT (event, webhook) DO UPDATE
        SET status = 'waiting', place = excluded.place, due_at = excluded.due_at, replayed_at = excluded.replayed_at,
            again = 1, loose = excluded.loose, head = excluded.head,
            burnt = 0, spared = 0, thin = 0, refused_since = NULL, loosens_at = NULL, batch = NULL
        WHERE status <> 'waiting'
"""
