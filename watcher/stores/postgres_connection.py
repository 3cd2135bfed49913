"""One connection to PostgreSQL, made when it is needed and made anew once it broke. No statement of a table.

It works through pgbouncer in transaction mode: every statement runs in a transaction, none is prepared for later, and
what is set is set for one transaction.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Literal, TypeAlias
from urllib.parse import parse_qs, urlsplit

import anyio
import asyncpg

from watcher.core.errors import StoreError

CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 15.0
REST = 0.5  # after a connection that could not be made, so that nobody hammers a server that is down
LONGEST_IDLE = timedelta(seconds=5)  # a process that was stopped amid a transaction must not hold its locks for long

_MS = timedelta(milliseconds=1)
BEGIN = """
    BEGIN {mode};
    SET LOCAL search_path = {schema};
    SET LOCAL idle_in_transaction_session_timeout = '{idle:.0f}ms';
    SET LOCAL lock_timeout = '10s'
"""

# An internal error is raised on a connection that the server is just closing.
FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)

Database: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class PostgresConnection:
    """One connection, for one user at a time, in turn. `schema` holds our tables, which statements name without it."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        schema: str,
        mode: Literal["READ WRITE", "READ ONLY"],
        heard: Callable[[str], None] | None = None,
        idle: timedelta = LONGEST_IDLE,
    ) -> None:
        """Note where to connect to; `name` is shown to people who look at the server.

        The server ends a transaction in which nothing happens for longer than `idle`.
        `heard` is called with what is notified on the channel of the schema's name, at any time while it is connected.
        """
        self.place = place(url)
        self._schema = schema
        self._heard = heard
        self._url = url
        self._name = name
        isolation = "READ COMMITTED" if mode == "READ WRITE" else "REPEATABLE READ"
        self._begin = BEGIN.format(mode=f"ISOLATION LEVEL {isolation} {mode}", schema=schema, idle=idle / _MS)
        self._turn = anyio.Lock()
        self._db: Database | None = None
        self._rest_until = 0.0
        self._why = ""
        self._is_closed = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Database]:
        """Run the block in a transaction, which is durable once the block has ended.

        Raises:
            StoreError: the server cannot be reached, or the connection broke; what was being committed just then may
                have been kept.

        """
        async with self._turn:
            try:
                db = await self._connected()
                await db.execute(self._begin)
                yield db
                await _commit(db)
            except BaseException as error:
                self._drop()
                if isinstance(error, FAILURES):
                    raise translated(error) from error
                raise

    async def close(self) -> None:
        """Wait for the transaction that was begun, and disconnect for good; idempotent."""
        self._is_closed = True
        async with self._turn:
            db, self._db = self._db, None
            if db is not None:
                with suppress(*FAILURES):
                    await db.close(timeout=CONNECT_SECONDS)

    async def _connected(self) -> Database:
        if self._is_closed:
            raise StoreError("the store is closed")
        if self._db is not None and not self._db.is_closed():
            return self._db
        if self._why and anyio.current_time() < self._rest_until:
            raise StoreError(self._why)  # to all who waited meanwhile, or each of them would wait as long once more
        await anyio.sleep(max(0.0, self._rest_until - anyio.current_time()))
        try:
            self._db = await self._listening(await connect(self._url, name=self._name))
        except BaseException as error:
            self._rest_until = anyio.current_time() + REST
            self._why = str(error) if isinstance(error, StoreError) else ""
            raise
        return self._db

    async def _listening(self, db: Database) -> Database:
        """Listen from now on; behind pgbouncer in transaction mode nothing is heard, or what is meant for others."""
        if (heard := self._heard) is not None:
            try:
                await db.execute("BEGIN")
                await db.add_listener(self._schema, lambda _db, _pid, _channel, word: heard(str(word)))
                await db.execute("COMMIT")
            except BaseException:
                db.terminate()
                raise
        return db

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.terminate()


async def _commit(db: Database) -> None:
    """Commit; of a transaction that failed PostgreSQL makes a ROLLBACK, without a word."""
    if await db.execute("COMMIT") != "COMMIT":
        raise StoreError("the transaction had failed, and was undone")


async def connect(url: str, *, name: str) -> Database:
    """Connect.

    Raises:
        StoreError: it could not be done; the text names the server, and neither user nor password.

    """
    try:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": name},
        )
    except ValueError:  # its text would repeat parts of the URL
        raise StoreError("PostgreSQL cannot be reached: watcher.state is no address that it understands") from None
    except FAILURES as error:
        raise StoreError(f"PostgreSQL at {place(url)} cannot be reached: {reason(error)}") from error


def place(url: str) -> str:
    """Name server and database of an address, and nothing that is a secret."""
    parts = urlsplit(url)
    if "@" in parts.path:  # a password with a slash in it, that was not encoded
        return "that address"
    host = parts.netloc.rpartition("@")[2] or parse_qs(parts.query).get("host", ["localhost"])[0]
    return f"{host}{parts.path}"


@asynccontextmanager
async def savepoint(db: Database) -> AsyncIterator[None]:
    """Undo what the block wrote if it raises."""
    await db.execute("SAVEPOINT block")
    try:
        yield
    except Exception as error:
        if not is_broken(db, error):
            await db.execute("ROLLBACK TO block; RELEASE block")
        raise
    await db.execute("RELEASE block")


def is_broken(db: Database, error: Exception) -> bool:
    """Is the connection of no use any more after an error: closed, or waiting for an answer that did not come?"""
    return db.is_closed() or isinstance(error, TimeoutError)


def translated(error: BaseException) -> StoreError:
    """Make PostgreSQL's error one of ours."""
    failure = StoreError(f"the store could not be written or read: {reason(error)}")
    failure.__cause__ = error
    return failure


def reason(error: BaseException) -> str:
    """Say in one line what is wrong; PostgreSQL's details are left out, because they quote what is stored."""
    if isinstance(error, asyncpg.DataError | ValueError):
        return "a value cannot be stored"
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error.args[0]) if error.args else type(error).__name__
