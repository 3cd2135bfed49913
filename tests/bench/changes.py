"""Changes a second to durable: a watch, its events and deliveries in one commit; against bare sqlite3 and asyncpg."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
from postgres_server import PostgresServer

from bench.world import changed, fill, store_of
from watcher.store import Store
from watcher.stores.postgres import PostgresStore

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
        return await committed(store)


async def committed(store: Store) -> float:
    """Change each of a store's watches once, in groups; return changes a second."""
    uids = [row.uid for first in range(0, WATCHES, 1000) for row in await store.load(after=first, limit=1000)]
    watches = [await store.watch(uid) for uid in uids]
    steps = [changed(watch, to=("ops",)) for watch in watches if watch]
    began = time.monotonic()
    for first in range(0, WATCHES, GROUP):
        answers = await store.commit(steps[first : first + GROUP])
        assert answers == [None] * GROUP
    return WATCHES / (time.monotonic() - began)


# --- PostgreSQL, as it is set up by itself: each commit is on disk ------------------------------------------------


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """Run a server of our own."""
    server = PostgresServer()
    server.start()
    try:
        yield server
    finally:
        server.remove()


async def bare_postgres(_url: str) -> float:
    """Return changes a second of plain asyncpg: one update and two inserts, in the same groups, a list each."""
    with postgres() as server:
        db = await asyncpg.connect(server.url)
        await db.execute(
            """
            CREATE TABLE w (id int PRIMARY KEY, sequence int NOT NULL DEFAULT 0, snapshot text NOT NULL DEFAULT '');
            CREATE TABLE e (id bigserial PRIMARY KEY, w int, body bytea);
            CREATE TABLE d (id bigserial PRIMARY KEY, w int, due timestamptz);
            """
        )
        await db.executemany("INSERT INTO w (id) VALUES ($1)", [(one,) for one in range(WATCHES)])
        began = time.monotonic()
        for first in range(0, WATCHES, GROUP):
            watches = range(first, first + GROUP)
            async with db.transaction():
                await db.execute(
                    "UPDATE w SET sequence = sequence + 1, snapshot = $2 WHERE id = ANY($1)", watches, "x" * 100
                )
                await db.execute("INSERT INTO e (w, body) SELECT unnest($1::int[]), $2", watches, b"x" * 400)
                await db.execute("INSERT INTO d (w, due) SELECT unnest($1::int[]), now()", watches)
        rate = WATCHES / (time.monotonic() - began)
        await db.close()
    return rate


async def ours_postgres(_url: str) -> float:
    """Return changes a second through the store's own port, steps made beforehand."""
    with postgres() as server:
        store = await PostgresStore.open(server.url, worker="bench", lease=timedelta(seconds=15))
        try:
            await fill(store, WATCHES)
            return await committed(store)
        finally:
            await store.close()
