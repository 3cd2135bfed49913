"""One file that was dropped into a folder: whether it is finished, its requests, and where it goes in the end.

Everything here blocks, for a disk's time only: nothing is followed out of the folder, and nothing but files is opened.
"""

import errno
import os
import stat
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from fcntl import F_RDLCK, F_SETLEASE, F_SETSIG, F_UNLCK, fcntl
from pathlib import Path
from signal import SIGURG
from typing import TypeAlias

import orjson

from watcher.core.request import MOST_BYTES
from watcher.ports import Item
from watcher.sources.lines import CHUNK, MARK, MOST_ITEMS, Place, cut

DONE, REJECTED = "done", "rejected"
MOST_TOLD = 1000  # refusals that one `.error` names

# So many seconds must a file stay as it is until it is taken for finished:
CLOSED = 0.2  # nobody has it open for writing; but whoever adds line after line opens it for each
QUIET = 1.0  # the system does not tell whether somebody has
UNFINISHED = 3.0  # it does not tell, and the end is in the middle of a request; or nobody has, and it is empty
OPENED = 30.0  # somebody has, or so says a file system that does not know; or it does not tell, and it is empty

_CHANGED = {errno.ENOENT, errno.ELOOP, errno.ENXIO}  # what was a file is nothing by now, or a link, or a socket

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

Identity: TypeAlias = tuple[int, int, int, int]


class Dropped:
    """A file as it was when it was listed; one that has changed since is another one."""

    def __init__(self, path: Path, status: os.stat_result) -> None:
        """Take what `lstat` said of `path`."""
        self._path = path
        self._status = status
        self._refused: list[str] = []
        self._refusals = 0
        self.identity = _identity(status)
        # Its requests, at most 500 and a mebibyte of them at a time; none if it has changed.
        self.pieces = self._read()

    @property
    def age(self) -> tuple[int, str]:
        """Sorts the oldest first."""
        return self._status.st_mtime_ns, self._path.name

    @property
    def name(self) -> str:
        """Its name for people; on disk it may be any bytes."""
        return os.fsencode(self._path.name).decode("utf-8", "backslashreplace")

    def is_finished(self, *, quiet: float) -> bool:
        """Will nobody write on, as far as one can know of a file that has not changed for `quiet` seconds?"""
        if not stat.S_ISREG(self._status.st_mode) or quiet >= OPENED:
            return True
        try:
            file = _open(self._path)
        except PermissionError:
            return quiet >= QUIET
        except OSError:  # it is gone, or something else by now
            return False
        try:
            return quiet >= self._patience(file)
        finally:
            os.close(file)

    def _patience(self, file: int) -> float:
        is_empty = self._status.st_size == 0
        match _is_closed(file):
            case True:
                return UNFINISHED if is_empty else CLOSED
            case None if not is_empty:
                return QUIET if self._ends_well(file) else UNFINISHED
            case _:
                return OPENED

    def _ends_well(self, file: int) -> bool:
        """Does it end with a whole request?"""
        end = os.pread(file, MOST_BYTES, max(0, self._status.st_size - MOST_BYTES)).removeprefix(MARK)
        if self._is_lines:
            end = end.rpartition(b"\n")[2]
        with suppress(orjson.JSONDecodeError):
            orjson.loads(end)
            return True
        return not end.strip()

    @property
    def _is_lines(self) -> bool:
        return self._path.suffix == ".jsonl"

    # --- its requests -------------------------------------------------------------------------------------------

    def _read(self) -> Generator[list[Item], None, None]:
        kind = stat.S_IFMT(self._status.st_mode)
        if kind != stat.S_IFREG:
            yield [Item(b"", self.name, refused=f"expected a file, got {_KINDS.get(kind, 'something else')}")]
            return
        try:
            file = _open(self._path)
        except PermissionError as error:
            yield [Item(b"", self.name, refused=f"it cannot be read: {error.strerror}")]
            return
        except OSError as error:
            if error.errno in _CHANGED:
                return
            raise
        try:
            if _identity(os.fstat(file)) == self.identity:
                yield from self._lines(file) if self._is_lines else self._objects(file)
        finally:
            os.close(file)

    def _lines(self, file: int) -> Iterator[list[Item]]:
        place = Place()
        while data := os.pread(file, CHUNK, place.offset):
            items, place = cut(data, place, name=self.name, ended=len(data) < CHUNK)
            yield items

    def _objects(self, file: int) -> Iterator[list[Item]]:
        """One object, or a list of them. What is too long is cut a byte longer than allowed, which intake refuses."""
        raw = os.pread(file, len(MARK) + MOST_BYTES + 1, 0).removeprefix(MARK)[: MOST_BYTES + 1]
        parts = _parts(raw) if len(raw) <= MOST_BYTES else None
        if parts is None:
            yield [Item(raw, f"{self.name}:1")]
            return
        items = [Item(part, f"{self.name}[{number}]") for number, part in enumerate(parts)]
        for first in range(0, len(items), MOST_ITEMS):
            yield items[first : first + MOST_ITEMS]

    # --- its end ------------------------------------------------------------------------------------------------

    def refuse(self, where: str, *, reason: str) -> None:
        """Note a request of it that was refused."""
        self._refusals += 1
        if self._refusals <= MOST_TOLD:
            self._refused.append(f"{where}: {reason}")

    def put_away(self) -> None:
        """Move it to `done/`, or with what was refused beside it to `rejected/`; not if it has changed since.

        Raises:
            OSError: it could not be moved.

        """
        folder = self._path.parent / (REJECTED if self._refusals else DONE)
        try:
            if _identity(self._path.lstat()) != self.identity:
                return
        except FileNotFoundError:
            return
        target = _free(folder, self._path)
        error = target.with_name(f"{target.name}.error")
        try:
            if self._refusals:
                error.write_text(self._told, encoding="utf-8", errors="backslashreplace")
            self._path.rename(target)
        except OSError as trouble:
            error.unlink(missing_ok=True)
            raise OSError(f"{self._path}: could not be moved to {folder}: {trouble.strerror}") from trouble

    @property
    def _told(self) -> str:
        more = self._refusals - len(self._refused)
        rest = [f"… and {more} more: `watcher rejected` lists them all"] if more else []
        return "\n".join([*self._refused, *rest, ""])


def _parts(raw: bytes) -> list[bytes] | None:
    """Take a list apart; None if it is none."""
    try:
        value = orjson.loads(raw)
        return [orjson.dumps(part) for part in value] if isinstance(value, list) else None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None


def _identity(status: os.stat_result) -> Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)


def _is_closed(file: int) -> bool | None:
    """Has nobody it open for writing? A read lease is granted only then; None where the system gives us none.

    https://man7.org/linux/man-pages/man2/F_SETLEASE.2const.html
    """
    try:
        fcntl(file, F_SETSIG, SIGURG)  # whoever opens it meanwhile makes a signal: SIGIO, which ends a process, or this
        fcntl(file, F_SETLEASE, F_RDLCK)
        fcntl(file, F_SETLEASE, F_UNLCK)
    except BlockingIOError:
        return False
    except OSError:  # it is another user's, or its file system knows no leases
        return None
    return True


def _free(folder: Path, path: Path) -> Path:
    """Choose a name in `folder` that nothing has yet, and no `.error` either."""
    target = folder / path.name
    while os.path.lexists(target) or os.path.lexists(target.with_name(f"{target.name}.error")):
        target = folder / f"{path.stem}.{time.time_ns()}{path.suffix}"
    return target
