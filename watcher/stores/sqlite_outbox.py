"""The outbox: what may be sent now, and what became of it. Each function runs inside somebody else's transaction."""

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime

import orjson

from watcher.core.delivery import Attempt, Decision, Delivery, Settled
from watcher.core.rows import Backlog
from watcher.stores.rows import micros, micros_or_none, moment_or_none
from watcher.stores.rows_outbox import DeliveryColumns, write_timing

# --- what may be sent -----------------------------------------------------------------------------------------


def select_heads(
    db: sqlite3.Connection, webhook: str, *, again: bool, now: datetime, limit: int, but: Collection[int]
) -> list[Delivery]:
    """Read the due heads of a webhook's lanes; the index of heads holds nothing else, so no lane is looked through."""
    rows = db.execute(HEADS, (webhook, again, micros(now), orjson.dumps(list(but)), limit))
    return [DeliveryColumns(*row).value() for row in rows]


HEADS = """
    SELECT id, webhook, attempts, due_at, burnt, spared, thin, refused_since, loosens_at, batch,
        callback_url, callback_secret, event_id, type, at, uid, watch_id, provider, sequence, body
    FROM outbox
    WHERE webhook = ? AND head = 1 AND again = ? AND due_at <= ? AND id NOT IN (SELECT value FROM json_each(?))
    ORDER BY due_at, id
    LIMIT ?
"""


def select_members(db: sqlite3.Connection, head: Delivery, *, limit: int) -> list[Delivery]:
    """Read what goes in one POST with a head."""
    if head.batch is None:
        rows = db.execute(LANE, {"head": head.id, "limit": limit})
    else:
        rows = db.execute(BATCH, {"webhook": head.webhook, "batch": head.batch, "head": head.id, "limit": limit})
    found = [DeliveryColumns(*row).value() for row in rows]
    if found and found[0].id == head.id:
        return found
    return [DeliveryColumns(*row).value() for row in db.execute(ALONE, (head.id,))]


BATCH = """
    SELECT id, webhook, attempts, due_at, burnt, spared, thin, refused_since, loosens_at, batch,
        callback_url, callback_secret, event_id, type, at, uid, watch_id, provider, sequence, body
    FROM outbox
    WHERE webhook = :webhook AND batch = :batch AND status = 'waiting'
    ORDER BY id <> :head, place, event
    LIMIT :limit
"""

LANE = """
    SELECT id, webhook, attempts, due_at, burnt, spared, thin, refused_since, loosens_at, batch,
        callback_url, callback_secret, event_id, type, at, uid, watch_id, provider, sequence, body
    FROM outbox
    WHERE (webhook, watch) = (SELECT webhook, watch FROM deliveries WHERE id = :head AND loose = 0)
        AND status = 'waiting' AND loose = 0
    ORDER BY place, event
    LIMIT :limit
"""


# What is in no lane, if it waits.
ALONE = """
    SELECT id, webhook, attempts, due_at, burnt, spared, thin, refused_since, loosens_at, batch,
        callback_url, callback_secret, event_id, type, at, uid, watch_id, provider, sequence, body
    FROM outbox
    WHERE id = ? AND status = 'waiting' AND loose = 1
"""


def select_undelivered(db: sqlite3.Connection) -> list[str]:
    """Read whose deliveries wait: one step in an index for each webhook, however many wait."""
    return [name for (name,) in db.execute(UNDELIVERED)]


UNDELIVERED = """
    WITH RECURSIVE names (name) AS (
        SELECT min(webhook) FROM deliveries WHERE status = 'waiting'
        UNION ALL
        SELECT (SELECT min(webhook) FROM deliveries WHERE status = 'waiting' AND webhook > name)
        FROM names WHERE name IS NOT NULL
    )
    SELECT name FROM names WHERE name IS NOT NULL
"""


def select_backlog(db: sqlite3.Connection) -> dict[str, Backlog]:
    """Count what waits, webhook by webhook; unlike all else that is asked often, it costs more where much waits."""
    counted = {name: db.execute(BACKLOG, {"webhook": name}).fetchone() for name in select_undelivered(db)}
    return {name: Backlog(waiting, moment_or_none(since)) for name, (waiting, since) in counted.items()}


