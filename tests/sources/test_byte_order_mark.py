"""Programs for Windows begin a file with a byte order mark: it is no part of the first request, however it came."""

import os
from pathlib import Path

import pytest
from drops import Looking, place
from following import A, B, Watching, append, items

from watcher.core.request import MOST_BYTES
from watcher.ports import Batch, Item
from watcher.sources.file import FileSource
from watcher.sources.lines import MARK
from watcher.sources.standard_input import StandardInput


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watches.jsonl"


def test_a_followed_file_may_begin_with_one(path: Path) -> None:
    watching = Watching(FileSource(path))
    path.write_bytes(MARK + A + b"\r\n" + B + b"\n")
    assert watching.look() == items((1, A + b"\r"), (2, B))
    path.write_bytes(MARK + B)  # written anew
    assert watching.look() == []
    assert watching.wait(1.25) == items((1, B))
    watching.source._forget()


def test_it_may_come_byte_by_byte_before_the_first_line(path: Path) -> None:
    watching = Watching(FileSource(path))
    found = []
    for byte in MARK + A + b"\n" + B + b"\n":
        append(path, bytes([byte]))
        found += watching.wait(0.25)
    assert found == items((1, A), (2, B))
    watching.source._forget()


def test_only_at_the_very_beginning_it_is_none(path: Path) -> None:
    watching = Watching(FileSource(path))
    path.write_bytes(MARK + MARK + A + b"\n" + MARK + B + b"\n")
    assert watching.look() == items((1, MARK + A), (2, MARK + B))
    watching.source._forget()


def test_a_file_of_nothing_else_has_no_request(path: Path) -> None:
    watching = Watching(FileSource(path))
    path.write_bytes(MARK)
    assert watching.wait(5) == []
    watching.source._forget()


async def test_standard_input_may_begin_with_one() -> None:
    reading, writing = os.pipe()
    os.write(writing, MARK + A + b"\n" + B)
    os.close(writing)
    source = StandardInput(reading)
    assert await source.receive() == Batch(tuple(items((1, A), name="-")))
    assert await source.receive() == Batch(tuple(items((2, B), name="-")))
    os.close(reading)


async def test_files_of_a_folder_may_begin_with_one(tmp_path: Path) -> None:
    longest = b'{"id":"%s"}' % (b"x" * (MOST_BYTES - 9))
    place(tmp_path, "a.jsonl", MARK + A + b"\n" + B + b"\n", written_at=1)
    place(tmp_path, "b.json", MARK + A, written_at=2)
    place(tmp_path, "c.json", MARK + b"[" + A + b"," + B + b"]", written_at=3)
    place(tmp_path, "d.json", MARK + longest, written_at=4)
    place(tmp_path, "e.json", MARK + longest + b" ", written_at=5)
    looking = await Looking(tmp_path).open()
    found = await looking.look() + await looking.look(later=3)
    assert found == [
        *items((1, A), (2, B), name="a.jsonl"),
        Item(A, "b.json:1"),
        *[Item(A, "c.json[0]"), Item(B, "c.json[1]")],
        Item(longest, "d.json:1"),
        Item(longest + b" ", "e.json:1"),
    ]
    await looking.source.close()
