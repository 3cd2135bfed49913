"""The outbox: what may be sent now, and what became of it. Each function runs inside somebody else's transaction."""

import sqlite3
from datetime import datetime

import orjson

from watcher.core.delivery import Attempt, Decision, Delivery, Settled
from watcher.stores.rows import EventColumns, micros, micros_or_none, moment


def select_heads(db: sqlite3.Connection, webhook: str, *, now: datetime, limit: int) -> list[Delivery]:
    """Read the due heads of a webhook's lanes; the index of heads holds nothing else, so no lane is looked through."""
    rows = db.execute(HEADS, (webhook, micros(now), limit)).fetchall()
    return [
        Delivery(id=row, webhook=webhook, event=EventColumns(*event).value(), attempts=attempts, due_at=moment(due_at))
        for row, attempts, due_at, *event in rows
    ]


HEADS = """
    SELECT d.id, d.attempts, d.due_at,
        e.id, e.type, e.at, coalesce(w.uid, c.uid), w.id, coalesce(w.provider, c.provider), e.sequence, e.body
    FROM deliveries AS d JOIN events AS e ON e.cursor = d.event
        LEFT JOIN watches AS w ON w.row = d.watch LEFT JOIN conditions AS c ON c.row = -d.watch
    WHERE d.webhook = ? AND d.head = 1 AND d.due_at <= ?
    ORDER BY d.due_at, d.id
    LIMIT ?
"""


def record(db: sqlite3.Connection, settled: Settled) -> None:
    """Store one attempt and what it means; what was settled before stays as it is."""
    decision = settled.verdict.decision
    was_waiting = _put_off(db, settled) if decision is Decision.RETRY else _end(db, settled)
    if was_waiting:
        _keep(db, settled.delivery.id, attempt=settled.attempt, is_good=decision is Decision.DELIVERED)


def _put_off(db: sqlite3.Connection, settled: Settled) -> bool:
    updated = db.execute(
        "UPDATE deliveries SET attempts = ?, due_at = coalesce(?, due_at) WHERE id = ? AND status = 'waiting'",
        (settled.attempt.number, micros_or_none(settled.verdict.next_at), settled.delivery.id),
    )
    return updated.rowcount == 1


def _end(db: sqlite3.Connection, settled: Settled) -> bool:
    lane = db.execute(
        """
        UPDATE deliveries SET status = ?, attempts = ?, head = 0 WHERE id = ? AND status = 'waiting'
        RETURNING webhook, watch
        """,
        (settled.verdict.decision, settled.attempt.number, settled.delivery.id),
    ).fetchone()
    if lane is None:
        return False
    db.execute(
        """
        UPDATE deliveries SET head = 1 WHERE id = (
            SELECT id FROM deliveries WHERE webhook = ? AND watch = ? AND status = 'waiting' ORDER BY event LIMIT 1
        )
        """,
        lane,
    )
    return True


def _keep(db: sqlite3.Connection, delivery: int, *, attempt: Attempt, is_good: bool) -> None:
    """Store an attempt; of a good one what the other side said is of no use to anybody."""
    db.execute(
        """
        INSERT INTO attempts (delivery, number, at, duration, status, address, headers, body, error)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            delivery,
            attempt.number,
            micros(attempt.at),
            attempt.duration,
            attempt.status,
            attempt.address,
            None if is_good else orjson.dumps(dict(attempt.headers)).decode(),
            None if is_good else attempt.body,
            None if is_good else attempt.error,
        ),
    )
