"""A file of requests that a test writes and looks at, as a source's loop does, on a clock of its own."""

import asyncio
from pathlib import Path

from watcher.ports import Item
from watcher.sources.file import FileSource

A, B, C = b'{"id":"a"}', b'{"id":"b"}', b'{"id":"c"}'


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def items(*lines: tuple[int, bytes], name: str = "watches.jsonl") -> list[Item]:
    return [Item(raw, f"{name}:{number}") for number, raw in lines]


class Watching:
    """Looks at a source as its loop does, on a clock of its own."""

    def __init__(self, source: FileSource) -> None:
        self.source = source
        self.now = 0.0
        self.position: bytes | None = None

    def look(self) -> list[Item]:
        """Look until there is nothing new at this moment."""
        found: list[Item] = []
        while (batch := self.source._look(self.now)) is not None:
            found += batch.items
            self.position = batch.position or self.position
        return found

    def go_back(self, position: bytes | None) -> None:
        """Open the source where it was stored, as after a batch that could not be."""
        asyncio.run(self.source.open(position))
        self.position = position

    def wait(self, seconds: float) -> list[Item]:
        """Look four times a second for a while."""
        found = []
        for _ in range(int(seconds * 4)):
            self.now += 0.25
            found += self.look()
        return found


def restarted(path: Path, position: bytes | None) -> Watching:
    watching = Watching(FileSource(path))
    watching.go_back(position)
    return watching
