"""What is known of each webhook, and whether its deliveries stand in lanes. Inside somebody else's transaction."""

import sqlite3

from watcher.core.endpoint import Endpoint
from watcher.stores.rows_outbox import read_endpoint, write_endpoint


def know(db: sqlite3.Connection, webhook: str, *, ordered: bool) -> Endpoint:
    """Read what is known of a webhook, and have its deliveries stand in lanes or not."""
    found = db.execute("SELECT ordered, value FROM endpoints WHERE name = ?", (webhook,)).fetchone()
    was_ordered, endpoint = (True, Endpoint(webhook)) if found is None else (bool(found[0]), read_endpoint(found[1]))
    if found is None:
        keep(db, endpoint)
    if ordered != was_ordered:
        db.execute("UPDATE endpoints SET ordered = ? WHERE name = ?", (ordered, webhook))
        _line_up(db, webhook) if ordered else _let_go(db, webhook)
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


def _line_up(db: sqlite3.Connection, webhook: str) -> None:
    """Make all that waits stand in lanes, also what had loosened, and mark the first of each."""
    db.execute("UPDATE deliveries SET loose = 0, head = 0 WHERE webhook = ? AND head = 1", (webhook,))
    db.execute(
        """
        UPDATE deliveries AS one SET head = 1
        WHERE webhook = ? AND status = 'waiting' AND loose = 0 AND NOT EXISTS (
            SELECT 1 FROM deliveries AS earlier
            WHERE earlier.webhook = one.webhook AND earlier.watch = one.watch
                AND earlier.status = 'waiting' AND earlier.loose = 0
                AND (earlier.place, earlier.event) < (one.place, one.event)
        )
        """,
        (webhook,),
    )


def _let_go(db: sqlite3.Connection, webhook: str) -> None:
    """Make each that waits stand by itself."""
    db.execute(
        "UPDATE deliveries SET loose = 1, head = 1 WHERE webhook = ? AND status = 'waiting' AND loose = 0", (webhook,)
    )
