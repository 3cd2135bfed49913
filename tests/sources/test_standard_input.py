"""What standard input promises: each of its lines once, to its end, and no other file in its place."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from following import A, B, items

from watcher.ports import Batch, Source
from watcher.sources.standard_input import StandardInput


async def test_standard_input_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    source: Source = StandardInput(reading)
    await source.open(None)
    os.write(writing, A + b"\n\n" + B[:3])
    assert await source.receive() == Batch(tuple(items((1, A), name="-")))
    os.write(writing, B[3:])
    os.close(writing)
    batch = await source.receive()
    assert batch == Batch(tuple(items((3, B), name="-")))
    await source.acknowledge(batch, refused={})
    assert await source.receive() is None
    os.close(reading)


async def test_what_came_from_standard_input_and_could_not_be_stored_comes_again() -> None:
    reading, writing = os.pipe()
    source: Source = StandardInput(reading)
    os.write(writing, A + b"\n" + B + b"\n")
    os.close(writing)
    batch = await source.receive()
    assert batch is not None
    await source.give_back(batch)
    await source.close()
    await source.open(None)
    assert await source.receive() == batch
    assert await source.receive() is None
    os.close(reading)


async def test_standard_input_that_is_closed_is_not_taken_for_whatever_has_its_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # so Python says that there was none when it started
    with pytest.raises(OSError, match="standard input is closed"):
        await StandardInput().open(None)


async def test_standard_input_may_be_empty() -> None:
    empty = os.open(os.devnull, os.O_RDONLY)
    assert await StandardInput(empty).receive() is None
    os.close(empty)


async def test_standard_input_comes_in_batches_of_five_hundred_whatever_the_pipe_holds(tmp_path: Path) -> None:
    lines = [b'{"id":"%d"}' % number for number in range(1200)]
    (tmp_path / "input").write_bytes(b"".join(line + b"\n" for line in lines))
    file = os.open(tmp_path / "input", os.O_RDONLY)
    source = StandardInput(file)
    batches = []
    while (batch := await source.receive()) is not None:
        batches.append(batch.items)
    os.close(file)
    assert [len(one) for one in batches] == [500, 500, 200]
    assert [item for one in batches for item in one] == items(*enumerate(lines, 1), name="-")


async def test_waiting_for_standard_input_can_be_cancelled() -> None:
    reading, writing = os.pipe()
    source = StandardInput(reading)
    waiting = asyncio.create_task(source.receive())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    os.write(writing, A + b"\n")
    assert await source.receive() == Batch(tuple(items((1, A), name="-")))
    os.close(reading)
    os.close(writing)
