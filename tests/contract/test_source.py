"""What every source promises (`ports.Source`), and what a followed file promises beyond it."""

# ruff: noqa: ASYNC240  # a test writes a few bytes to see what the source makes of them

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.request import MOST_BYTES
from watcher.ports import Batch, Item, Source
from watcher.sources.file import FileSection, FileSource
from watcher.sources.lines import CHUNK, MOST_ITEMS, Place, cut
from watcher.sources.standard_input import StandardInput

A, B, C = b'{"id":"a"}', b'{"id":"b"}', b'{"id":"c"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watches.jsonl"


@pytest.fixture
def source(path: Path) -> Iterator[FileSource]:
    source = FileSource(path)
    yield source
    source._forget()


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

    def wait(self, seconds: float) -> list[Item]:
        """Look four times a second for a while."""
        found = []
        for _ in range(int(seconds * 4)):
            self.now += 0.25
            found += self.look()
        return found


@pytest.fixture
def watching(source: FileSource) -> Watching:
    return Watching(source)


def restarted(path: Path, position: bytes | None) -> Watching:
    source = FileSource(path)
    asyncio.run(source.open(position))
    return Watching(source)


# --- the contract ---------------------------------------------------------------------------------------------


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


# --- a file that is followed ----------------------------------------------------------------------------------


def test_a_missing_file_is_waited_for(watching: Watching, path: Path) -> None:
    assert watching.wait(5) == []
    path.write_bytes(A + b"\n")
    assert watching.look() == items((1, A))


def test_a_missing_folder_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "spool" / "watches.jsonl"
    watching = Watching(FileSource(path))
    assert watching.wait(5) == []
    path.parent.mkdir()
    path.write_bytes(A + b"\n")
    assert watching.look() == items((1, A))
    watching.source._forget()


async def test_a_folder_in_place_of_the_file_is_an_error_that_may_pass(source: FileSource, path: Path) -> None:
    path.mkdir()
    with pytest.raises(OSError, match="expected a regular file"):
        await source.open(None)
    path.rmdir()
    await source.open(None)
    path.mkdir()
    with pytest.raises(OSError, match="expected a regular file"):
        await source.receive()
    path.rmdir()
    path.write_bytes(A + b"\n")
    batch = await source.receive()
    assert batch is not None
    assert list(batch.items) == items((1, A))


def test_blank_lines_are_no_requests_and_count(watching: Watching, path: Path) -> None:
    path.write_bytes(b"\n" + A + b"\r\n \t\n" + B + b"\n\n")
    assert watching.look() == items((2, A + b"\r"), (4, B))


