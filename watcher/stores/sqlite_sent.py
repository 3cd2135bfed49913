"""What was sent, as the commands show it: deliveries and their failed attempts. Reads only."""

import sqlite3
from collections.abc import Mapping

from watcher.core.delivery import Attempt
from watcher.core.rows import DeliveryRow
from watcher.stores.rows_outbox import AttemptColumns, DeliveryRowColumns


def select_deliveries(db: sqlite3.Connection, asked: Mapping[str, str | int | None]) -> list[DeliveryRow]:
    """Read deliveries, starting from the narrowest of what is asked."""
    if asked["watch"] is not None:
        sql = OF_WATCH
    elif asked["event"] is not None:
        sql = OF_EVENT
    elif asked["status"] == "exhausted":
        sql = EXHAUSTED
    else:
        sql = DELIVERIES
    return [DeliveryRowColumns(*row).value() for row in db.execute(sql, asked)]


DELIVERIES = """
    SELECT d.id, d.webhook, e.id, e.type, w.id, e.sequence, d.status, d.attempts, d.due_at,
        d.last_at, d.last_status, d.last_error, d.last_duration, d.head
    FROM deliveries AS d JOIN events AS e ON e.cursor = d.event LEFT JOIN watches AS w ON w.row = d.watch
    WHERE d.id > :after
        AND (:webhook IS NULL OR d.webhook = :webhook)
        AND (:status IS NULL OR d.status = :status)
        AND (:since IS NULL OR e.at >= :since)
    ORDER BY d.id
    LIMIT :limit
"""

EXHAUSTED = """
    SELECT d.id, d.webhook, e.id, e.type, w.id, e.sequence, d.status, d.attempts, d.due_at,
        d.last_at, d.last_status, d.last_error, d.last_duration, d.head
    FROM deliveries AS d INDEXED BY deliveries_exhausted
        JOIN events AS e ON e.cursor = d.event LEFT JOIN watches AS w ON w.row = d.watch
    WHERE d.status = 'exhausted' AND d.id > :after
        AND (:webhook IS NULL OR d.webhook = :webhook)
        AND (:since IS NULL OR e.at >= :since)
    ORDER BY d.id
    LIMIT :limit
"""

OF_WATCH = """
    SELECT d.id, d.webhook, e.id, e.type, w.id, e.sequence, d.status, d.attempts, d.due_at,
        d.last_at, d.last_status, d.last_error, d.last_duration, d.head
    FROM watches AS w JOIN events AS e ON e.watch = w.row JOIN deliveries AS d ON d.event = e.cursor
    WHERE w.id = :watch AND d.id > :after
        AND (:event IS NULL OR e.id = :event)
        AND (:webhook IS NULL OR d.webhook = :webhook)
        AND (:status IS NULL OR d.status = :status)
        AND (:since IS NULL OR e.at >= :since)
    ORDER BY d.id
    LIMIT :limit
"""

OF_EVENT = """
    SELECT d.id, d.webhook, e.id, e.type, w.id, e.sequence, d.status, d.attempts, d.due_at,
        d.last_at, d.last_status, d.last_error, d.last_duration, d.head
    FROM events AS e JOIN deliveries AS d ON d.event = e.cursor LEFT JOIN watches AS w ON w.row = e.watch
    WHERE e.id = :event AND d.id > :after
        AND (:webhook IS NULL OR d.webhook = :webhook)
        AND (:status IS NULL OR d.status = :status)
        AND (:since IS NULL OR e.at >= :since)
    ORDER BY d.id
    LIMIT :limit
"""


def select_attempts(db: sqlite3.Connection, delivery: int) -> list[Attempt]:
    """Read the failed attempts of a delivery, oldest first."""
    rows = db.execute(
        """
        SELECT number, at, duration, status, address, headers, body, error, timing
        FROM attempts WHERE delivery = ? ORDER BY id
        """,
        (delivery,),
    )
    return [AttemptColumns(*row).value() for row in rows]
