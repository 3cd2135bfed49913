"""A writer may hold on to a file that was renamed: what it writes there late is read, once, for as long as is said."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from following import A, B, C, Watching, append, items, restarted

from watcher.sources.file import INTERVAL, MOST_RENAMED, PATIENCE, FileSource
from watcher.sources.lines import CHUNK, MOST_ITEMS

D = b'{"id":"d"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watches.jsonl"


@pytest.fixture
def old(path: Path) -> Path:
    return path.with_suffix(".1")


@pytest.fixture
def watching(path: Path) -> Iterator[Watching]:
    watching = Watching(FileSource(path))
    yield watching
    watching.source._forget()


@pytest.fixture
def rotated(watching: Watching, path: Path, old: Path) -> Watching:
    """A file with A was renamed, and a new one with B is in its place; both were read."""
    path.write_bytes(A + b"\n")
    assert watching.look() == items((1, A))
    path.rename(old)
    path.write_bytes(B + b"\n")
    assert watching.look() == items((1, B))
    return watching


def handles() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_late_line_is_read_whoever_was_read_meanwhile(rotated: Watching, path: Path, old: Path) -> None:
    assert rotated.wait(30) == []
    append(old, C + b"\n")
    append(path, D + b"\n")
    assert rotated.look() == items((2, C), (2, D))
    append(old, D + b"\n")
    assert rotated.look() == items((3, D))
    assert rotated.wait(30) == []


def test_a_renamed_file_is_let_go_of_when_nothing_came_for_a_minute(rotated: Watching, old: Path) -> None:
    rotated.wait(PATIENCE - 1)
    append(old, C + b"\n")
    assert rotated.look() == items((2, C))
    rotated.wait(PATIENCE - 1)
    append(old, D + b"\n")
    assert rotated.look() == items((3, D))
    before = handles()
    rotated.wait(PATIENCE + 2 * INTERVAL)
    assert handles() == before - 1
    append(old, A + b"\n")
    assert rotated.wait(5) == []


def test_only_so_many_renamed_files_are_read_on_and_the_oldest_goes_first(watching: Watching, path: Path) -> None:
    before = handles()
    files = [path.with_suffix(f".{number}") for number in range(MOST_RENAMED + 3)]
    for file in files:
        path.write_bytes(A + b"\n")
        assert watching.wait(1) == items((1, A))
        path.rename(file)
    path.write_bytes(B + b"\n")
    assert watching.wait(1) == items((1, B))
    assert handles() == before + MOST_RENAMED + 1
    for file in files:
        append(file, C + b"\n")
    assert watching.wait(1) == items(*[(2, C)] * MOST_RENAMED)


def test_what_is_left_of_a_file_that_goes_early_still_counts(rotated: Watching, path: Path, old: Path) -> None:
    append(old, b"rubb")
    assert rotated.wait(5) == []
    found = []
    for number in range(2, MOST_RENAMED + 2):
        path.rename(path.with_suffix(f".{number}"))
        path.write_bytes(C + b"\n")
        found += rotated.wait(1.25)
    assert found == items(*[(1, C)] * (MOST_RENAMED - 1), (2, b"rubb"), (1, C))


def test_files_in_one_batch_are_five_hundred_requests_and_the_older_comes_first(
    rotated: Watching, path: Path, old: Path
) -> None:
    append(old, (C + b"\n") * (MOST_ITEMS - 1))
    append(path, (D + b"\n") * MOST_ITEMS)
    first, second = rotated.source._look(0), rotated.source._look(0)
    assert first is not None
    assert second is not None
    assert list(first.items) == items(*((number, C) for number in range(2, MOST_ITEMS + 1)), (2, D))
    assert list(second.items) == items(*((number, D) for number in range(3, MOST_ITEMS + 2)))


def test_what_is_behind_in_the_old_file_comes_before_the_new_one(watching: Watching, path: Path, old: Path) -> None:
    path.write_bytes(b" " * (2 * CHUNK) + b"\n" + A + b"\n")
    path.rename(old)
    watching.source._resume(None)
    assert watching.look() == []
    path.write_bytes(B + b"\n")
    assert watching.look() == items((1, B))


# --- half-written lines ---------------------------------------------------------------------------------------


def test_a_late_line_without_newline_counts_once_it_is_an_object_and_quiet_for_a_second(
    rotated: Watching, old: Path
) -> None:
    append(old, C)
    rotated.look()
    assert rotated.wait(0.75) == []
    assert rotated.wait(0.25) == items((2, C))


def test_a_writer_that_writes_by_the_block_has_its_late_line_in_one_piece(rotated: Watching, old: Path) -> None:
    append(old, C[:4])
    assert rotated.wait(PATIENCE / 2) == []
    append(old, C[4:] + b"\n" + D[:4])
    assert rotated.look() == items((2, C))
    assert rotated.wait(PATIENCE - INTERVAL) == []
    assert rotated.wait(INTERVAL) == items((3, D[:4]))  # nobody will complete it


def test_a_writer_that_never_stops_with_the_old_file_holds_up_the_new_one_for_a_second_at_most(
    watching: Watching, path: Path, old: Path
) -> None:
    path.write_bytes(A + b"\n" + B[:4])
    assert watching.look() == items((1, A))
    path.rename(old)
    path.write_bytes(C + b"\n")
    found = []
    for _ in range(5):
        append(old, b"x")
        found += watching.wait(0.25)
    assert found == items((1, C))


# --- while there is no new file yet ---------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b""])
def test_while_the_new_file_is_missing_or_empty_the_old_one_is_read_however_long_it_is_quiet(
    watching: Watching, path: Path, old: Path, content: bytes | None
) -> None:
    path.write_bytes(A + b"\n")
    watching.look()
    path.rename(old)
    if content is not None:
        path.write_bytes(content)
    assert watching.wait(3 * PATIENCE) == []
    append(old, B + b"\n" + C[:4])
    assert watching.look() == items((2, B))
    assert watching.wait(3 * PATIENCE) == []
    append(old, C[4:] + b"\n")
    assert watching.look() == items((3, C))
    append(path, D + b"\n")
    assert watching.look() == items((1, D))
    append(old, A + b"\n")
    assert watching.look() == items((4, A))


def test_a_file_that_was_empty_when_it_was_renamed_is_read_on(rotated: Watching, path: Path) -> None:
    path.rename(path.with_suffix(".2"))
    path.touch()
    assert rotated.wait(1) == []
    path.rename(path.with_suffix(".3"))
    path.write_bytes(C + b"\n")
    assert rotated.wait(1) == items((1, C))
    append(path.with_suffix(".3"), D + b"\n")
    assert rotated.look() == items((1, D))


def test_files_that_stay_empty_hold_up_nothing(rotated: Watching, path: Path) -> None:
    for number in range(2, 2 * MOST_RENAMED):
        path.rename(path.with_suffix(f".{number}"))
        path.touch()
        assert rotated.wait(1) == []
    append(path, C + b"\n")
    assert rotated.look() == items((1, C))


def test_a_file_that_gets_its_name_back_goes_on_where_it_was(rotated: Watching, path: Path, old: Path) -> None:
    path.rename(path.with_suffix(".2"))
    old.rename(path)
    append(path, C + b"\n")
    append(path.with_suffix(".2"), D + b"\n")
    assert rotated.wait(1) == items((2, D), (2, C))
    assert rotated.wait(3 * PATIENCE) == []
    append(path, D + b"\n")
    assert rotated.look() == items((3, D))


# --- what could not be stored, and restarts -------------------------------------------------------------------


def test_a_late_line_that_could_not_be_stored_comes_again_even_of_a_file_that_is_gone(
    rotated: Watching, path: Path, old: Path
) -> None:
    stored = rotated.position
    with old.open("ab", buffering=0) as writer:
        old.unlink()
        writer.write(C + b"\n")
    append(path, D + b"\n")
    for _ in range(3):
        assert rotated.look() == items((2, C), (2, D))
        rotated.go_back(stored)


def test_a_new_file_of_which_nothing_could_be_stored_is_not_lost_by_a_second_rename(
    watching: Watching, path: Path, old: Path
) -> None:
    path.write_bytes(A + b"\n")
    watching.look()
    stored = watching.position
    path.rename(old)
    path.write_bytes(B + b"\n")
    assert watching.look() == items((1, B))
    path.rename(path.with_suffix(".2"))
    path.write_bytes(C + b"\n")
    watching.go_back(stored)
    assert watching.look() == items((1, B), (1, C))


def test_a_late_line_that_was_written_while_we_were_away_is_read(rotated: Watching, path: Path, old: Path) -> None:
    append(old, C + b"\n")
    assert rotated.look() == items((2, C))
    old.rename(path.with_suffix(".2"))
    append(path.with_suffix(".2"), D + b"\n")
    append(path, A + b"\n")
    again = restarted(path, rotated.position)
    assert again.look() == items((3, D), (2, A))
    again.source._forget()


def test_a_position_of_an_earlier_version_is_read(rotated: Watching, path: Path, old: Path) -> None:
    position = orjson.loads(rotated.position or b"")
    assert [place["offset"] for place in position.pop("renamed")] == [len(A) + 1]
    append(old, C + b"\n")
    append(path, D + b"\n")
    again = restarted(path, orjson.dumps(position))
    assert again.look() == items((2, D))
    again.source._forget()


def test_a_renamed_file_that_may_not_be_read_any_more_is_left_alone(
    rotated: Watching, path: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(path, C + b"\n")
    really = os.open

    def guarded(name: Path, flags: int) -> int:
        if name == old:
            raise PermissionError(13, "Permission denied", str(name))
        return really(name, flags)

    monkeypatch.setattr(os, "open", guarded)
    again = restarted(path, rotated.position)
    assert again.look() == items((2, C))
    again.source._forget()


def test_closing_closes_all_files(rotated: Watching, path: Path, old: Path) -> None:
    before = handles()
    asyncio.run(rotated.source.close())
    asyncio.run(rotated.source.close())
    assert handles() == before - 2
