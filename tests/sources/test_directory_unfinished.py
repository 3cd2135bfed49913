"""When a file counts as finished: soon where the system says that nobody writes it, else once it is quiet."""

# a test writes a few bytes to see what the source makes of them

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from drops import A, B, Looking

from watcher.ports import Item
from watcher.sources import dropped


class Writers:
    """What the system answers to whether nobody has a file open for writing; None where it does not tell."""

    answer: bool | None = None


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> Writers:
    writers = Writers()
    monkeypatch.setattr(dropped, "_is_closed", lambda file: writers.answer)
    return writers


@pytest.fixture
async def looking(tmp_path: Path, writers: Writers) -> Looking:
    return await Looking(tmp_path).open()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """A file that somebody writes."""
    file = os.open(tmp_path / "a.jsonl", os.O_CREAT | os.O_WRONLY)
    yield file
    os.close(file)


async def test_a_file_that_nobody_writes_is_taken_soon(looking: Looking, file: int, writers: Writers) -> None:
    os.write(file, A)
    writers.answer = False
    assert await looking.look() == []
    assert await looking.look(later=29) == []
    writers.answer = True
    assert await looking.look() == [Item(A, "a.jsonl:1")]


async def test_a_file_that_is_opened_for_line_after_line_is_taken_after_the_last(
    looking: Looking, tmp_path: Path, writers: Writers
) -> None:
    writers.answer = True
    for _ in range(3):
        with (tmp_path / "a.jsonl").open("ab") as file:
            file.write(A + b"\n")
        assert await looking.look(later=0.15) == []
    assert await looking.look(later=0.25) == [Item(A, f"a.jsonl:{line}") for line in (1, 2, 3)]


async def test_a_file_that_may_not_be_read_has_a_second(
    looking: Looking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(dropped, "_open", denied)
    (tmp_path / "a.json").write_bytes(A)
    assert await looking.look() == []
    assert await looking.look(later=0.75) == []
    assert await looking.look(later=0.25) == [Item(b"", "a.json", refused="it cannot be read: Permission denied")]


async def test_a_file_that_is_for_ever_open_is_taken_when_it_has_not_changed_for_half_a_minute(
    looking: Looking, file: int, writers: Writers
) -> None:
    writers.answer = False
    assert await looking.look() == []
    assert await looking.look(later=29) == []
    os.write(file, A)
    assert await looking.look(later=1) == []
    assert await looking.look(later=29.5) == []
    assert await looking.look(later=0.5) == [Item(A, "a.jsonl:1")]


async def test_where_the_system_does_not_tell_a_file_is_taken_when_it_is_quiet_for_a_second(
    looking: Looking, file: int
) -> None:
    os.write(file, A + b"\n")
    assert await looking.look() == []
    assert await looking.look(later=0.75) == []
    os.write(file, B + b"\n")
    assert await looking.look(later=0.25) == []
    assert await looking.look(later=0.75) == []
    assert await looking.look(later=0.25) == [Item(A, "a.jsonl:1"), Item(B, "a.jsonl:2")]


@pytest.mark.parametrize(
    ("name", "content"),
    [("half.json", b'{"id":'), ("half.jsonl", A + b"\n" + b'{"id":'), ("long.jsonl", b'"' + b"x" * 300_000)],
)
async def test_where_it_does_not_tell_a_file_that_ends_within_a_request_has_three_seconds(
    looking: Looking, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    assert await looking.look() == []
    assert await looking.look(later=2.75) == []
    assert len(await looking.look(later=0.25)) == content.count(b"\n") + 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("object.json", b'{\n  "id": "a"\n}\n'),
        ("list.json", b"[{},\n{}]"),
        ("without-a-newline.jsonl", A + b"\n" + B),
        ("with-a-newline.jsonl", b"rubbish\n"),
        ("with-blanks.jsonl", b"rubbish\n  "),
    ],
)
async def test_where_it_does_not_tell_a_file_that_ends_well_has_one_second(
    looking: Looking, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    assert await looking.look(later=0) == []
    assert await looking.look(later=1) != []


@pytest.mark.parametrize(("answer", "seconds"), [(True, 3), (False, 30), (None, 30)])
async def test_a_file_that_was_only_made_so_far_is_waited_for(
    looking: Looking, file: int, writers: Writers, *, answer: bool | None, seconds: int
) -> None:
    writers.answer = answer
    assert await looking.look() == []
    assert await looking.look(later=seconds - 0.25) == []
    assert list(looking.tree()) == ["a.jsonl"]
    assert await looking.look(later=0.25) == []
    assert list(looking.tree()) == ["done/a.jsonl"]


async def test_an_unfinished_file_holds_up_no_other(looking: Looking, file: int, tmp_path: Path) -> None:
    os.write(file, A)
    os.utime(file, (1, 1))
    assert await looking.look() == []
    (tmp_path / "b.json").write_bytes(B)
    assert await looking.look(later=0.5) == []
    os.write(file, b" ")
    assert await looking.look(later=0.5) == []
    assert await looking.look(later=0.5) == [Item(B, "b.json:1")]


def test_a_file_that_is_gone_is_not_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(A)
    listed = dropped.Dropped(path, path.lstat())
    path.unlink()
    assert not listed.is_finished(quiet=1)


def test_the_system_says_nothing_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    writing = os.open(path, os.O_CREAT | os.O_WRONLY)
    reading = os.open(path, os.O_RDONLY)
    assert dropped._is_closed(reading) in {False, None}
    os.close(writing)
    assert dropped._is_closed(reading) in {True, None}
    os.close(os.open(path, os.O_WRONLY))  # nor does asking leave anything that would hinder or kill
    os.close(reading)


def test_a_pipe_has_no_answer() -> None:
    reading, writing = os.pipe()
    assert dropped._is_closed(reading) is None
    os.close(reading)
    os.close(writing)