# The first place says since when: a replay waits since it was wanted, and not since its events happened.
BACKLOG = """
    SELECT count(*), (
        SELECT nullif(max(coalesce(e.at, 0), coalesce(d.replayed_at, 0)), 0)
        FROM deliveries AS d LEFT JOIN events AS e ON e.cursor = d.place >> 20
        WHERE d.webhook = :webhook AND d.status = 'waiting'
        ORDER BY d.place
        LIMIT 1
    )
    FROM deliveries WHERE webhook = :webhook AND status = 'waiting'
"""


# --- what became of it ----------------------------------------------------------------------------------------


def settle(db: sqlite3.Connection, settled: Sequence[Settled]) -> None:
    """Store attempts and what they mean. Lanes move last, and once: several of one lane may have gone in one POST."""
    done = [one for one in settled if one.decision is not Decision.RETRY]
    db.execute(DELIVERED, (orjson.dumps([_delivered(one) for one in done if one.decision is Decision.DELIVERED]),))
    for one in settled:
        if one.decision is not Decision.DELIVERED:
            _fail(db, one)
    promote(db, [(one.delivery.id, _end_of(one.attempt)) for one in done])
    for one in settled:
        if one.decision is Decision.RETRY and _is_late(one):
            _let_go(db, db.execute(HEAD_OF_LANE, (one.delivery.id,)).fetchall(), at=_end_of(one.attempt))


def _end_of(attempt: Attempt) -> int:
    return micros(attempt.at) + round(attempt.duration * 1_000_000)


def _is_late(one: Settled) -> bool:
    """Is its delivery to hold back others no longer than till the attempt ended?"""
    loosens_at = one.delivery.loosens_at
    return loosens_at is not None and micros(loosens_at) <= _end_of(one.attempt)


def _delivered(one: Settled) -> tuple[object, ...]:
    attempt = one.attempt
    return one.delivery.id, one.delivery.attempts, micros(attempt.at), attempt.status, attempt.duration


# One statement for all, because with each step of one SQLite lets the event loop in, and waits until it is let back.
DELIVERED = """
    UPDATE deliveries
    SET status = 'delivered', head = 0, attempts = one.value ->> 1, last_at = one.value ->> 2,
        last_status = one.value ->> 3, last_error = NULL, last_duration = one.value ->> 4
    FROM json_each(?) AS one
    WHERE deliveries.id = one.value ->> 0 AND status = 'waiting'
"""


def promote(db: sqlite3.Connection, done: Sequence[tuple[int, int]]) -> None:
    """Make heads of what stands behind others, each of which was done at a time."""
    db.execute(PROMOTE, (orjson.dumps(done),))


# Due at once, and behind what is due already, so that lanes take turns; what was sent in a batch keeps its own time.
PROMOTE = """
    UPDATE deliveries SET head = 1, due_at = max(due_at, done_at)
    FROM (
        SELECT one.value ->> 1 AS done_at, (
            SELECT next.id
            FROM deliveries AS done JOIN deliveries AS next ON next.webhook = done.webhook AND next.watch = done.watch
                AND next.status = 'waiting' AND next.loose = 0
            WHERE done.id = one.value ->> 0
            ORDER BY next.place, next.event
            LIMIT 1
        ) AS next_id
        FROM json_each(?) AS one
    )
    WHERE deliveries.id = next_id AND head = 0
"""


def _fail(db: sqlite3.Connection, one: Settled) -> None:
    """Store a failed attempt, unless what it was of was settled before."""
    if one.decision is Decision.RETRY:
        was_waiting = db.execute(AGAIN, _put_off(one)).rowcount
    else:
        was_waiting = db.execute(END, _ended(one)).rowcount
    if was_waiting and one.decision is Decision.ENDED:
        end_callback(db, one.delivery.id, at=_end_of(one.attempt))
    if was_waiting and one.is_kept:
        keep_attempt(db, one.delivery.id, attempt=one.attempt)


