"""What somebody who does not own the store wants of its owner. Runs inside somebody else's transaction."""

import sqlite3
from typing import assert_never

from watcher.core.intent import Cancel, Intent, Replay, Switch
from watcher.stores.rows_outbox import IntentColumns, write_replay, write_switch


def write_intent(db: sqlite3.Connection, intent: Intent) -> None:
    """Store what is wanted; that a watch is to end is wanted once, and of an open one only."""
    match intent:
        case Cancel():
            db.execute(
                """
                INSERT INTO intents (cancel) SELECT row FROM watches WHERE uid = ? AND ending IS NULL
                ON CONFLICT (cancel) DO NOTHING
                """,
                (intent.uid,),
            )
        case Switch():
            db.execute(
                "INSERT INTO intents (switch, last) VALUES (?, (SELECT coalesce(max(id), 0) FROM attempts))",
                (write_switch(intent),),
            )
        case Replay():
            db.execute(
                "INSERT INTO intents (replay, last) VALUES (?, (SELECT coalesce(max(cursor), 0) FROM events))",
                (write_replay(intent),),
            )
        case _:
            assert_never(intent)


def read_intents(db: sqlite3.Connection, *, limit: int) -> list[Intent]:
    """Read what is wanted, oldest first."""
    return [IntentColumns(*row).value() for row in db.execute(INTENTS, (limit,))]


INTENTS = """
    SELECT i.id, w.uid, i.switch, i.replay, i.event
    FROM intents AS i LEFT JOIN watches AS w ON w.row = i.cancel
    ORDER BY i.id
    LIMIT ?
"""
