"""Writing a step: its watch, its events, their deliveries; and what is wrong with providers. Inside a transaction."""

import sqlite3

from watcher.core.errors import StaleWatchError, StoreError
from watcher.core.model import Condition, Event, Report, Step, Watch
from watcher.stores.rows import ConditionColumns, micros, micros_or_none, write_snapshot, write_trouble
from watcher.stores.sqlite_thread import savepoint


def attempt_step(db: sqlite3.Connection, step: Step, *, epoch: int) -> StoreError | None:
    """Write one step whole, or say why nothing of it was written."""
    try:
        with savepoint(db):
            _write_step(db, step, epoch=epoch)
    except StaleWatchError as error:
        return error
    except (sqlite3.Error, TypeError, ValueError, OverflowError) as error:  # SQLite's no, or what cannot be encoded
        if not db.in_transaction:
            raise
        return StoreError(f"the step of watch {step.watch.id} could not be written: {error}")
    return None


def _write_step(db: sqlite3.Connection, step: Step, *, epoch: int) -> None:
    watch = step.watch
    row = _write_watch(db, watch, before=step.before) if watch.epoch == epoch else None
    if row is None:
        raise StaleWatchError(f"watch {watch.id} is not what it was when the step was made")
    for event in step.events:
        _write_event(db, event, row=row, sequence=event.sequence)
    if step.intent is not None:
        db.execute("DELETE FROM intents WHERE id = ?", (step.intent,))
    if watch.ending is not None:
        _finish(db, watch, row=row)


def _write_watch(db: sqlite3.Connection, watch: Watch, *, before: int) -> int | None:
    """Write watch and snapshot; return its row, None if it is finished or not at `before` any more."""
    snapshot = watch.snapshot
    found = db.execute(
        """
        UPDATE watches
        SET sequence = ?, changed_at = ?, status = ?, state = ?, trouble = ?, deadline_at = ?
        WHERE uid = ? AND sequence = ? AND ending IS NULL
        RETURNING row
        """,
        (
            watch.sequence,
            micros_or_none(watch.changed_at),
            snapshot and snapshot.status,
            snapshot and snapshot.state,
            watch.trouble and write_trouble(watch.trouble),
            micros(watch.deadline_at),
            watch.uid,
            before,
        ),
    ).fetchone()
    if found is None:
        return None
    row: int = found[0]
    if snapshot is not None:
        db.execute(
            """
            INSERT INTO observations (watch, snapshot) VALUES (?, ?)
            ON CONFLICT (watch) DO UPDATE SET snapshot = excluded.snapshot
            """,
            (row, write_snapshot(snapshot)),
        )
    return row


def _finish(db: sqlite3.Connection, watch: Watch, *, row: int) -> None:
    """End a watch, and all that is wanted of it.

    Apart from other changes: whoever sets `ending`, even to what it was, has the index of open watches written anew.
    """
    db.execute(
        "UPDATE watches SET ending = ?1, finished_at = ?2, kept_since = ?2 WHERE row = ?3",
        (watch.ending, micros_or_none(watch.finished_at), row),
    )
    db.execute("DELETE FROM intents WHERE cancel = ?", (row,))


def read_conditions(db: sqlite3.Connection) -> list[Condition]:
    """Return the last condition of each provider that was ever down or paused."""
    rows = db.execute("SELECT provider, uid, sequence, reason, since, paused_until, paused_at FROM conditions")
    return [ConditionColumns(*row).value() for row in rows]


def write_report(db: sqlite3.Connection, report: Report) -> None:
    """Write a provider's condition and the event that tells it, if nobody told another one meanwhile."""
    condition = report.condition
    known = db.execute("SELECT sequence FROM conditions WHERE provider = ?", (condition.provider,)).fetchone() or (0,)
    if known != (condition.sequence - 1,):
        raise StaleWatchError(f"what is known of {condition.provider} is not what it was when this was found out")
    (row,) = db.execute(
        """
        INSERT INTO conditions (provider, uid, sequence, reason, since) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (provider) DO UPDATE
            SET sequence = excluded.sequence, reason = excluded.reason, since = excluded.since
        RETURNING row
        """,
        (
            condition.provider,
            condition.uid,
            condition.sequence,
            condition.reason,
            micros_or_none(condition.since),
        ),
    ).fetchone()
    _write_event(db, report.event, row=-row, sequence=condition.sequence)


def write_pause(db: sqlite3.Connection, condition: Condition) -> None:
    """Write until when nothing is sent to a provider, and nothing else of what is known of it."""
    db.execute(
        """
        INSERT INTO conditions (provider, uid, sequence, paused_until, paused_at) VALUES (?, ?, 0, ?, ?)
        ON CONFLICT (provider) DO UPDATE SET paused_until = excluded.paused_until, paused_at = excluded.paused_at
        """,
        (
            condition.provider,
            condition.uid,
            micros_or_none(condition.paused_until),
            micros_or_none(condition.paused_at),
        ),
    )


def _write_event(db: sqlite3.Connection, event: Event, *, row: int, sequence: int | None) -> None:
    """Write an event and a delivery for each webhook that it goes to, at the end of its lane."""
    cursor = db.execute(
        "INSERT INTO events (id, watch, sequence, type, at, body) VALUES (?, ?, ?, ?, ?, ?)",
        (event.id, row, sequence, event.type, micros(event.at), event.body),
    ).lastrowid
    to = [webhook for webhook in event.to if ":" not in webhook or not _is_callback_gone(db, row)]
    db.executemany(
        DELIVER, [{"webhook": webhook, "event": cursor, "watch": row, "due_at": micros(event.at)} for webhook in to]
    )


def _is_callback_gone(db: sqlite3.Connection, watch: int) -> bool:
    """Did the watch's callback end after the event was addressed?"""
    return bool(db.execute("SELECT callback_ended_at IS NOT NULL FROM watches WHERE row = ?", (watch,)).fetchone()[0])


# Of a webhook that is not ordered each stands by itself; else it is the head of its lane if nothing waits there.
DELIVER = """
    INSERT INTO deliveries (webhook, event, watch, place, due_at, loose, head)
    SELECT :webhook, :event, :watch, :event << 20, :due_at, endpoint.loose, endpoint.loose OR NOT EXISTS (
        SELECT 1 FROM deliveries AS d
        WHERE d.webhook = :webhook AND d.watch = :watch AND d.status = 'waiting' AND d.loose = 0
    )
    FROM (SELECT coalesce((SELECT NOT ordered FROM endpoints WHERE name = :webhook), 0) AS loose) AS endpoint
"""
