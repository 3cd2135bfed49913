"""Could a daemon work on this PostgreSQL? It connects and looks; nothing is made."""

from watcher.core.errors import StoreError
from watcher.stores.postgres_connection import Database, PostgresConnection
from watcher.stores.postgres_schema import SCHEMA, require_current, version


async def probe(url: str, *, schema: str = SCHEMA) -> None:
    """Connect, read, and see whether a daemon could write our schema, or make it.

    Raises:
        StoreError: it could not.

    """
    connection = PostgresConnection(url, name="watcher probe", schema=schema, mode="READ ONLY")
    try:
        async with connection.transaction() as db:
            await _look(db, schema=schema)
    finally:
        await connection.close()


async def _look(db: Database, *, schema: str) -> None:
    if await db.fetchval("SELECT pg_is_in_recovery()"):
        raise StoreError("it is a standby, which takes no writes")
    if await version(db, schema=schema) is not None:
        await require_current(db, schema=schema)
        is_ours = await db.fetchval("SELECT has_table_privilege($1, 'INSERT')", f"{schema}.watches")
    else:
        is_ours = await db.fetchval("SELECT has_database_privilege(current_database(), 'CREATE')")
    if not is_ours:
        raise StoreError("no permission to write")
