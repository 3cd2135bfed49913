"""What is known of each webhook, and whether its deliveries stand in lanes. Inside somebody else's transaction."""

import sqlite3

import orjson

from watcher.core.endpoint import Endpoint
from watcher.stores.rows_outbox import read_endpoint, write_endpoint


def know(db: sqlite3.Connection, webhook: str, *, ordered: bool, limit: int) -> Endpoint:
    """Read what is known of a webhook, and have its deliveries stand in lanes or not: at once those that are made now.

    Of those that wait already about `limit`; `arrange` goes on with the others.
    """
    found = db.execute("SELECT ordered, value FROM endpoints WHERE name = ?", (webhook,)).fetchone()
    was_ordered, endpoint = (True, Endpoint(webhook)) if found is None else (bool(found[0]), read_endpoint(found[1]))
    if found is None:
        keep(db, endpoint)
    if ordered != was_ordered:
        db.execute(CHANGE, {"webhook": webhook, "ordered": ordered})
        arrange(db, limit=limit, webhook=webhook)
    return endpoint


def keep(db: sqlite3.Connection, endpoint: Endpoint) -> None:
    """Store what is known of a webhook."""
    db.execute(
        """
        INSERT INTO endpoints (name, ordered, value) VALUES (?, 1, ?)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value
        """,
        (endpoint.name, write_endpoint(endpoint)),
    )


def read_endpoints(db: sqlite3.Connection) -> list[Endpoint]:
    """Read what is known of each webhook."""
    return [read_endpoint(value) for (value,) in db.execute("SELECT value FROM endpoints ORDER BY name")]


# --- with lanes and without: the last places first, so that what comes meanwhile stands right ---------------------

CHANGE = """
    UPDATE endpoints SET ordered = :ordered, reached = (
        SELECT max(place) + 1 FROM deliveries WHERE webhook = :webhook AND status = 'waiting'
    )
    WHERE name = :webhook
"""


def is_arranging(db: sqlite3.Connection) -> bool:
    """Does anything wait that stands as before a webhook's order was changed?"""
    return bool(db.execute("SELECT EXISTS (SELECT 1 FROM endpoints WHERE reached IS NOT NULL)").fetchone()[0])


def arrange(db: sqlite3.Connection, *, limit: int, webhook: str | None = None) -> bool:
    """Let about so many more deliveries stand as their webhook's order says now; False if there were none.

    Before and after a lane has its first for its head, and nothing else of it: what is let go of from the end leaves
    it where it is, and what is lined up comes before it.
    """
    found = db.execute(ARRANGED, (webhook,)).fetchone()
    if found is None:
        return False
    name, ordered, reached = found
    places = [place for (place,) in db.execute(NEXT, (name, reached, limit))]
    until = places[-1] if len(places) == limit else 0
    part = {"webhook": name, "until": until, "reached": reached, "loose": not ordered}
    lanes = {"webhook": name, "watches": orjson.dumps([row for (row,) in db.execute(LANES, part)] if ordered else [])}
    db.execute(MARK, lanes | {"head": False})
    db.execute(MOVE, part)
    db.execute(MARK, lanes | {"head": True})
    db.execute("UPDATE endpoints SET reached = nullif(?, 0) WHERE name = ?", (until, name))
    return True


ARRANGED = "SELECT name, ordered, reached FROM endpoints WHERE reached IS NOT NULL AND name = coalesce(?, name) LIMIT 1"

NEXT = """
    SELECT place FROM deliveries WHERE webhook = ? AND status = 'waiting' AND place < ? ORDER BY place DESC LIMIT ?
"""

LANES = """
    SELECT DISTINCT watch FROM deliveries
    WHERE webhook = :webhook AND status = 'waiting' AND place >= :until AND place < :reached AND loose <> :loose
"""

MOVE = """
    UPDATE deliveries SET loose = :loose, head = :loose
    WHERE webhook = :webhook AND status = 'waiting' AND place >= :until AND place < :reached AND loose <> :loose
"""

# The first of each lane, if it has one.
MARK = """
    UPDATE deliveries SET head = :head WHERE id IN (
        SELECT (
            SELECT id FROM deliveries
            WHERE webhook = :webhook AND watch = lane.value AND status = 'waiting' AND loose = 0
            ORDER BY place, event
            LIMIT 1
        ) FROM json_each(:watches) AS lane
    )
"""
