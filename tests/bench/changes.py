"""Changes a second to durable: a watch, its event and its delivery in a transaction, against bare sqlite3."""

import sqlite3
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.world import changed, store_of

WATCHES = 10_000
GROUP = 200


async def bare(_url: str) -> float:
    """Return changes a second of plain sqlite3 on the same settings: one update and two inserts, in the same groups."""
    with TemporaryDirectory() as folder:
        db = sqlite3.connect(Path(folder, "bare.db"), isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE w (id INTEGER PRIMARY KEY, sequence INTEGER, snapshot TEXT)")
        db.execute("CREATE TABLE e (id INTEGER PRIMARY KEY, w INTEGER, body BLOB)")
        db.execute("CREATE TABLE d (id INTEGER PRIMARY KEY, e INTEGER, due INTEGER)")
        db.execute("BEGIN")
        db.executemany("INSERT INTO w VALUES (?, 0, '')", [(n,) for n in range(WATCHES)])
        db.execute("COMMIT")
        began = time.monotonic()
        for first in range(0, WATCHES, GROUP):
            db.execute("BEGIN IMMEDIATE")
            for watch in range(first, first + GROUP):
                db.execute("UPDATE w SET sequence = sequence + 1, snapshot = ? WHERE id = ?", ("x" * 100, watch))
                db.execute("INSERT INTO e (w, body) VALUES (?, ?)", (watch, b"x" * 400))
                db.execute("INSERT INTO d (e, due) VALUES (?, 0)", (watch,))
            db.execute("COMMIT")
        rate = WATCHES / (time.monotonic() - began)
        db.close()
    return rate


async def ours(_url: str) -> float:
    """Return changes a second through the store's own port, steps made beforehand."""
    async with store_of(WATCHES) as store:
        uids = [row.uid for first in range(0, WATCHES, 1000) for row in await store.load(after=first, limit=1000)]
        watches = [await store.watch(uid) for uid in uids]
        steps = [changed(watch, to=("ops",)) for watch in watches if watch]
        began = time.monotonic()
        for first in range(0, WATCHES, GROUP):
            answers = await store.commit(steps[first : first + GROUP])
            assert answers == [None] * GROUP
        return WATCHES / (time.monotonic() - began)
