"""A JSON Lines file, followed live (SPEC.md, section 3).

It is looked at four times a second: that keeps the promise of a second on every file system, also on those (NFS, bind
mounts) that tell nobody about changes, and costs two `stat`s a look. To be told, one would have to watch its folder,
and be woken by each write to a store that lies beside it. Looking happens in a thread: disks can hang.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Literal

import anyio
import orjson
from anyio.to_thread import run_sync
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, ValidationInfo, field_validator

from watcher.ports import Batch, Source
from watcher.sources.lines import CHUNK, Place, cut
from watcher.sources.standard_input import StandardInput

INTERVAL = 0.25
QUIET = 1.0  # so long must a last line without newline stay as it is
LINGER = 0.5  # so long a writer may go on with a file that was renamed
HEAD = 1024  # bytes by which a file is known again

STANDARD_INPUT = Path("-")


class FileSection(BaseModel):
    """One `[sources.<name>]` section of `type = "file"`; `path` is absolute, or `-` for standard input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["file"]
    path: Path

    @field_validator("path")
    @classmethod
    def _located(cls, written: Path, info: ValidationInfo) -> Path:
        return written if written == STANDARD_INPUT else Path((info.context or {}).get("folder", ""), written)

    def source(self) -> Source:
        """Return the source that the section describes; nothing is opened yet."""
        return StandardInput() if self.path == STANDARD_INPUT else FileSource(self.path)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """The stored position: the file, known by inode and the fingerprint of what was read first, and the place in it.

    No device: its number is another one after a reboot.
    """

    inode: int
    head: str
    offset: int
    line: int
    skipping: bool

    @classmethod
    def read(cls, position: bytes | None) -> "Bookmark | None":
        """Read a stored position; None, which is the start, if it is not one of ours."""
        try:
            return TypeAdapter(cls).validate_json(position or b"")
        except ValidationError:
            return None

    def fits(self, file: int) -> bool:
        """Is this open file the one, and as far as it was read still the same?"""
        status = os.fstat(file)
        return (status.st_ino, _head(file, self.offset)) == (self.inode, self.head) and status.st_size >= self.offset


class FileSource:
    """Reads the lines that are there, then those that come; `ports.Source`."""

    def __init__(self, path: Path) -> None:
        """Follow `path`, which need not exist yet."""
        self._path = path
        self._file: int | None = None
        self._place = Place()
        self._head = _fingerprint(b"")
        self._end: object = None  # where the file ended when last looked at, and whether it had been replaced
        self._end_since = 0.0
        self._written_at = 0

    async def open(self, position: bytes | None) -> None:
        """Go on behind `position`, in the file that it was made in: it may have been renamed while we were away."""
        await run_sync(_try, self._path)
        await run_sync(self._resume, Bookmark.read(position))

    async def receive(self) -> Batch | None:
        """Wait for the next lines; there is always more to come."""
        while True:
            # Not abandoned when cancelled, and nothing is awaited between a look and its return: no line is lost.
            batch = await run_sync(self._look, anyio.current_time())
            if batch is None:
                await anyio.sleep(INTERVAL)
            elif batch.items:
                return batch

    async def acknowledge(self, batch: Batch, *, refused: Mapping[int, str]) -> None:
        """Nothing to let go of: the store has the position."""

    async def give_back(self, batch: Batch) -> None:
        """Nothing to give back: `open` goes to the stored position."""

    async def probe(self) -> None:
        """Find out whether the file, if it is there, can be read."""
        await run_sync(_try, self._path)

    async def close(self) -> None:
        """Close the file; `open` starts again."""
        self._forget()

    def _forget(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None
        self._place, self._head, self._end = Place(), _fingerprint(b""), None

    def _look(self, now: float) -> Batch | None:
        """Look once: the next lines, an empty batch where only the place has changed, None if nothing is new."""
        if self._file is None:
            self._file = _open(self._path)
            if self._file is None:
                return None
        # Asked before reading: what was written before the rename is seen by the read after it.
        is_replaced = self._is_replaced(self._file)
        data = self._unread(self._file)
        items, place = cut(data, self._place, name=self._path.name)
        if place == self._place and self._is_settled(data, is_replaced=is_replaced, now=now):
            if is_replaced and not data:
                self._forget()
                return Batch(())
            if is_replaced or _is_object(data):
                items, place = cut(data, self._place, name=self._path.name, ended=True)
        if place == self._place:
            return None
        self._place, self._head = place, _head(self._file, place.offset)
        return Batch(tuple(items), self._position(self._file))

    def _resume(self, bookmark: Bookmark | None) -> None:
        self._forget()
        if bookmark is None:
            return
        for path in (self._path, *_files(self._path.parent, inode=bookmark.inode)):
            file = _open(path)
            if file is not None and bookmark.fits(file):
                self._file, self._head = file, bookmark.head
                self._place = Place(bookmark.offset, bookmark.line, bookmark.skipping)
                return
            if file is not None:
                os.close(file)

    def _position(self, file: int) -> bytes:
        place = self._place
        return orjson.dumps(Bookmark(os.fstat(file).st_ino, self._head, place.offset, place.line, place.skipping))

    def _is_replaced(self, file: int) -> bool:
        """Does the path lead to another file? Where it leads nowhere, the old one may still be written to."""
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(file))
        except FileNotFoundError:
            return False

    def _unread(self, file: int) -> bytes:
        """Read behind the place; from the start if what stood before it is gone: truncated, or written anew."""
        stat = os.fstat(file)
        if (stat.st_size, stat.st_mtime_ns) == (self._place.offset, self._written_at):
            return b""
        self._written_at = stat.st_mtime_ns
        if stat.st_size < self._place.offset or _head(file, self._place.offset) != self._head:
            self._place, self._head = Place(), _fingerprint(b"")
        return os.pread(file, CHUNK, self._place.offset)

    def _is_settled(self, data: bytes, *, is_replaced: bool, now: float) -> bool:
        """Has nothing happened to the end of the file for a while?"""
        end = (self._place, len(data), is_replaced)
        if end != self._end:
            self._end, self._end_since = end, now
        return now - self._end_since >= (QUIET if data else LINGER)


def _open(path: Path) -> int | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if not S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{path}: expected a regular file")
    return file


def _try(path: Path) -> None:
    """Find out whether a file that is there can be read."""
    file = _open(path)
    if file is not None:
        os.close(file)


def _files(folder: Path, *, inode: int) -> list[Path]:
    """Find a file by its inode, as a log rotation left it under another name."""
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.inode() == inode and entry.is_file()]
    except FileNotFoundError:
        return []


def _head(file: int, offset: int) -> str:
    """Return the fingerprint of what was read, or of its first KiB."""
    return _fingerprint(os.pread(file, min(offset, HEAD), 0))


def _fingerprint(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()[:16]


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(orjson.loads(data), dict)
    except orjson.JSONDecodeError:
        return False
