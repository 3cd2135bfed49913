"""What waits for longer than it must: a clock was ahead, or a webhook is well again. In others' transactions."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

import orjson

from watcher.core.endpoint import Endpoint
from watcher.core.intent import Switch
from watcher.stores.rows import micros, span
from watcher.stores.sqlite_endpoints import keep


def is_late(db: sqlite3.Connection, webhook: str, *, now: datetime, waits: Sequence[timedelta]) -> bool:
    """Say whether anything waits for longer; looks only at what waits for its time."""
    return bool(db.execute(LATE, _values(webhook, now=now, waits=waits) | {"limit": 1}).fetchone())


def hasten(
    db: sqlite3.Connection,
    webhook: str,
    *,
    now: datetime,
    waits: Sequence[timedelta],
    order_wait: timedelta,
    limit: int,
) -> int:
    """Let some of it wait for no longer than it may from now; return how many."""
    values = _values(webhook, now=now, waits=waits) | {"order_wait": span(order_wait), "limit": limit}
    return db.execute(HASTEN, values).rowcount


def switch(db: sqlite3.Connection, intent: Switch, endpoint: Endpoint | None, *, now: datetime, limit: int) -> bool:
    """Store what is known of a webhook, and let some of what goes again wait no longer.

    False: there may be more. Else the intent ends.
    """
    found = db.execute("SELECT last FROM intents WHERE id = ?", (intent.id,)).fetchone()
    if found is None:
        return True
    if endpoint is not None:
        keep(db, endpoint)
    values = {"webhook": intent.webhook, "now": micros(now), "last": found[0], "limit": limit}
    if intent.on and db.execute(MAKE_DUE, values).rowcount == limit:
        return False
    db.execute(END, (intent.id, intent.webhook))
    return True


def _values(webhook: str, *, now: datetime, waits: Sequence[timedelta]) -> dict[str, object]:
    longest = orjson.dumps([span(wait) for wait in waits]).decode()
    return {"webhook": webhook, "now": micros(now), "waits": longest, "last": len(waits) - 1}


LATE = """
    SELECT id FROM deliveries
    WHERE webhook = :webhook AND head = 1 AND again = 1 AND due_at > :now
        AND due_at > :now + json_extract(:waits, '$[' || min(burnt, :last) || ']')
    LIMIT :limit
"""
HASTEN = """
    UPDATE deliveries
    SET due_at = :now + json_extract(:waits, '$[' || min(burnt, :last) || ']'),
        refused_since = CASE WHEN loosens_at > :now + :order_wait THEN :now ELSE refused_since END,
        loosens_at = min(loosens_at, :now + :order_wait)
    WHERE id IN (
        SELECT id FROM deliveries
        WHERE webhook = :webhook AND head = 1 AND again = 1 AND due_at > :now
            AND due_at > :now + json_extract(:waits, '$[' || min(burnt, :last) || ']')
        ORDER BY due_at DESC  -- or what is hastened already would be looked at again, in each lot
        LIMIT :limit
    )
"""
MAKE_DUE = """
    UPDATE deliveries SET due_at = :now
    WHERE id IN (
        SELECT id FROM deliveries AS d
        WHERE webhook = :webhook AND head = 1 AND again = 1 AND due_at > :now
            AND NOT EXISTS (SELECT 1 FROM attempts AS a WHERE a.delivery = d.id AND a.id > :last)
        LIMIT :limit
    )
"""
END = "DELETE FROM intents WHERE id <= ? AND switch ->> 'webhook' = ?"
