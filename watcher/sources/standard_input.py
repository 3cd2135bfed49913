"""JSON Lines from standard input: `path = "-"`. It has no position: what was piped in can't be read again."""

import os
import select
import sys
from collections.abc import Mapping

from anyio.to_thread import run_sync

from watcher.ports import Batch
from watcher.sources.lines import CHUNK, Place, cut

STDIN = 0
PATIENCE = 0.25  # seconds until a waiting read looks whether it was cancelled


class StandardInput:
    """Reads until the end of the input; `ports.Source`."""

    def __init__(self, file: int = STDIN) -> None:
        """Read from a file descriptor, which stays open."""
        self._file = file
        self._unread = b""
        self._place = Place()
        self._has_ended = False
        self._returned: Batch | None = None

    async def open(self, position: bytes | None) -> None:  # noqa: ARG002  # it has none
        """Start, or go on, where the input is."""
        if self._file == STDIN and sys.stdin is None:  # by now the number may be another file's
            raise OSError("standard input is closed")

    async def receive(self) -> Batch | None:
        """Wait for the next lines; None after the last one."""
        if self._returned is not None:
            batch, self._returned = self._returned, None
            return batch
        while True:
            items, place = cut(self._unread, self._place, name="-", ended=self._has_ended)
            self._unread = self._unread[place.offset - self._place.offset :]
            self._place = place
            if items:
                return Batch(tuple(items))
            if self._has_ended:
                return None
            await run_sync(self._read)

    async def acknowledge(self, batch: Batch, *, refused: Mapping[int, str]) -> None:
        """Nothing to let go of."""

    async def give_back(self, batch: Batch) -> None:
        """Keep a batch for the next `receive`: what was piped in can't be read again."""
        self._returned = batch

    async def probe(self) -> None:
        """Nothing to find out: each process has its own."""

    async def close(self) -> None:
        """Nothing to close: the descriptor is not ours."""

    def _read(self) -> None:
        """Read what is there, or nothing within `PATIENCE`; a thread that waited longer could not be stopped."""
        if select.select([self._file], [], [], PATIENCE)[0]:
            more = os.read(self._file, CHUNK)
            self._unread += more
            self._has_ended = not more
