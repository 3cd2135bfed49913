"""Is there room for more watches? Sources wait, and callers are told to come again, while there is none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import anyio
import structlog
from anyio.to_thread import run_sync

LEAST_FREE = 100_000_000  # bytes of disk: below, what is known already must still fit
LOOK_EVERY = 1.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Room:
    """Bounds what is taken in: by the number of open watches, and by what is free on the store's disk if it is ours.

    `most` watches may be open, and a reload puts another number in; `lack` says what there is too little of.
    """

    def __init__(self, *, most: int, count: Callable[[], int], folder: Path | None) -> None:
        self.most = most
        self._count = count
        self._folder = folder
        self._taken = 0
        self._stopping = anyio.Event()
        self._freed = anyio.Event()
        self._freed.set()
        self.lack: str | None = None

    async def run(self) -> None:
        """Look every second until stopped."""
        while not self._stopping.is_set():
            self._note(await self._look())
            with anyio.move_on_after(LOOK_EVERY):
                await self._stopping.wait()

    @property
    def is_turning(self) -> bool:
        """A disk may be slow to answer; what is taken in waits, and nothing else."""
        return True

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    async def wait(self) -> None:
        """Wait until there is room."""
        await self._freed.wait()

    def take(self, number: int) -> None:
        """So many watches came since the last look; what is too many is waited for at once, and not a second later."""
        self._taken += number
        if self.lack is None and self._count() + self._taken >= self.most:
            self._note(self._full)

    @property
    def _full(self) -> str:
        return f"{self.most:,} watches are open, which is watcher.max_watches"

    async def _look(self) -> str | None:
        """Say what there is too little of."""
        self._taken = 0  # they are counted by now, or will be at the next look
        if self._count() >= self.most:
            return self._full
        if self._folder is None:
            return None
        try:
            free = (await run_sync(shutil.disk_usage, self._folder)).free
        except OSError as error:
            return f"{self._folder}: {error.strerror}"
        return f"less than {LEAST_FREE // 1_000_000} MB are free on the store's disk" if free < LEAST_FREE else None

    def _note(self, lack: str | None) -> None:
        """Let them wait, or go on; the log is told once."""
        if lack is not None and self.lack is None:
            self._freed = anyio.Event()
            log.warning("store.slow", reason=lack, result="sources wait")
        if lack is None and self.lack is not None:
            self._freed.set()
            log.info("store.slow", reason=None, result="sources go on")
        self.lack = lack
