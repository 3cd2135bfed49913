"""A file that was renamed, or deleted, before all of it was read: a restart finds it, and its space is freed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from following import A, B, C, Watching, append, items, restarted

from watcher.sources.file import INTERVAL, PATIENCE, FileSource
from watcher.sources.lines import MOST_ITEMS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watches.jsonl"


@pytest.fixture
def watching(path: Path) -> Iterator[Watching]:
    watching = Watching(FileSource(path))
    yield watching
    watching.source._forget()


def look_once(watching: Watching) -> bytes | None:
    batch = watching.source._look(watching.now)
    assert batch is not None
    return batch.position


def test_what_stood_behind_a_large_file_is_read_after_a_restart(watching: Watching, path: Path) -> None:
    path.write_bytes((A + b"\n") * (MOST_ITEMS + 300))
    look_once(watching)
    path.rename(path.with_suffix(".1"))
    path.write_bytes(B + b"\n")
    watching.source._turn_to_path(0.0)
    path.rename(path.with_suffix(".2"))
    append(path.with_suffix(".1"), (A + b"\n") * MOST_ITEMS)
    path.write_bytes(C + b"\n")
    after = restarted(path, look_once(watching))
    assert after.look()[-2:] == items((1, B), (1, C))
    after.source._forget()


def test_half_a_line_in_a_file_that_was_renamed_is_completed_after_a_restart(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n")
    watching.look()
    path.rename(path.with_suffix(".1"))
    path.write_bytes(B[:4])
    append(path.with_suffix(".1"), C + b"\n")
    assert watching.look() == items((2, C))
    path.rename(path.with_suffix(".2"))
    append(path.with_suffix(".2"), B[4:] + b"\n")
    path.write_bytes(C + b"\n")
    after = restarted(path, watching.position)
    assert after.look() == items((1, B), (1, C))
    after.source._forget()


def test_a_file_that_was_written_anew_is_not_taken_for_the_one_that_was_not_read(
    watching: Watching, path: Path
) -> None:
    path.write_bytes(A + b"\n")
    watching.look()
    path.rename(path.with_suffix(".1"))
    path.write_bytes(B[:4])
    append(path.with_suffix(".1"), C + b"\n")
    watching.look()
    path.write_bytes(A + b"\n")
    after = restarted(path, watching.position)
    assert after.look() == items((1, A))
    after.source._forget()


def test_a_file_that_was_deleted_is_let_go_of_when_nothing_came_for_a_minute(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n")
    assert watching.look() == items((1, A))
    path.unlink()
    path.touch()
    assert watching.wait(PATIENCE - 1) == []
    assert len(watching.source._files) == 2
    assert watching.wait(1 + 2 * INTERVAL) == []
    assert len(watching.source._files) == 1
