"""A JSON Lines file, followed live (SPEC.md, section 3).

It is looked at four times a second: that keeps the promise of a second on every file system, also on those (NFS, bind
mounts) that tell nobody about changes, and costs a `stat` for the path and for each open file. To be told, one would
have to watch its folder, and be woken by each write to a store that lies beside it. Looking happens in a thread: disks
can hang.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from math import inf
from pathlib import Path
from stat import S_ISREG
from typing import Literal

import anyio
import orjson
from anyio.to_thread import run_sync
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from watcher.ports import Batch, Item, Source
from watcher.sources.followed import QUIET, Bookmark, Followed
from watcher.sources.lines import MOST_ITEMS, Place
from watcher.sources.standard_input import StandardInput

INTERVAL = 0.25
PATIENCE = 60.0  # a file that was renamed is read on until nothing came for so long
MOST_RENAMED = 4  # and at most so many at once

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


class FileSource:
    """Reads the lines that are there, then those that come; `ports.Source`.

    A file that was renamed is read on: its writers may not know yet, or have lines left that they wrote before. The
    position names it too, so that a restart changes nothing.
    """

    def __init__(self, path: Path) -> None:
        """Follow `path`, which need not exist yet."""
        self._path = path
        self._files: list[Followed] = []  # oldest first: the last one is, or was last, at the path
        self._turned_at = -inf  # when a new one was found there

    async def open(self, position: bytes | None) -> None:
        """Go on behind `position`, in the files that it was made in: they may have been renamed while we were away."""
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
        """Close the files; `open` starts again."""
        self._forget()

    def _forget(self) -> None:
        while self._files:
            self._files.pop().close()

    # --- looking ------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> Batch | None:
        """Look once: the next lines, an empty batch where only a place has changed, None if nothing is new."""
        # Asked before reading: what was written before the rename is seen by the read after it.
        self._turn_to_path(now)
        before = self._places
        items: list[Item] = []
        for number, followed in enumerate(self._files, 1):
            patience = _patience(followed, self._files[number:])
            items += followed.take(now=now, most=MOST_ITEMS - len(items), patience=patience)
            # Unless that takes long, the last line of a file comes before the first one of the next.
            if followed.is_behind or (followed.has_half and now - self._turned_at < QUIET):
                break
        is_new = bool(items) or self._places != before
        self._let_go()
        return Batch(tuple(items), self._position()) if is_new else None

    @property
    def _places(self) -> list[Place]:
        return [followed.place for followed in self._files]

    def _turn_to_path(self, now: float) -> None:
        """Have the file that the path leads to by now come last; where that is none, all stays as it was."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return
        newest = next((followed for followed in self._files if followed.is_same(status)), None)
        if newest is None and len(self._files) <= MOST_RENAMED + 1:
            newest, self._turned_at = _open(self._path, name=self._path.name), now
        if newest is not None:
            self._files = [followed for followed in self._files if followed is not newest] + [newest]

    def _let_go(self) -> None:
        for followed in [followed for followed in self._files if followed.is_over]:
            self._files.remove(followed)
            followed.close()

    # --- the position -------------------------------------------------------------------------------------------

    def _position(self) -> bytes | None:
        """Return the place in the newest file, with those in the files before it; of empty ones nobody needs any."""
        places = [followed.bookmark for followed in self._files if not followed.is_empty]
        return orjson.dumps(replace(places[-1], renamed=tuple(places[:-1]))) if places else None

    def _resume(self, bookmark: Bookmark | None) -> None:
        """Go on at the bookmark; of an open file that it does not name, nothing was stored."""
        found: list[Followed | None] = []
        if bookmark is not None:
            for renamed in bookmark.renamed:
                with suppress(PermissionError):  # nobody should have to make an old file readable
                    found.append(self._find(renamed))
            found.append(self._find(bookmark))
        others = [followed for followed in self._files if followed not in found]
        for followed in others:
            followed.go_back()
        self._files = [followed for followed in found if followed is not None] + others

    def _find(self, bookmark: Bookmark) -> Followed | None:
        """Find the file of a bookmark: open, at the path, or as a log rotation left it; and open it."""
        for followed in self._files:
            if followed.resume(bookmark):
                return followed
        for path in (self._path, *_paths(self._path.parent, inode=bookmark.inode)):
            candidate = _open(path, name=self._path.name)
            if candidate is None:
                continue
            with ExitStack() as undo:
                undo.callback(candidate.close)
                if candidate.resume(bookmark):
                    undo.pop_all()
                    self._files.append(candidate)
                    return candidate
        return None


def _patience(followed: Followed, younger: Sequence[Followed]) -> float:
    """Say how long to wait for more of a file that these came after; while they are empty, for ever, if it is there."""
    if len(younger) > MOST_RENAMED:
        return 0
    is_last = all(later.is_empty for later in younger)
    return inf if is_last and not followed.is_deleted else PATIENCE


def _open(path: Path, *, name: str) -> Followed | None:
    """Open a file, if it is there."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if not S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{path}: expected a regular file")
    return Followed(file, name=name)


def _try(path: Path) -> None:
    """Find out whether a file that is there can be read."""
    followed = _open(path, name=path.name)
    if followed is not None:
        followed.close()


def _paths(folder: Path, *, inode: int) -> list[Path]:
    """Find a file by its inode, as a log rotation left it under another name."""
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.inode() == inode and entry.is_file()]
    except FileNotFoundError:
        return []
