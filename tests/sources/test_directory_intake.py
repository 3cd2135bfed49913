"""A folder with the loop that reads it and a real store: what is in the store, and what is in the folder."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import anyio
import orjson
import pytest
from drops import Looking, place
from structlog.testing import capture_logs
from worlds import SECTION, turning

import watcher.intake
from watcher.bell import Bell
from watcher.clock import SystemClock
from watcher.core.errors import StoreError
from watcher.intake import Desk, Intake
from watcher.ports import Batch
from watcher.providers.d7 import D7
from watcher.sources import dropped
from watcher.sources.directory import DirectorySource
from watcher.stores.sqlite import SqliteStore
from watcher.stores.sqlite_records import SqliteRecords


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "watcher.db")
    await store.lease()
    yield store
    await store.close()


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(dropped.Dropped, "is_finished", lambda self, quiet: True)
    spool = tmp_path / "spool"
    spool.mkdir()
    return spool


def intake(source: DirectorySource, store: SqliteStore) -> Intake:
    desk = Desk({"d7": D7.model_validate(SECTION)}, frozenset({"ops"}), SystemClock())
    return Intake("inbox", source, desk=desk, store=store, feed=Bell())


def order(id: str, operation: str = "9d056a09") -> bytes:
    return orjson.dumps({"id": id, "provider": "d7", "params": {"request_id": operation}})


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not is_so():
            await anyio.sleep(0.01)


async def until_moved(spool: Path) -> None:
    await until(lambda: not list(spool.glob("*.json*")))


async def ids(store: SqliteStore) -> list[str]:
    return [one.id for one in await store.load(after=0, limit=10_000)]


async def test_poison_is_kept_as_rejected_moved_aside_with_its_reason_and_stops_nothing(
    spool: Path, store: SqliteStore, tmp_path: Path
) -> None:
    place(spool, "rubbish.json", b"rubbish", written_at=1)
    place(spool, "shape.json", b'{"provider": "d7"}', written_at=2)
    place(spool, "large.json", b"x" * 5_000_000, written_at=3)
    place(spool, "latin.jsonl", b'{"id":"\xe4"}\n', written_at=4)
    place(spool, "conflict.jsonl", order("a") + b"\n" + order("a", "another"), written_at=5)
    (spool / "link.json").symlink_to("/etc/passwd")
    async with turning(intake(DirectorySource(spool), store)):
        await until_moved(spool)
        place(spool, "sound.json", order("b"))
        await until_moved(spool)

    assert await ids(store) == ["a", "b"]
    records = await SqliteRecords.open(tmp_path / "watcher.db")
    kept = {row.where: row for row in await records.rejected()}
    await records.close()
    reasons = {where: row.reason.partition(": ")[0] for where, row in kept.items()}
    assert reasons == {
        "conflict.jsonl:2": "conflict",
        "large.json:1": "expected at most 256 KiB, got more",
        "latin.jsonl:1": "expected one JSON object",
        "link.json": "expected a file, got a symbolic link",
        "rubbish.json:1": "expected one JSON object",
        "shape.json:1": "params",
    }
    assert len(kept["large.json:1"].raw) == 256 * 1024 + 1
    tree = Looking(spool).tree()
    told = {where: f"{where}: {row.reason}\n".encode() for where, row in kept.items()}
    assert {where: tree[f"rejected/{where.partition(':')[0]}.error"] for where in told} == told
    assert {name for name in tree if not name.endswith(".error")} == {
        "done/sound.json",
        *(f"rejected/{where.partition(':')[0]}" for where in told),
    }


class Crashing(DirectorySource):
    """Ends between the store's commit and the move."""

    async def acknowledge(self, batch: Batch, *, refused: Mapping[int, str]) -> None:
        raise OSError("the lights went out")


async def test_a_file_that_was_stored_but_not_moved_is_read_again_which_changes_nothing(
    spool: Path, store: SqliteStore
) -> None:
    orders = place(spool, "orders.jsonl", order("a") + b"\n" + order("b"))
    with capture_logs() as logs:
        async with turning(intake(Crashing(spool), store)):
            await until(lambda: len(logs) == 3)
        assert orders.exists()
        async with turning(intake(DirectorySource(spool), store)):
            await until_moved(spool)

    assert [(line["event"], line.get("result")) for line in logs] == [
        ("request.accepted", "new"),
        ("request.accepted", "new"),
        ("source.down", None),
        ("request.accepted", "known"),
        ("request.accepted", "known"),
    ]
    assert await ids(store) == ["a", "b"]
    assert list(Looking(spool).tree()) == ["done/orders.jsonl"]


async def test_what_the_store_could_not_take_comes_again(
    spool: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        monkeypatch.setattr(store, "add", add)
        raise StoreError("the disk is full")

    add = store.add
    monkeypatch.setattr(store, "add", fail)
    monkeypatch.setattr(watcher.intake, "FIRST_WAIT", 0.01)
    place(spool, "a.json", order("a"))
    async with turning(intake(DirectorySource(spool), store)):
        await until_moved(spool)
    assert await ids(store) == ["a"]
    assert list(Looking(spool).tree()) == ["done/a.json"]


async def test_a_thousand_files_at_once_are_a_thousand_watches_in_the_order_in_which_they_were_written(
    spool: Path, store: SqliteStore
) -> None:
    for number in range(1000):
        place(spool, f"{number}.json", order(f"order-{number}"), written_at=number)
    async with turning(intake(DirectorySource(spool), store)):
        await until_moved(spool)
    assert await ids(store) == [f"order-{number}" for number in range(1000)]
