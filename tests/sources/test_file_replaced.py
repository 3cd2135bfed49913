"""A followed file that is renamed, replaced, cut off or deleted, while it is followed or while nobody runs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from following import A, B, C, Watching, append, items, restarted

from watcher.sources.file import FileSource


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watches.jsonl"


@pytest.fixture
def watching(path: Path) -> Iterator[Watching]:
    watching = Watching(FileSource(path))
    yield watching
    watching.source._forget()


def test_a_file_that_is_written_anew_with_as_many_bytes_is_read_again(watching: Watching, path: Path) -> None:
    path.write_bytes(b'{"n":1}\n')
    assert watching.look() == items((1, b'{"n":1}'))
    path.write_bytes(b'{"n":2}\n')
    os.utime(path, ns=(0, 1))  # however coarse the file system's clock is
    assert watching.look() == items((1, b'{"n":2}'))


def test_a_renamed_file_is_finished_and_then_the_new_one_is_read_from_its_start(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n")
    assert watching.look() == items((1, A))
    append(path, B + b"\n")
    path.rename(path.with_suffix(".1"))
    path.write_bytes(C + b"\n")
    assert watching.wait(1) == items((2, B), (1, C))


def test_a_writer_may_go_on_with_a_renamed_file_until_it_opens_the_new_one(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n")
    watching.look()
    path.rename(path.with_suffix(".1"))
    assert watching.wait(5) == []
    append(path.with_suffix(".1"), B + b"\n")
    assert watching.look() == items((2, B))
    path.write_bytes(C + b"\n")
    append(path.with_suffix(".1"), A + b"\n")
    assert watching.wait(1) == items((3, A), (1, C))


def test_the_last_line_of_a_renamed_file_needs_no_newline(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n" + B)
    watching.look()
    path.rename(path.with_suffix(".1"))
    path.write_bytes(C + b"\n")
    assert watching.wait(0.75) == []
    assert watching.wait(0.5) == items((2, B), (1, C))


def test_a_file_that_is_replaced_by_a_rename_over_it_is_read_from_its_start(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n")
    watching.look()
    other = path.with_suffix(".new")
    other.write_bytes(A + b"\n" + B + b"\n")
    other.rename(path)
    assert watching.wait(1) == items((1, A), (2, B))


def test_a_file_that_is_deleted_and_made_again_is_read_from_its_start(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n")
    watching.look()
    path.unlink()
    assert watching.wait(1) == []
    path.write_bytes(B + b"\n")
    assert watching.wait(1) == items((1, B))


def test_a_truncated_file_is_read_from_its_start(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n" + B + b"\n")
    watching.look()
    os.truncate(path, 0)
    assert watching.look() == []
    append(path, C + b"\n")
    assert watching.look() == items((1, C))


def test_a_file_that_was_truncated_and_grew_again_between_two_looks_is_read_from_its_start(
    watching: Watching, path: Path
) -> None:
    path.write_bytes(A + b"\n")
    watching.look()
    path.write_bytes(B + b"\n" + C + b"\n")
    assert watching.look() == items((1, B), (2, C))


def test_a_file_that_was_renamed_while_we_were_away_is_finished_first(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n")
    watching.look()
    append(path, B + b"\n")
    path.rename(path.with_name("watches.jsonl.1"))
    path.write_bytes(C + b"\n")
    again = restarted(path, watching.position)
    assert again.wait(1) == items((2, B), (1, C))
    again.source._forget()


def test_a_file_that_was_replaced_while_we_were_away_is_read_from_its_start(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n")
    watching.look()
    path.write_bytes(B + b"\n" + C + b"\n")  # the inode stays, as it does when the next file gets it again
    again = restarted(path, watching.position)
    assert again.look() == items((1, B), (2, C))
    again.source._forget()


def test_a_file_that_was_truncated_while_we_were_away_is_read_from_its_start(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n" + B + b"\n")
    watching.look()
    os.truncate(path, len(A) + 1)
    again = restarted(path, watching.position)
    assert again.look() == items((1, A))
    again.source._forget()
