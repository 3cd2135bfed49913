"""Opens what `state` names, an SQLite file or a PostgreSQL: nobody else needs to know which of them it is."""

import os
from socket import gethostname

from anyio import to_thread

from watcher.config import Config
from watcher.database import PostgresUrl
from watcher.ports import Records
from watcher.store import Store
from watcher.stores import sqlite_lock
from watcher.stores.sqlite_records import SqliteRecords


async def open_store(config: Config, *, worker: str | None = None) -> Store:
    """Open the store to write, made and migrated if need be; `worker` is another name than the daemon's.

    Raises:
        StoreError: it cannot be opened, or a newer version wrote it.

    """
    section = config.watcher
    if isinstance(section.state, PostgresUrl):
        from watcher.stores.postgres import PostgresStore  # noqa: PLC0415  # the extra `postgres`, where it is asked for

        return await PostgresStore.open(section.state.url, worker=worker or section.worker, lease=section.lease)
    from watcher.stores.sqlite import SqliteStore  # noqa: PLC0415  # only who writes needs it

    return await SqliteStore.open(section.state.path)


async def open_records(config: Config) -> Records:
    """Open the store to read; it is never created.

    Raises:
        StoreError: there is none, it cannot be opened, or another version wrote it.

    """
    state = config.watcher.state
    if isinstance(state, PostgresUrl):
        from watcher.stores.postgres_records import PostgresRecords  # noqa: PLC0415  # as above

        return await PostgresRecords.open(state.url)
    return await SqliteRecords.open(state.path)


async def owner(config: Config) -> str | None:
    """Say who owns the store now, None if nobody does.

    Raises:
        StoreError: as `open_records`.

    """
    state = config.watcher.state
    if not isinstance(state, PostgresUrl):
        return await to_thread.run_sync(sqlite_lock.owner, state.path)
    from watcher.stores.postgres_records import PostgresRecords  # noqa: PLC0415  # as above

    records = await PostgresRecords.open(state.url)
    try:
        return await records.owner()
    finally:
        await records.close()


def passer_by() -> str:
    """Name a command, which is a worker for a moment at most, and no other of that name."""
    return f"{gethostname()}:command-{os.getpid()}"
