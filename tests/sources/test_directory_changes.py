"""How a folder is waited for: woken by the system where it tells, by the clock where it does not, and stopped soon."""

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
import watchfiles
from drops import A, B, place

from watcher.ports import Item
from watcher.sources import directory, dropped
from watcher.sources.changes import PATIENCE, Changes
from watcher.sources.directory import DirectorySource


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Changes]:
    watched = Changes(tmp_path)
    watched.wait()
    yield watched
    watched.close()


def test_a_change_is_told_before_the_wait_is_over(watched: Changes, tmp_path: Path) -> None:
    place(tmp_path, "a.json", A)
    began = time.monotonic()
    assert watched.wait()
    assert time.monotonic() - began < PATIENCE


def test_what_is_moved_out_of_a_folder_below_is_told_and_what_happens_in_it_is_not(
    watched: Changes, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    assert watched.wait()
    place(tmp_path / "sub", "a.json", A)
    assert not watched.wait()
    (tmp_path / "sub" / "a.json").rename(tmp_path / "a.json")
    assert watched.wait()


def test_a_folder_that_takes_the_place_of_another_is_watched(watched: Changes, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    assert watched.wait()
    assert not watched.wait()
    tmp_path.mkdir()
    assert not watched.wait()
    place(tmp_path, "a.json", A)
    assert watched.wait()


def test_a_name_that_is_not_utf_8_is_not_told_and_blinds_nobody(watched: Changes, tmp_path: Path) -> None:
    place(tmp_path, os.fsdecode(b"\xff.json"), A)
    assert not watched.wait()
    watched.wait()
    place(tmp_path, "a.json", A)
    assert watched.wait()


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "OS file watch limit reached."),
        watchfiles._rust_notify.WatchfilesRustInternalError("Too many open files (os error 24)"),
    ],
)
def test_where_no_more_can_be_watched_a_wait_just_takes_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object, **__: object) -> Iterator[set[watchfiles.main.FileChange]]:
        yield from ()
        raise error

    watched = Changes(tmp_path)
    monkeypatch.setattr(watchfiles, "watch", refuse)
    began = time.monotonic()
    assert not watched.wait()
    assert time.monotonic() - began >= PATIENCE
    monkeypatch.undo()
    watched.wait()
    place(tmp_path, "a.json", A)
    assert watched.wait()
    watched.close()


def test_watching_leaves_nothing_open_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("WATCHFILES_DEBUG", "1")
    for number in range(3):
        watched = Changes(tmp_path)
        watched.wait()
        place(tmp_path, f"{number}.json", A)
        assert watched.wait()
        assert watchers() == (1, 1)
        watched.close()
        watched.close()
    deadline = time.monotonic() + 5
    while watchers() != (0, 0):
        assert time.monotonic() < deadline
    assert capfd.readouterr() == ("", "")
    assert [record.name for record in caplog.records if record.name.startswith("watchfiles")] == []


def watchers() -> tuple[int, int]:
    """Count this process's threads and descriptors that watch."""
    threads = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended while we look
            threads.append((task / "comm").read_text())
    files = []
    for file in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed while we look
            files.append(file.readlink().name)
    return sum("notify" in name for name in threads), sum("inotify" in name for name in files)


# --- the source -------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectorySource:
    monkeypatch.setattr(dropped.Dropped, "is_finished", lambda self, quiet: True)
    return DirectorySource(tmp_path)


async def drop_soon(folder: Path, source: DirectorySource) -> list[Item]:
    """Wait for a file that is moved in meanwhile."""
    found: list[Item] = []

    async def receive() -> None:
        batch = await source.receive()
        assert batch is not None
        found.extend(batch.items)

    await source.open(None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        await anyio.sleep(0.1)
        place(folder, ".a.json", A).rename(folder / "a.json")
    await source.close()
    return found


def test_a_file_that_is_moved_in_is_taken_at_once_where_the_system_tells(
    source: DirectorySource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "LOOK_EVERY", 60.0)
    began = time.monotonic()
    found = anyio.run(drop_soon, tmp_path, source, backend_options={"use_uvloop": True})
    assert found == [Item(A, "a.json:1")]
    assert time.monotonic() - began < 30


async def test_a_file_is_found_by_looking_where_the_system_does_not_tell(
    source: DirectorySource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Changes, "wait", lambda self: time.sleep(0.01))
    monkeypatch.setattr(directory, "LOOK_EVERY", 0.2)
    assert await drop_soon(tmp_path, source) == [Item(A, "a.json:1")]


async def test_waiting_can_be_cancelled_and_loses_nothing(source: DirectorySource, tmp_path: Path) -> None:
    await source.open(None)
    began = time.monotonic()
    with anyio.move_on_after(0.1) as waiting:
        await source.receive()
    assert waiting.cancelled_caught
    assert time.monotonic() - began < directory.LOOK_EVERY
    place(tmp_path, "b.json", B)
    batch = await source.receive()
    assert batch is not None
    assert batch.items == (Item(B, "b.json:1"),)
    await source.close()
    await source.close()


async def test_the_file_at_hand_is_closed_with_the_source(
    source: DirectorySource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    def noted(path: Path) -> int:
        opened.append(os.open(path, os.O_RDONLY))
        return opened[-1]

    monkeypatch.setattr(dropped, "_open", noted)
    place(tmp_path, "large.jsonl", (A + b"\n") * 1000)
    await source.open(None)
    assert await source.receive() is not None
    assert os.fstat(opened[-1]).st_size == 1000 * len(A + b"\n")
    await source.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[-1])
