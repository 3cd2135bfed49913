"""Forgetting what is old, a little at a time. Each function runs inside somebody else's transaction."""

import sqlite3
from datetime import datetime, timedelta
from itertools import takewhile

from watcher.core.rows import Pruned
from watcher.stores.rows import micros, moment, span
from watcher.stores.sqlite_outbox import promote, select_undelivered

SLICE = 20  # events at once: of each there may be many attempts
DAY = span(timedelta(days=1))


def forget(db: sqlite3.Connection, *, before: datetime, ids_before: datetime, limit: int) -> Pruned:
    """Give up and forget about so many rows, and give so many free pages back; fewer mean that nothing is left."""
    old, oldest = micros(before), micros(ids_before)
    given_up = _give_up(db, old, limit=limit)
    rows = sum(given_up.values())
    for step, age in ((_details, old), (_conditions, old), (_rejected, old), (_origins, old), (_ids, oldest)):
        if rows < limit:
            rows += step(db, age, limit=limit - rows)
    return Pruned(rows + _give_back(db, limit=limit - rows), given_up)


def _give_up(db: sqlite3.Connection, old: int, *, limit: int) -> dict[str, int]:
    """Give up what waits since then; return how many, by webhook."""
    given_up: dict[str, int] = {}
    for webhook in select_undelivered(db):
        rows = db.execute(LONGEST, (webhook, limit - sum(given_up.values())))
        late = [(one, due_at) for one, due_at, _ in takewhile(lambda row: row[2] < old, rows)]
        if late:
            given_up[webhook] = len(late)
            db.executemany(
                "UPDATE deliveries SET status = 'exhausted', head = 0 WHERE id = ?", [(one,) for one, _ in late]
            )
            promote(db, late)
    return given_up


# A delivery waits since the event of its place, or since its replay; where the event is forgotten already, and nobody
# wanted it again, for longer than anybody waits. The places say who has waited longest.
LONGEST = """
    SELECT d.id, d.due_at, max(coalesce(e.at, 0), coalesce(d.replayed_at, 0))
    FROM deliveries AS d LEFT JOIN events AS e ON e.cursor = d.place >> 20
    WHERE d.webhook = ? AND d.status = 'waiting'
    ORDER BY d.place
    LIMIT ?
"""


def _details(db: sqlite3.Connection, old: int, *, limit: int) -> int:
    """Forget watches that finished before then, but for what recognises their ids; return how many rows it took."""
    rows = 0
    for (watch,) in db.execute(KEPT, (old, limit)).fetchall():
        while rows < limit and (events := db.execute(OF_WATCH, (watch, SLICE)).fetchall()):
            rows += _events(db, events)
        if rows >= limit:
            break
        rows += _watch(db, watch, old)
    return rows


KEPT = "SELECT row FROM watches WHERE kept_since < ? ORDER BY kept_since LIMIT ?"

OF_WATCH = """
    SELECT cursor FROM events
    WHERE watch = ? AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = cursor AND status = 'waiting')
    ORDER BY sequence
    LIMIT ?
"""


def _watch(db: sqlite3.Connection, watch: int, old: int) -> int:
    """Empty a watch that has no events any more; one that has some, because they wait, is looked at another day."""
    db.execute("UPDATE watches SET kept_since = ? WHERE row = ?", (old + DAY, watch))
    emptied = db.execute(
        """
        UPDATE watches
        SET labels = '{}', webhooks = NULL, callback_url = NULL, callback_secret = NULL, callback_ended_at = NULL,
            status = NULL, state = NULL, trouble = NULL, kept_since = NULL
        WHERE row = ?1 AND NOT EXISTS (SELECT 1 FROM events WHERE watch = ?1)
        """,
        (watch,),
    )
    if emptied.rowcount:
        db.execute("DELETE FROM observations WHERE watch = ?", (watch,))
    return 1


def _conditions(db: sqlite3.Connection, old: int, *, limit: int) -> int:
    """Forget what happened to providers as a whole before then; return how many rows went."""
    rows = 0
    for (condition,) in db.execute("SELECT row FROM conditions").fetchall():
        rows += _events(db, db.execute(OF_CONDITION, (-condition, limit, old)).fetchall()) if rows < limit else 0
    return rows


# The oldest are looked at, so that it is one step where none of them is old enough.
OF_CONDITION = """
    SELECT cursor FROM (SELECT cursor, at FROM events WHERE watch = ? ORDER BY sequence LIMIT ?)
    WHERE at < ? AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = cursor AND status = 'waiting')
"""


def _events(db: sqlite3.Connection, events: list[tuple[int]]) -> int:
    """Forget events with their deliveries and attempts; return how many rows went."""
    attempts = db.executemany(
        "DELETE FROM attempts WHERE delivery IN (SELECT id FROM deliveries WHERE event = ?)", events
    ).rowcount
    deliveries = db.executemany("DELETE FROM deliveries WHERE event = ?", events).rowcount
    return attempts + deliveries + db.executemany("DELETE FROM events WHERE cursor = ?", events).rowcount


def _rejected(db: sqlite3.Connection, old: int, *, limit: int) -> int:
    """Forget requests that were refused before then; return how many."""
    return db.execute(
        """
        DELETE FROM rejected WHERE id IN (
            SELECT id FROM (SELECT id, at FROM rejected ORDER BY id LIMIT ?) WHERE at < ?
        )
        """,
        (limit, old),
    ).rowcount


def _origins(db: sqlite3.Connection, old: int, *, limit: int) -> int:
    """Forget origins that nobody has called since then, and that nobody disabled; return how many."""
    return db.execute(FORGET_ORIGINS, (moment(old).isoformat(), limit)).rowcount


# Their times are texts that sort as they do. However often its breaker opened: what is so old is no reason to wait.
FORGET_ORIGINS = """
    DELETE FROM endpoints WHERE name IN (
        SELECT name FROM endpoints
        WHERE instr(name, ':') AND value ->> 'disabled' IS NULL
            AND coalesce(value ->> '$.last_good.at', '') < ?1
            AND coalesce(value ->> 'failed_at', '') < ?1
            AND coalesce(value ->> 'paused_until', '') < ?1
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE webhook = name AND status = 'waiting')
        LIMIT ?2
    )
"""


def _ids(db: sqlite3.Connection, oldest: int, *, limit: int) -> int:
    """Forget the ids of watches that finished before then; return how many."""
    return db.execute(FORGET_IDS, (oldest, limit)).rowcount


FORGET_IDS = """
    DELETE FROM watches WHERE row IN (
        SELECT row FROM watches
        WHERE ending IS NOT NULL AND kept_since IS NULL AND finished_at < ? ORDER BY finished_at LIMIT ?
    )
"""


def _give_back(db: sqlite3.Connection, *, limit: int) -> int:
    """Give free pages at the end of the file back to the file system; return how many."""
    pages: int = min(max(limit, 0), db.execute("PRAGMA freelist_count").fetchone()[0])
    for _ in range(pages):
        db.execute("PRAGMA incremental_vacuum(1)")  # Python takes one step of it, which is one page, whatever it says
    return pages
