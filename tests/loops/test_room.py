"""Sources wait while there is no room for more watches, and go on by themselves; nothing is dropped."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import anyio
import orjson
import pytest
from fakes import ScriptedSource, SpiedStore
from structlog.testing import capture_logs
from virtual import VirtualClock
from worlds import SECTION, turning

from watcher.bell import Bell
from watcher.intake import Desk, Intake
from watcher.ports import Batch, Item
from watcher.providers.d7 import D7
from watcher.room import Room

T = TypeVar("T")


class Usage(NamedTuple):
    free: int


async def at_once(call: Callable[..., T], *arguments: object) -> T:
    """Do without a thread, which virtual time would not wait for."""
    return call(*arguments)


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.room.run_sync", at_once)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**9))


def batch(*ids: str) -> Batch:
    requests = [{"id": each, "provider": "d7", "params": {"request_id": each}} for each in ids]
    return Batch(tuple(Item(orjson.dumps(request), "line") for request in requests), b"position")


class World:
    def __init__(self, store: SpiedStore, clock: VirtualClock, folder: Path, *, most: int) -> None:
        self.open = 0
        self.source = ScriptedSource()
        self.room = Room(most=most, count=lambda: self.open, folder=folder)
        desk = Desk({"d7": D7.model_validate(SECTION)}, frozenset(), clock)
        self.intake = Intake("inbox", self.source, desk=desk, store=store, feed=Bell(), room=self.room)


async def test_a_source_waits_as_soon_as_too_many_watches_are_open_and_goes_on_when_some_have_ended(
    store: SpiedStore, clock: VirtualClock, tmp_path: Path
) -> None:
    world = World(store, clock, tmp_path, most=3)
    world.source.push(batch("a", "b"), batch("c", "d"), batch("e"))
    with capture_logs() as logs:
        async with turning(world.room, world.intake):
            await anyio.sleep(0.5)  # before the next look
            assert len(world.source.acknowledged) == 2
            world.open = 4
            await anyio.sleep(10)
            assert len(world.source.acknowledged) == 2
            world.open = 1
            await anyio.sleep(2)
            assert len(world.source.acknowledged) == 3

    told = [(line.get("reason"), line["result"]) for line in logs if line["event"] == "store.slow"]
    assert told == [("3 watches are open, which is watcher.max_watches", "sources wait"), (None, "sources go on")]


async def test_what_is_known_already_takes_no_room(store: SpiedStore, clock: VirtualClock, tmp_path: Path) -> None:
    world = World(store, clock, tmp_path, most=2)
    world.source.push(batch("a"), *[batch("a")] * 5)
    async with turning(world.room, world.intake):
        await anyio.sleep(0.5)
        assert len(world.source.acknowledged) == 6


async def test_a_source_waits_while_the_disk_is_nearly_full(
    store: SpiedStore, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [50_000_000]
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(free[0]))
    world = World(store, clock, tmp_path, most=100)
    async with turning(world.room):
        await anyio.sleep(0.5)
        assert world.room.lack == "less than 100 MB are free on the store's disk"
        world.source.push(batch("a"))
        async with turning(world.intake):
            await anyio.sleep(5)
            assert world.source.acknowledged == []
            free[0] = 200_000_000
            await anyio.sleep(2)
            assert len(world.source.acknowledged) == 1
    assert world.room.is_turning


async def test_a_disk_that_is_gone_is_a_lack_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Path) -> Usage:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("shutil.disk_usage", gone)
    room = Room(most=100, count=lambda: 0, folder=tmp_path / "gone")
    async with turning(room):
        await anyio.sleep(0.5)
        assert room.lack == f"{tmp_path}/gone: No such file or directory"
