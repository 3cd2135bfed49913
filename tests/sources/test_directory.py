"""What a folder of requests promises: each file is taken once, whole, and moved only when its requests are stored."""

# a test writes a few bytes to see what the source makes of them

import re
from pathlib import Path

import pytest
from drops import A, B, C, Looking, place
from pydantic import TypeAdapter

from watcher.core.request import MOST_BYTES
from watcher.ports import Item
from watcher.sources import dropped
from watcher.sources.directory import DirectorySection, DirectorySource
from watcher.sources.lines import CHUNK, MOST_ITEMS


@pytest.fixture
async def looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looking:
    monkeypatch.setattr(dropped.Dropped, "is_finished", lambda self, quiet: True)
    return await Looking(tmp_path, refusals={b"bad": "it is bad", b"worse": "it is worse"}).open()


def test_a_section_is_the_source_that_it_describes(tmp_path: Path) -> None:
    section = TypeAdapter(DirectorySection).validate_python(
        {"type": "directory", "path": "spool"}, context={"folder": tmp_path}
    )
    assert section.path == tmp_path / "spool"
    assert isinstance(section.source(), DirectorySource)


# --- taking -----------------------------------------------------------------------------------------------------


async def test_files_are_taken_oldest_first_and_are_then_done(looking: Looking, tmp_path: Path) -> None:
    place(tmp_path, "one.json", A + b"\n", written_at=2)
    place(tmp_path, "two.jsonl", B + b"\n\n" + C, written_at=1)
    assert await looking.look() == [Item(B, "two.jsonl:1"), Item(C, "two.jsonl:3"), Item(A + b"\n", "one.json:1")]
    assert looking.tree() == {"done/one.json": A + b"\n", "done/two.jsonl": B + b"\n\n" + C}
    assert await looking.look() == []


async def test_a_json_file_may_hold_a_list_of_requests(looking: Looking, tmp_path: Path) -> None:
    place(tmp_path, "list.json", b'[{"id": "a"},\n {"id": "b"}]')
    assert await looking.look() == [Item(A, "list.json[0]"), Item(B, "list.json[1]")]


async def test_a_list_that_cannot_be_taken_apart_is_one_request_which_will_be_refused(
    looking: Looking, tmp_path: Path
) -> None:
    deep = b"[" * 500 + b"]" * 500
    place(tmp_path, "deep.json", deep)
    assert await looking.look() == [Item(deep, "deep.json:1")]


async def test_files_without_requests_are_done_at_once(looking: Looking, tmp_path: Path) -> None:
    place(tmp_path, "blank.jsonl", b"\n \n")
    place(tmp_path, "list.json", b"[]")
    assert await looking.look() == []
    assert looking.tree() == {"done/blank.jsonl": b"\n \n", "done/list.json": b"[]"}


async def test_only_files_that_are_called_json_or_jsonl_are_taken(looking: Looking, tmp_path: Path) -> None:
    names = [".hidden.json", "a.json.part", "a.json.tmp", "a.txt", "json", "sub"]
    for name in names[:-1]:
        place(tmp_path, name, A)
    (tmp_path / "sub").mkdir()
    place(tmp_path / "sub", "a.json", A)
    assert await looking.look() == []
    assert list(looking.tree()) == [*names, "sub/a.json"]


async def test_many_small_files_share_a_batch(looking: Looking, tmp_path: Path) -> None:
    for number in range(1000):
        place(tmp_path, f"{number}.json", b'{"id":"%d"}' % number)
    assert [len(batch.items) async for batch in looking.batches()] == [MOST_ITEMS, MOST_ITEMS]
    assert len(looking.tree()) == 1000
    assert all(name.startswith("done/") for name in looking.tree())


async def test_a_large_file_is_taken_in_pieces_and_moved_after_the_last(looking: Looking, tmp_path: Path) -> None:
    lines = [b'{"id":"%d","params":"%s"}' % (number, b"x" * 3000) for number in range(2000)]
    large = place(tmp_path, "large.jsonl", b"\n".join(lines))
    found: list[bytes] = []
    async for batch in looking.batches():
        assert large.exists()
        assert len(batch.items) <= 2 * MOST_ITEMS
        assert sum(len(item.raw) for item in batch.items) <= 2 * CHUNK
        found += [item.raw for item in batch.items]
    assert found == lines
    assert list(looking.tree()) == ["done/large.jsonl"]


async def test_what_is_too_long_is_read_a_byte_further_than_allowed(looking: Looking, tmp_path: Path) -> None:
    place(tmp_path, "long.json", b"[" + b" " * 3 * CHUNK + b"]", written_at=1)
    place(tmp_path, "long.jsonl", b"x" * 3 * CHUNK + b"\n" + A, written_at=2)
    assert [(item.where, len(item.raw)) for item in await looking.look()] == [
        ("long.json:1", MOST_BYTES + 1),
        ("long.jsonl:1", MOST_BYTES + 1),
        ("long.jsonl:2", len(A)),
    ]


