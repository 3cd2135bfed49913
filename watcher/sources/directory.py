"""A folder into which files with requests are dropped (SPEC.md, section 3).

What a file holds is stored first, then the file is moved; after a crash between the two it is read again, which changes
nothing. The system tells of changes where it can; a look each second behind that finds what it does not tell.
"""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from stat import S_IMODE, S_ISDIR
from typing import Annotated, Literal

import anyio
from anyio.to_thread import run_sync
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo

from watcher.ports import Batch, Item, Source
from watcher.sources.changes import PATIENCE, Changes
from watcher.sources.dropped import DONE, REJECTED, Dropped, Identity
from watcher.sources.lines import CHUNK, MOST_ITEMS

LOOK_EVERY = 1.0
MOST_FILES = 10_000  # listed at a time
RETRY_EVERY = 30.0  # a file that could not be moved


def _located(written: Path, info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("folder", ""), written)


class DirectorySection(BaseModel):
    """One `[sources.<name>]` section of `type = "directory"`; `path` is absolute."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["directory"]
    path: Annotated[Path, AfterValidator(_located)]

    def source(self) -> Source:
        """Return the source that the section describes; nothing is opened yet."""
        return DirectorySource(self.path)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Whose each item of a batch is, and the files that have no more."""

    owners: Sequence[Dropped]
    ended: Sequence[Dropped]


class DirectorySource:
    """Reads what is there, oldest first, then what comes; `ports.Source`."""

    def __init__(self, path: Path) -> None:
        """Take files from `path`."""
        self._path = path
        self._changes = Changes(path)
        self._queue: deque[Dropped] = deque()
        self._unfinished: dict[Identity, float] = {}  # since when they have not changed
        self._stuck: dict[Identity, Dropped] = {}  # read and stored, but not moved
        self._retry_at = 0.0

    async def open(self, position: bytes | None) -> None:  # noqa: ARG002  # the folder itself says what was not read
        """Start with what is in the folder."""
        await self.close()
        await run_sync(self._prepare)

    async def receive(self) -> Batch | None:
        """Wait for the next requests; there is always more to come."""
        # Not abandoned when cancelled, and nothing is awaited between a look and its return: no request is lost.
        while (batch := await run_sync(self._look, anyio.current_time())) is None:
            with anyio.move_on_after(PATIENCE if self._unfinished else LOOK_EVERY):
                while not await run_sync(self._changes.wait):
                    pass
        return batch

    async def acknowledge(self, batch: Batch, *, refused: Mapping[int, str]) -> None:
        """Move the files that have no more to `done/` or `rejected/`."""
        if isinstance(batch.receipt, Receipt):
            for place, reason in refused.items():
                batch.receipt.owners[place].refuse(batch.items[place].where, reason=reason)
            await run_sync(self._put_away, batch.receipt.ended)

    async def give_back(self, batch: Batch) -> None:
        """Nothing to give back: its files are still in the folder when it is opened again."""

    async def probe(self) -> None:
        """Find out whether files could be listed and moved."""
        await run_sync(self._check)

    async def close(self) -> None:
        """Let go of the file at hand and of the folder; `open` starts again."""
        await run_sync(self._forget)

    def _forget(self) -> None:
        for dropped in self._queue:
            dropped.pieces.close()
        self._queue.clear()
        self._changes.close()

    def _prepare(self) -> None:
        """Make sure that files can be moved, before any is read."""
        mode = self._status().st_mode
        for room in (self._path / DONE, self._path / REJECTED):
            with suppress(FileExistsError):
                room.mkdir(mode=0o700)
                room.chmod((S_IMODE(mode) & 0o2770) | 0o700)
        self._check()

    def _check(self) -> None:
        """Make sure that files can be moved, as far as the folders are there."""
        device = self._status().st_dev
        _check_access(self._path)
        for room in (self._path / DONE, self._path / REJECTED):
            with suppress(FileNotFoundError):
                status = room.lstat()
                if not S_ISDIR(status.st_mode) or status.st_dev != device:
                    raise OSError(f"{room}: expected a folder on the file system of {self._path}")
                _check_access(room)

    def _status(self) -> os.stat_result:
        try:
            return self._path.stat()
        except FileNotFoundError:
            raise OSError(f"{self._path}: the folder does not exist") from None

    # --- looking ------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> Batch | None:
        """Look once: the next requests of finished files, or None."""
        if not self._queue:
            self._queue.extend(self._list(now))
        items: list[Item] = []
        owners: list[Dropped] = []
        ended: list[Dropped] = []
        size = 0
        while self._queue and len(items) < MOST_ITEMS and size < CHUNK:
            piece = next(self._queue[0].pieces, None)
            if piece is None:
                ended.append(self._queue.popleft())
            else:
                items += piece
                owners += [self._queue[0]] * len(piece)
                size += sum(len(item.raw) for item in piece)
        if items:
            return Batch(tuple(items), receipt=Receipt(owners, ended))
        self._put_away(ended)
        return None

    def _list(self, now: float) -> list[Dropped]:
        """List the oldest files that are finished, and remember since when the others are as they are."""
        self._retry(now)
        finished: list[Dropped] = []
        unfinished: dict[Identity, float] = {}
        for dropped in nsmallest(MOST_FILES, self._found(), key=lambda one: one.age):
            since = self._unfinished.get(dropped.identity, now)
            if dropped.is_finished(quiet=now - since):
                finished.append(dropped)
            else:
                unfinished[dropped.identity] = since
        self._unfinished = unfinished
        return finished

    def _found(self) -> Iterator[Dropped]:
        with os.scandir(self._path) as entries:
            for entry in entries:
                if not entry.name.endswith((".json", ".jsonl")) or entry.name.startswith("."):
                    continue
                with suppress(FileNotFoundError):
                    dropped = Dropped(self._path / entry.name, entry.stat(follow_symlinks=False))
                    if dropped.identity not in self._stuck:
                        yield dropped

    # --- moving -------------------------------------------------------------------------------------------------

    def _put_away(self, ended: Sequence[Dropped]) -> None:
        """Move files; one that cannot be moved holds up no other, and is not read again."""
        if ended:
            self._prepare()
        troubles: list[OSError] = []
        for dropped in ended:
            try:
                dropped.put_away()
            except OSError as error:
                self._stuck[dropped.identity] = dropped
                troubles.append(error)
        if troubles:
            raise troubles[0]

    def _retry(self, now: float) -> None:
        """Move what could not be moved before; that was told, and is not told again."""
        if now < self._retry_at:
            return
        self._retry_at = now + RETRY_EVERY
        for identity, dropped in list(self._stuck.items()):
            with suppress(OSError):
                dropped.put_away()
                del self._stuck[identity]


def _check_access(folder: Path) -> None:
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise OSError(f"{folder}: no permission to list it and to move files")
