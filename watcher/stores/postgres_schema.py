"""The schema in the database: making it, bringing it up to date. No row of it is read or written here."""

from importlib.resources import files

from anyio import to_thread

from watcher.core.errors import StoreError
from watcher.stores.postgres_connection import Database, PostgresConnection

SCHEMA = "watcher"  # our tables have a schema of their own, because databases are shared
FOREIGN = "its schema {schema} belongs to another program; name another database in watcher.state"
MIGRATING = "SELECT pg_advisory_xact_lock(8480, 0)"


async def migrate(connection: PostgresConnection, *, schema: str = SCHEMA) -> None:
    """Bring the schema up to date, make it if it is missing; of many who do so at once one does.

    Raises:
        StoreError: a newer version wrote it, or it is somebody else's.

    """
    known = await to_thread.run_sync(migrations)
    async with connection.transaction() as db:
        await db.execute(MIGRATING)
        if await db.fetchval("SHOW server_encoding") != "UTF8":
            raise StoreError(f"the database at {connection.place} is not in UTF8, and cannot hold every text")
        if not await db.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema):
            await db.execute(f"CREATE SCHEMA {schema}")
        found = await version(db, schema=schema)
        if found is None:
            await db.execute("CREATE TABLE meta (version integer NOT NULL); INSERT INTO meta (version) VALUES (0)")
        if (found or 0) > len(known):
            newer = f"a newer watcher wrote it (schema {found}, this one knows {len(known)})"
            raise StoreError(f"the database at {connection.place} cannot be used: {newer}")
        for script in known[found or 0 :]:
            await db.execute(script)
        await db.execute("UPDATE meta SET version = $1 WHERE version <> $1", len(known))


async def require_current(db: Database, *, schema: str = SCHEMA) -> None:
    """Have a schema that this version reads.

    Raises:
        StoreError: there is none yet, or another version wrote it.

    """
    found, known = await version(db, schema=schema), len(await to_thread.run_sync(migrations))
    if found is None:
        raise StoreError("there is nothing of watcher's yet; `watcher run` or `watcher add` makes it")
    if found != known:
        raise StoreError(f"another watcher wrote it (schema {found}, this one reads {known})")


async def version(db: Database, *, schema: str = SCHEMA) -> int | None:
    """Return how many migrations were done; None where nothing is.

    Raises:
        StoreError: there are tables, and they are not ours.

    """
    tables = {
        row["relname"]
        for row in await db.fetch("SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace($1)", schema)
    }
    if not tables:
        return None
    if "meta" not in tables:
        raise StoreError(FOREIGN.format(schema=schema))
    found: int = await db.fetchval("SELECT version FROM meta")
    return found


def migrations() -> list[str]:
    """Return the numbered scripts in order."""
    folder = files("watcher.stores") / "schema" / "postgres"
    return [script.read_text() for script in sorted(folder.iterdir(), key=lambda script: script.name)]
