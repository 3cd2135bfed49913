"""A folder for requests, and whoever looks at it on a clock of its own and says what was refused."""

import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from anyio.to_thread import run_sync

from watcher.ports import Batch, Item
from watcher.sources.directory import DirectorySource

A, B, C = b'{"id":"a"}', b'{"id":"b"}', b'{"id":"c"}'


class Looking:
    """Looks at a folder as intake does; `refusals` says by its bytes why a request is refused."""

    def __init__(self, folder: Path, *, refusals: Mapping[bytes, str] | None = None) -> None:
        self.folder = folder
        self.refusals = refusals or {}
        self.source = DirectorySource(folder)
        self.now = 0.0

    async def open(self) -> "Looking":
        await self.source.open(None)
        return self

    async def look(self, *, later: float = 0.0) -> list[Item]:
        """Take what there is `later` seconds later, and acknowledge it."""
        self.now += later
        return [item async for batch in self.batches() for item in batch.items]

    async def batch(self) -> Batch | None:
        """Look once."""
        return await run_sync(self.source._look, self.now)

    async def batches(self) -> AsyncIterator[Batch]:
        """Take batch after batch, and acknowledge each when the next is asked for."""
        while (batch := await self.batch()) is not None:
            yield batch
            reasons = {n: item.refused or self.refusals.get(item.raw) for n, item in enumerate(batch.items)}
            await self.source.acknowledge(batch, refused={n: reason for n, reason in reasons.items() if reason})

    def tree(self) -> dict[str, bytes | None]:
        """Return each file below the folder with its content; None for what is no file."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
            for path in sorted(self.folder.rglob("*"))
            if path not in {self.folder / "done", self.folder / "rejected"}
        }


def place(folder: Path, name: str, content: bytes, *, written_at: float = 0) -> Path:
    """Write a file as if long ago."""
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (written_at, written_at))
    return path