# --- moving -----------------------------------------------------------------------------------------------------


async def test_a_file_stays_until_its_requests_are_stored_and_comes_again_if_they_could_not_be(
    looking: Looking, tmp_path: Path
) -> None:
    place(tmp_path, "one.json", A)
    for _ in range(2):
        batch = await looking.batch()
        assert batch is not None
        assert batch.items == (Item(A, "one.json:1"),)
        await looking.source.give_back(batch)
        await looking.source.open(None)
        assert looking.tree() == {"one.json": A}


async def test_a_file_with_refused_requests_is_rejected_and_says_which_and_why(
    looking: Looking, tmp_path: Path
) -> None:
    place(tmp_path, "mixed.jsonl", A + b"\nbad\n" + B + b"\nworse")
    place(tmp_path, "single.json", b"bad")
    place(tmp_path, "sound.json", C)
    assert [item.raw for item in await looking.look()] == [A, b"bad", B, b"worse", b"bad", C]
    assert looking.tree() == {
        "done/sound.json": C,
        "rejected/mixed.jsonl": A + b"\nbad\n" + B + b"\nworse",
        "rejected/mixed.jsonl.error": b"mixed.jsonl:2: it is bad\nmixed.jsonl:4: it is worse\n",
        "rejected/single.json": b"bad",
        "rejected/single.json.error": b"single.json:1: it is bad\n",
    }


async def test_what_was_refused_in_an_early_piece_of_a_large_file_is_told_in_the_end(
    looking: Looking, tmp_path: Path
) -> None:
    place(tmp_path, "large.jsonl", b"bad\n" + (A + b"\n") * 2 * MOST_ITEMS)
    await looking.look()
    assert looking.tree()["rejected/large.jsonl.error"] == b"large.jsonl:1: it is bad\n"


async def test_of_very_many_refusals_a_thousand_are_told(looking: Looking, tmp_path: Path) -> None:
    place(tmp_path, "large.jsonl", b"bad\n" * 1234)
    await looking.look()
    told = (looking.tree()["rejected/large.jsonl.error"] or b"").decode().splitlines()
    assert len(told) == 1001
    assert told[999:] == ["large.jsonl:1000: it is bad", "… and 234 more: `watcher rejected` lists them all"]


async def test_no_file_takes_the_place_of_an_earlier_one_of_its_name(looking: Looking, tmp_path: Path) -> None:
    for content in (A, B, b"bad", b"worse"):
        place(tmp_path, "order.json", content)
        await looking.look()
    done = {name: content for name, content in looking.tree().items() if name.startswith("done/")}
    rejected = {name: content for name, content in looking.tree().items() if name.startswith("rejected/")}
    assert sorted(filter(None, done.values())) == [A, B]
    assert done["done/order.json"] == A
    (second,) = done.keys() - {"done/order.json"}
    assert re.fullmatch(r"done/order\.\d+\.json", second)
    third, fourth = (name for name in rejected if name.endswith(".error"))
    assert {rejected[third], rejected[fourth]} == {b"order.json:1: it is bad\n", b"order.json:1: it is worse\n"}
    for name in (third, fourth):
        is_bad = rejected[name] == b"order.json:1: it is bad\n"
        assert rejected[name.removesuffix(".error")] == (b"bad" if is_bad else b"worse")


async def test_an_error_that_was_left_behind_is_not_written_over(looking: Looking, tmp_path: Path) -> None:
    place(tmp_path / "rejected", "order.json.error", b"of yesterday")
    place(tmp_path, "order.json", b"bad")
    await looking.look()
    assert looking.tree()["rejected/order.json.error"] == b"of yesterday"
    assert "rejected/order.json" not in looking.tree()
    assert len(looking.tree()) == 3


async def test_a_file_that_has_changed_since_it_was_read_is_read_again(looking: Looking, tmp_path: Path) -> None:
    path = place(tmp_path, "grows.jsonl", A + b"\n")
    batch = await looking.batch()
    assert batch is not None
    path.write_bytes(A + b"\n" + B + b"\n")
    await looking.source.acknowledge(batch, refused={})
    assert list(looking.tree()) == ["grows.jsonl"]
    assert await looking.look() == [Item(A, "grows.jsonl:1"), Item(B, "grows.jsonl:2")]
    assert list(looking.tree()) == ["done/grows.jsonl"]


async def test_a_file_that_somebody_took_away_is_no_trouble(looking: Looking, tmp_path: Path) -> None:
    for number in range(MOST_ITEMS):
        place(tmp_path, f"{number}.json", A, written_at=1)
    gone_when_listed = place(tmp_path, "listed.json", B, written_at=2)
    gone_when_read = place(tmp_path, "0.json", A, written_at=1)
    async for _ in looking.batches():
        gone_when_listed.unlink(missing_ok=True)
        gone_when_read.unlink(missing_ok=True)
    assert len(looking.tree()) == MOST_ITEMS - 1
    assert all(name.startswith("done/") for name in looking.tree())