def _ended(one: Settled) -> tuple[object, ...]:
    delivery, attempt = one.delivery, one.attempt
    last = (micros(attempt.at), attempt.status, attempt.error, attempt.duration)
    return delivery.attempts, delivery.burnt, *last, delivery.id


END = """
    UPDATE deliveries
    SET status = 'exhausted', head = 0, attempts = ?, burnt = ?,
        last_at = ?, last_status = ?, last_error = ?, last_duration = ?
    WHERE id = ? AND status = 'waiting'
"""


def _put_off(one: Settled) -> tuple[object, ...]:
    delivery, attempt = one.delivery, one.attempt
    return (
        delivery.attempts,
        delivery.burnt,
        delivery.spared,
        micros(delivery.due_at),
        delivery.thin,
        micros_or_none(delivery.refused_since),
        micros_or_none(delivery.loosens_at),
        delivery.batch,
        micros(attempt.at),
        attempt.status,
        attempt.error,
        attempt.duration,
        delivery.id,
    )


AGAIN = """
    UPDATE deliveries
    SET again = 1, attempts = ?, burnt = ?, spared = ?, due_at = ?, thin = ?, refused_since = ?, loosens_at = ?,
        batch = ?, last_at = ?, last_status = ?, last_error = ?, last_duration = ?
    WHERE id = ? AND status = 'waiting'
"""


def keep_attempt(db: sqlite3.Connection, delivery: int, *, attempt: Attempt) -> None:
    """Store a failed attempt, whole."""
    db.execute(
        """
        INSERT INTO attempts (delivery, number, at, duration, status, address, headers, body, error, timing)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            delivery,
            attempt.number,
            micros(attempt.at),
            attempt.duration,
            attempt.status,
            attempt.address,
            orjson.dumps(dict(attempt.headers)).decode(),
            attempt.body,
            attempt.error,
            write_timing(attempt.timing),
        ),
    )


def end_callback(db: sqlite3.Connection, delivery: int, *, at: int) -> None:
    """Give up all that waits for the callback that a delivery was for, in its lane or in none."""
    webhook, watch = db.execute("SELECT webhook, watch FROM deliveries WHERE id = ?", (delivery,)).fetchone()
    db.execute(
        """
        UPDATE deliveries SET status = 'exhausted', head = 0
        WHERE webhook = ? AND status = 'waiting' AND event IN (SELECT cursor FROM events WHERE watch = ?)
        """,
        (webhook, watch),
    )
    db.execute("UPDATE watches SET callback_ended_at = ? WHERE row = ?", (at, watch))


# --- lanes ----------------------------------------------------------------------------------------------------


def loosen(db: sqlite3.Connection, *, now: datetime, limit: int) -> int:
    """Let go of the lanes of what was refused for too long, and of what goes in one POST with it; return how many."""
    late = db.execute(LOOSENING, (micros(now), limit)).fetchall()
    _let_go(db, late, at=micros(now))
    return len(late)


LOOSENING = """
    SELECT id, webhook, watch, batch FROM deliveries
    WHERE loosens_at <= ? AND loosens_at IS NOT NULL AND head = 1 AND loose = 0
    ORDER BY loosens_at
    LIMIT ?
"""

HEAD_OF_LANE = "SELECT id, webhook, watch, batch FROM deliveries WHERE id = ? AND head = 1 AND loose = 0"


def _let_go(db: sqlite3.Connection, heads: Sequence[tuple[int, str, int, str | None]], *, at: int) -> None:
    db.executemany("UPDATE deliveries SET loose = 1 WHERE id = ?", [(one,) for one, *_ in heads])
    db.executemany(LOOSEN_BATCH, [batch for _, *batch in heads if batch[-1] is not None])
    promote(db, [(one, at) for one, *_ in heads])


LOOSEN_BATCH = """
    UPDATE deliveries SET head = 1, loose = 1 WHERE webhook = ? AND watch = ? AND batch = ? AND status = 'waiting'
"""
