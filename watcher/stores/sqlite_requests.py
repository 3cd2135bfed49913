"""Taking requests in: new watches, cancellations, refusals. Runs inside the writer's transaction."""

import sqlite3
from datetime import datetime
from hashlib import blake2b

import orjson

from watcher.core.model import Watch
from watcher.core.request import canonical
from watcher.core.rows import REFUSALS, Admission, Arrival
from watcher.stores.rows import micros, span


def take_in(db: sqlite3.Connection, arrival: Arrival, *, now: datetime) -> Admission:
    """Store one arrival, or what is wrong with it."""
    if arrival.watch is not None:
        admission = _admit(db, arrival.watch)
    elif arrival.cancel is not None:
        admission = _cancel(db, arrival.cancel)
    else:
        admission = Admission.REJECTED
    reason = REFUSALS.get(admission, arrival.reason)
    if reason is not None:
        db.execute(
            """
            INSERT INTO rejected (at, source, place, reason, raw, digest) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (source, place, digest) DO NOTHING
            """,
            (micros(now), arrival.source, arrival.where, reason, arrival.raw, _digest(arrival.raw)),
        )
    return admission


def _digest(raw: bytes) -> bytes:
    """Tell apart what stood at the same place at another time, as in a file that was rotated."""
    return blake2b(raw, digest_size=16).digest()


def _admit(db: sqlite3.Connection, watch: Watch) -> Admission:
    params = canonical(dict(watch.params)).decode()
    inserted = db.execute(
        """
        INSERT INTO watches
            (uid, id, provider, params, labels, webhooks, callback_url, callback_secret,
            submitted_at, accepted_at, deadline, deadline_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO NOTHING
        """,
        (
            watch.uid,
            watch.id,
            watch.provider,
            params,
            canonical(dict(watch.labels)).decode(),
            None if watch.webhooks is None else orjson.dumps(watch.webhooks).decode(),
            watch.callback and watch.callback.url,
            watch.callback and watch.callback.secret,
            micros(watch.submitted_at),
            micros(watch.accepted_at),
            span(watch.deadline),
            micros(watch.deadline_at),
        ),
    )
    if inserted.rowcount:
        return Admission.NEW
    known = db.execute("SELECT provider, params FROM watches WHERE id = ?", (watch.id,)).fetchone()
    return Admission.KNOWN if known == (watch.provider, params) else Admission.CONFLICT


def _cancel(db: sqlite3.Connection, id: str) -> Admission:
    found = db.execute("SELECT row, ending IS NULL FROM watches WHERE id = ?", (id,)).fetchone()
    if found is None:
        return Admission.UNKNOWN
    row, is_open = found
    if not is_open:
        return Admission.KNOWN
    db.execute("INSERT INTO intents (cancel) VALUES (?) ON CONFLICT (cancel) DO NOTHING", (row,))
    return Admission.CANCELLING


def read_position(db: sqlite3.Connection, source: str) -> bytes | None:
    """Read how far a source has come; None if it was never read."""
    found = db.execute("SELECT position FROM positions WHERE source = ?", (source,)).fetchone()
    return None if found is None else found[0]


def keep_position(db: sqlite3.Connection, source: str, *, position: bytes) -> None:
    """Store how far a source was read."""
    db.execute(
        """
        INSERT INTO positions (source, position) VALUES (?, ?)
        ON CONFLICT (source) DO UPDATE SET position = excluded.position
        """,
        (source, position),
    )
