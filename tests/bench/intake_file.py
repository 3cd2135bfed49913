"""Requests a second from a file and from a folder to durable, each against reading the same ones and nothing else."""

import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.world import store_of
from watcher.bell import Bell
from watcher.clock import SystemClock
from watcher.intake import Desk, Intake
from watcher.ports import Batch, Source
from watcher.providers.d7 import D7
from watcher.sources.directory import DirectorySource
from watcher.sources.file import FileSource

REQUESTS = 20_000
FILES = 2_000
REQUEST = b'{"id": "order-%d", "provider": "d7", "params": {"request_id": "9d056a09-0fc4-4f68-9058-%012d"}}\n'


class Finite:
    """`ports.Source`: another one, which ends when so many requests are acknowledged."""

    def __init__(self, source: Source, *, left: int) -> None:
        self._source = source
        self._left = left

    async def open(self, position: bytes | None) -> None:
        await self._source.open(position)

    async def receive(self) -> Batch | None:
        return await self._source.receive() if self._left else None

    async def acknowledge(self, batch: Batch, *, refused: Mapping[int, str]) -> None:
        await self._source.acknowledge(batch, refused=refused)
        self._left -= len(batch.items)

    async def give_back(self, batch: Batch) -> None:
        await self._source.give_back(batch)

    async def probe(self) -> None:
        await self._source.probe()

    async def close(self) -> None:
        await self._source.close()


def lines(folder: Path) -> Path:
    """Write one file of many requests."""
    path = folder / "watches.jsonl"
    path.write_bytes(b"".join(REQUEST % (number, number) for number in range(REQUESTS)))
    return path


def files(folder: Path) -> Path:
    """Write many files of one request."""
    spool = folder / "spool"
    spool.mkdir()
    for number in range(FILES):
        (spool / f"{number}.json").write_bytes(REQUEST % (number, number))
    return spool


async def bare_file(_url: str) -> float:
    """Return lines a second of a loop over a file."""
    with TemporaryDirectory() as folder:
        path = lines(Path(folder))
        began = time.monotonic()
        with path.open("rb") as file:
            read = sum(1 for line in file if line)
        return read / (time.monotonic() - began)


async def bare_directory(_url: str) -> float:
    """Return files a second of a loop that lists, reads and moves them."""
    with TemporaryDirectory() as folder:
        spool = files(Path(folder))
        began = time.monotonic()
        (spool / "done").mkdir()
        read = 0
        for path in spool.glob("*.json"):
            read += bool(path.read_bytes())
            path.rename(spool / "done" / path.name)
        return read / (time.monotonic() - began)


async def file(_url: str) -> float:
    """Return requests a second from a file to durable."""
    with TemporaryDirectory() as folder:
        return await _taken(FileSource(lines(Path(folder))), requests=REQUESTS)


async def directory(_url: str) -> float:
    """Return requests a second from a folder to durable; its files are moved."""
    with TemporaryDirectory() as folder:
        return await _taken(DirectorySource(files(Path(folder))), requests=FILES)


async def _taken(source: Source, *, requests: int) -> float:
    desk = Desk({"d7": D7.model_validate({"token": "a-token"})}, frozenset(), SystemClock())
    async with store_of(0) as store:
        began = time.monotonic()
        await Intake("inbox", Finite(source, left=requests), desk=desk, store=store, feed=Bell()).run()
        rate = requests / (time.monotonic() - began)
        assert len(await store.load(after=0, limit=requests + 1)) == requests
    return rate
