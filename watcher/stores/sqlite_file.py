"""The database file: making it, opening it, bringing its schema up to date. No row is read or written here."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

from watcher.core.errors import StoreError

BUSY_SECONDS = 10.0
FOREIGN = "it is the database of another program; name another file in watcher.state"
LARGEST_LOG = 64 * 1024 * 1024  # bytes that the write-ahead log keeps once all of it is in the file


def open_owned(path: Path) -> sqlite3.Connection:
    """Open the file to write; make it, for our eyes only, if it is missing, and migrate it.

    Raises:
        StoreError: it cannot be opened or made, or a newer version wrote it.

    """
    try:
        # O_EXCL, because closing a second descriptor of an open database would drop SQLite's POSIX locks on it.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreError(f"{path} cannot be made: {error.strerror}") from error
    return _connected(path, mode="rw", prepare=migrate)


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open an existing file to read; several may, beside an owner.

    Raises:
        StoreError: there is none, it cannot be opened, or another version wrote it.

    """
    if not path.exists():
        raise StoreError(f"{path} does not exist; `watcher run` or `watcher add` makes it")
    return _connected(path, mode="ro", prepare=_require_current)


def migrate(db: sqlite3.Connection) -> None:
    """Bring the schema up to date, each step in a transaction of its own.

    Raises:
        StoreError: a newer version wrote it.

    """
    known = migrations()
    if db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() and _version(db) == 0:  # not before
        raise StoreError(FOREIGN)
    if _version(db) > len(known):
        raise StoreError(f"a newer watcher wrote it (schema {_version(db)}, this one knows {len(known)})")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first page is written, so before WAL
    db.execute("PRAGMA journal_mode = WAL")
    for number, script in enumerate(known, start=1):
        if _version(db) < number:
            db.execute("BEGIN IMMEDIATE")
            with db:
                if _version(db) < number:  # nobody else was faster
                    for statement in statements(script):
                        db.execute(statement)


def migrations() -> list[str]:
    """Return the numbered scripts in order; each ends by setting `user_version` to its number."""
    folder = files("watcher.stores") / "schema" / "sqlite"
    return [script.read_text() for script in sorted(folder.iterdir(), key=lambda script: script.name)]


def statements(script: str) -> Iterator[str]:
    """Split a script: `executescript` would end the transaction that it is in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _connected(path: Path, *, mode: str, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        with ExitStack() as undo:
            undo.callback(db.close)
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA temp_store = MEMORY")  # the journals of savepoints
            db.execute(f"PRAGMA journal_size_limit = {LARGEST_LOG}")
            prepare(db)
            undo.pop_all()
    except (sqlite3.Error, StoreError) as error:
        raise StoreError(f"{path} cannot be opened: {error}{by_whom(path)}") from error
    return db


def by_whom(path: Path) -> str:
    """Say who can, where we may not write: also who only reads needs to write beside the file."""
    if all(os.access(place, os.W_OK) for place in (path, path.parent)):
        return ""
    try:
        return f"; it belongs to {path.owner()}: try it as that user"
    except (KeyError, OSError):  # a user without a name, or no file
        return ""


def _require_current(db: sqlite3.Connection) -> None:
    if _version(db) == 0:
        raise StoreError(FOREIGN)
    if _version(db) != len(migrations()):
        raise StoreError(f"another watcher wrote it (schema {_version(db)}, this one reads {len(migrations())})")


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version
