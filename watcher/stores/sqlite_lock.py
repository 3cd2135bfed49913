"""Who owns the database: a lock of the operating system on a file beside it, free the moment its process dies."""

import fcntl
import os
import time
from pathlib import Path

from watcher.core.errors import StoreBusyError, StoreError
from watcher.stores.sqlite_file import by_whom

TRIES = 10
BETWEEN_TRIES = 0.02


class OwnerLock:
    """`<database>.lock`; it holds the owner's process id, for people. Never removed: a second owner could slip in."""

    def __init__(self, database: Path) -> None:
        """Name the lock; it is not taken yet."""
        self._database = database
        self._path = database.with_name(f"{database.name}.lock")
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock, or keep it.

        Raises:
            StoreBusyError: another owner has it.
            StoreError: the file cannot be made.

        """
        if self._descriptor is not None:
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be opened: {error}") from error
        try:
            self._wait(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the lock; without it, nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _wait(self, descriptor: int) -> None:
        """Try for a moment: `owner` holds the lock for microseconds."""
        for left in reversed(range(TRIES)):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not left:
                    raise StoreBusyError(f"{self._database} is in use by {_written(descriptor)}") from None
                time.sleep(BETWEEN_TRIES)
            else:
                return


def owner_process(database: Path) -> int | None:
    """Return the process id of the owner, None if there is none; as `owner`."""
    number = (owner(database) or "").removeprefix("process ")
    return int(number) if number.isdecimal() else None


def owner(database: Path) -> str | None:
    """Say who owns the database now, None if nobody does.

    Raises:
        StoreError: we may not know.

    """
    path = database.with_name(f"{database.name}.lock")
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}{by_whom(path)}") from error
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _written(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _written(descriptor: int) -> str:
    return f"process {os.pread(descriptor, 20, 0).decode(errors='replace').strip()}"
