"""One open file that is followed: how far it was read, what is new, and whether more can be expected.

Here it is known by what is in it alone; which file a path leads to by now is not known here.
"""

import hashlib
import os
from dataclasses import dataclass

import orjson
from pydantic import TypeAdapter, ValidationError

from watcher.ports import Item
from watcher.sources.lines import CHUNK, Place, cut

QUIET = 1.0  # so long must a last line without newline stay as it is
HEAD = 1024  # bytes by which a file is known again


@dataclass(frozen=True, slots=True)
class Bookmark:
    """The stored position: the file, known by inode and the fingerprint of what was read first, and the place in it.

    No device: its number is another one after a reboot. `renamed`: those before it that are read on, oldest first. Of
    one of which nothing was read yet the fingerprint is of so many bytes as it `begins` with.
    """

    inode: int
    head: str
    offset: int
    line: int
    skipping: bool
    renamed: tuple["Bookmark", ...] = ()
    begins: int = 0

    @classmethod
    def read(cls, position: bytes | None) -> "Bookmark | None":
        """Read a stored position; None, which is the start, if it is not one of ours."""
        try:
            return TypeAdapter(cls).validate_json(position or b"")
        except ValidationError:
            return None


class Followed:
    """An open file and the place in it. `is_behind`, `has_half` and `is_over` are as `take` found it."""

    def __init__(self, file: int, *, name: str) -> None:
        """Start at the beginning of `file`, which is closed with this; `name` is what people call it."""
        self._file = file
        self._status = os.fstat(file)
        self._name = name
        self._head = _fingerprint(b"")
        self._written_at = 0
        self._end: object = None  # what it looked like at its end, and since when
        self._end_since = 0.0
        self.place = Place()
        self.is_behind = False  # there is more to read
        self.has_half = False  # its last line is not whole
        self.is_over = False  # all was read, and for long enough nothing came

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def is_same(self, status: os.stat_result) -> bool:
        """Is it the file that this is the status of?"""
        return os.path.samestat(self._status, status)

    @property
    def is_empty(self) -> bool:
        """Was nothing written to it yet, or all of it cut off?"""
        return os.fstat(self._file).st_size == 0

    @property
    def is_deleted(self) -> bool:
        """Does it have no name any more?"""
        return os.fstat(self._file).st_nlink == 0

    @property
    def bookmark(self) -> Bookmark:
        """The place, to be found again after a restart."""
        place = self.place
        begins = 0 if place.offset else min(os.fstat(self._file).st_size, HEAD)
        head = _head(self._file, begins) if begins else self._head
        return Bookmark(self._status.st_ino, head, place.offset, place.line, place.skipping, begins=begins)

    def resume(self, bookmark: Bookmark) -> bool:
        """Go on at the bookmark, if it was made in this file and that is still the same as far as it was read."""
        known = bookmark.offset or bookmark.begins
        if self._status.st_ino != bookmark.inode or not self._begins(bookmark.head, offset=known):
            return False
        self._head = bookmark.head if bookmark.offset else _fingerprint(b"")
        self.place = Place(bookmark.offset, bookmark.line, bookmark.skipping)
        return True

    def go_back(self) -> None:
        """Start at the beginning again."""
        self.place, self._head = Place(), _fingerprint(b"")

    def take(self, *, now: float, most: int, patience: float) -> list[Item]:
        """Take the next requests.

        So long `patience` lasts, more is expected of a file that was replaced; of one that was not, always (`inf`).
        Until then a last line without newline counts only if it is an object.
        """
        data = self._unread()
        quiet = self._quiet((len(data), patience), now=now)
        before = self.place
        items, self.place = cut(data, before, name=self._name, most=most)
        if data and self.place == before and (quiet >= patience or (quiet >= QUIET and _is_object(data))):
            items, self.place = cut(data, before, name=self._name, ended=True)
        if self.place != before:
            self._head = _head(self._file, self.place.offset)
        self.has_half = self.place.offset < before.offset + len(data)
        self.is_behind = len(data) == CHUNK or len(items) == most
        self.is_over = not data and quiet >= patience
        return items

    def _unread(self) -> bytes:
        """Read behind the place; from the start if what stood before it is gone: truncated, or written anew."""
        status = os.fstat(self._file)
        if (status.st_size, status.st_mtime_ns) == (self.place.offset, self._written_at):
            return b""
        self._written_at = status.st_mtime_ns
        if not self._begins(self._head, offset=self.place.offset):
            self.go_back()
        return os.pread(self._file, CHUNK, self.place.offset)

    def _begins(self, head: str, *, offset: int) -> bool:
        """Is what was read still there?"""
        return os.fstat(self._file).st_size >= offset and _head(self._file, offset) == head

    def _quiet(self, end: tuple[int, float], *, now: float) -> float:
        """Return for how long nothing has happened to its end, nor to what is expected of it."""
        if (self.place, end) != self._end:
            self._end, self._end_since = (self.place, end), now
        return now - self._end_since


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
