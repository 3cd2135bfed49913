"""What every source promises (`ports.Source`)."""

# ruff: noqa: ASYNC240  # a test writes a few bytes to see what the source makes of them

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from following import A, B, append, items

from watcher.ports import Source
from watcher.sources.file import FileSection, FileSource
from watcher.sources.standard_input import StandardInput


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watches.jsonl"


@pytest.fixture
def source(path: Path) -> Iterator[FileSource]:
    source = FileSource(path)
    yield source
    source._forget()


async def test_a_source_brings_its_requests_in_order_with_their_places(source: FileSource, path: Path) -> None:
    path.write_bytes(A + b"\n" + B + b"\n")
    port: Source = source
    await port.open(None)
    batch = await port.receive()
    assert batch is not None
    assert list(batch.items) == items((1, A), (2, B))
    await port.acknowledge(batch, refused={})


async def test_a_source_waits_for_what_comes_and_cancelling_loses_nothing(source: FileSource, path: Path) -> None:
    await source.open(None)
    waiting = asyncio.create_task(source.receive())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    waiting = asyncio.create_task(source.receive())
    await asyncio.sleep(0)
    path.write_bytes(A + b"\n")
    batch = await waiting
    assert batch is not None
    assert list(batch.items) == items((1, A))


async def test_a_source_goes_on_behind_the_position_that_was_stored_last(source: FileSource, path: Path) -> None:
    path.write_bytes(A + b"\n")
    await source.open(None)
    first = await source.receive()
    assert first is not None
    append(path, B + b"\n")
    again = FileSource(path)
    await again.open(first.position)
    batch = await again.receive()
    again._forget()
    assert batch is not None
    assert list(batch.items) == items((2, B))


async def test_what_was_not_stored_comes_again(source: FileSource, path: Path) -> None:
    path.write_bytes(A + b"\n")
    for _ in range(2):
        await source.open(None)
        batch = await source.receive()
        assert batch is not None
        assert list(batch.items) == items((1, A))


def test_a_section_is_the_source_that_it_describes(path: Path) -> None:
    assert isinstance(FileSection(type="file", path=path).source(), FileSource)
    assert isinstance(FileSection(type="file", path=Path("-")).source(), StandardInput)