def test_bytes_that_are_not_utf_8_pass_as_they_are(watching: Watching, path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00\n" + A + b"\n")
    assert watching.look() == items((1, b"\xff\xfe\x00"), (2, A))


def test_a_file_that_is_written_anew_with_as_many_bytes_is_read_again(watching: Watching, path: Path) -> None:
    path.write_bytes(b'{"n":1}\n')
    assert watching.look() == items((1, b'{"n":1}'))
    path.write_bytes(b'{"n":2}\n')
    os.utime(path, ns=(0, 1))  # however coarse the file system's clock is
    assert watching.look() == items((1, b'{"n":2}'))


def test_a_half_written_line_is_waited_for(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n" + B[:5])
    assert watching.look() == items((1, A))
    assert watching.wait(5) == []
    append(path, B[5:] + b"\n")
    assert watching.look() == items((2, B))


def test_a_last_line_without_newline_is_read_once_it_is_an_object_and_quiet_for_a_second(
    watching: Watching, path: Path
) -> None:
    path.write_bytes(A)
    assert watching.look() == []
    assert watching.wait(0.75) == []
    assert watching.wait(0.25) == items((1, A))
    append(path, b"\n" + B + b"\n")
    assert watching.look() == items((2, B))


def test_a_last_line_that_still_grows_is_not_quiet(watching: Watching, path: Path) -> None:
    path.write_bytes(b'{"id":"a"}')
    watching.look()
    assert watching.wait(0.75) == []
    append(path, b" ")
    assert watching.wait(1) == []
    assert watching.wait(0.25) == items((1, A + b" "))


@pytest.mark.parametrize("tail", [b"12", b'"text"', b"[1]", b'{"id":', b"rubbish"])
def test_a_last_line_without_newline_that_is_no_object_is_waited_for(
    watching: Watching, path: Path, tail: bytes
) -> None:
    path.write_bytes(tail)
    assert watching.wait(10) == []


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
    path.write_bytes(A + b"\nrubb")
    watching.look()
    path.rename(path.with_suffix(".1"))
    path.write_bytes(C + b"\n")
    assert watching.wait(2) == items((2, b"rubb"), (1, C))


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


def test_a_batch_holds_at_most_five_hundred_requests(source: FileSource, path: Path) -> None:
    path.write_bytes(b"".join(b'{"id":"%d"}\n' % number for number in range(1200)))
    sizes = []
    while (batch := source._look(0)) is not None:
        sizes.append(len(batch.items))
    assert sizes == [MOST_ITEMS, MOST_ITEMS, 200]


def test_a_batch_holds_at_most_a_mebibyte(source: FileSource, path: Path) -> None:
    line = b'"%s"\n' % (b"x" * 100_000)
    path.write_bytes(line * 25)
    batches = []
    while (batch := source._look(0)) is not None:
        batches.append(sum(len(item.raw) for item in batch.items))
    assert sum(batches) == 25 * (len(line) - 1)
    assert max(batches) <= CHUNK


def test_a_line_as_long_as_allowed_is_read(watching: Watching, path: Path) -> None:
    longest = b"x" * MOST_BYTES
    path.write_bytes(longest + b"\n" + A + b"\n")
    assert watching.look() == items((1, longest), (2, A))


def test_a_line_that_is_too_long_is_one_short_item_however_long_it_gets(watching: Watching, path: Path) -> None:
    path.write_bytes(b"x" * (MOST_BYTES + 1))
    assert watching.look() == items((1, b"x" * (MOST_BYTES + 1)))
    append(path, b"x" * 3 * CHUNK)
    assert watching.wait(5) == []
    append(path, b"x\n" + A + b"\n")
    assert watching.look() == items((2, A))


# --- after a restart ------------------------------------------------------------------------------------------


def test_a_restart_in_the_middle_of_a_line_that_is_too_long_skips_its_rest(watching: Watching, path: Path) -> None:
    path.write_bytes(b"x" * 2 * CHUNK)
    watching.look()
    again = restarted(path, watching.position)
    append(path, b"x\n" + A + b"\n")
    assert again.look() == items((2, A))
    again.source._forget()


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


@pytest.mark.parametrize("position", [b"", b"null", b"rubbish", b"{}", b'{"offset": -1}'])
def test_a_position_that_is_none_of_ours_is_the_start(path: Path, position: bytes) -> None:
    path.write_bytes(A + b"\n")
    again = restarted(path, position)
    assert again.look() == items((1, A))
    again.source._forget()


def test_a_folder_that_is_gone_after_a_restart_is_waited_for(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n")
    watching.look()
    again = restarted(path.parent / "gone" / path.name, watching.position)
    assert again.wait(5) == []


def test_a_position_says_where_in_words(watching: Watching, path: Path) -> None:
    path.write_bytes(A + b"\n" + B)
    watching.look()
    position = orjson.loads(watching.position or b"")
    assert len(position.pop("head")) == 16
    assert position == {"inode": path.stat().st_ino, "offset": len(A) + 1, "line": 1, "skipping": False}


# --- standard input -------------------------------------------------------------------------------------------


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


# --- cutting --------------------------------------------------------------------------------------------------


@given(
    st.lists(st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b""))), st.integers(min_value=1, max_value=50)
)
def test_lines_are_the_same_however_the_bytes_arrive(lines: list[bytes], step: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    found: list[Item] = []
    place = Place()
    for known in range(0, len(data) + step, step):
        more, place = cut(data[place.offset : known], place, name="f")
        found += more
    assert found == items(*((number, raw) for number, raw in enumerate(lines, 1) if raw.strip()), name="f")
    assert place == Place(len(data), len(lines))
