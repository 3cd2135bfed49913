"""What a followed file promises: whole lines, each once, however they are written, and however often we restart."""

# ruff: noqa: ASYNC240  # a test writes a few bytes to see what the source makes of them

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from following import A, B, Watching, append, items, restarted
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.request import MOST_BYTES
from watcher.ports import Item
from watcher.sources.file import FileSource
from watcher.sources.lines import CHUNK, MARK, MOST_ITEMS, Place, cut


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watches.jsonl"


@pytest.fixture
def source(path: Path) -> Iterator[FileSource]:
    source = FileSource(path)
    yield source
    source._forget()


@pytest.fixture
def watching(source: FileSource) -> Watching:
    return Watching(source)


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
    plain = [line.removeprefix(MARK) if number == 0 else line for number, line in enumerate(lines)]
    assert found == items(*((number, raw) for number, raw in enumerate(plain, 1) if raw.strip()), name="f")
    assert place == Place(len(data), len(lines))


# --- after a restart ------------------------------------------------------------------------------------------


def test_a_restart_in_the_middle_of_a_line_that_is_too_long_skips_its_rest(watching: Watching, path: Path) -> None:
    path.write_bytes(b"x" * 2 * CHUNK)
    watching.look()
    again = restarted(path, watching.position)
    append(path, b"x\n" + A + b"\n")
    assert again.look() == items((2, A))
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
    place = {"inode": path.stat().st_ino, "offset": len(A) + 1, "line": 1, "skipping": False}
    assert position == place | {"renamed": [], "begins": 0}
