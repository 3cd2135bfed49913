"""A whole crew in which one loop hangs: it is named, and the watchdog is not fed; while all are idle it is."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple, TypeVar

import anyio
import orjson
import pytest
from fakes import Answer, ScriptedSource, ScriptedTransport, SpiedStore
from notified import Ear, listening
from virtual import VirtualClock
from worlds import SECTION, all_sent

from watcher.config import Config
from watcher.crew import Crew
from watcher.errand import desk_of
from watcher.ports import Batch, Item
from watcher.sources.file import FileSection
from watcher.systemd import Standing, keep_told

T = TypeVar("T")

FOR_EVER = 1000.0
LONG_ENOUGH = 200.0


class Usage(NamedTuple):
    free: int


async def at_once(call: Callable[..., T], *arguments: object) -> T:
    """Do without a thread, which virtual time would not wait for."""
    return call(*arguments)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> ScriptedSource:
    scripted = ScriptedSource()
    monkeypatch.setattr(FileSection, "source", lambda _: scripted)
    monkeypatch.setattr("watcher.room.run_sync", at_once)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**9))
    return scripted


@pytest.fixture
def ear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    with listening(tmp_path, monkeypatch) as ear:
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        yield ear


def fed(ear: Ear) -> int:
    """Count how often the watchdog was fed since it was asked last."""
    return sum("WATCHDOG=1" in told for told in ear.heard())


@asynccontextmanager
async def at_work(store: SpiedStore, clock: VirtualClock, folder: Path) -> AsyncIterator[Crew]:
    """Have a crew of one source, one provider and one webhook, and systemd told of it."""
    config = Config.model_validate(
        {
            "watcher": {"state": f"sqlite:{folder}/watcher.db", "listen": ""},
            "sources": {"inbox": {"type": "file", "path": "-"}},
            "providers": {"d7": {**SECTION, "type": "d7", "timeout": "15s"}},
            "webhooks": {"ops": {"url": "https://hooks.example/ops", "unsigned": True, "timeout": "15s"}},
        }
    )
    crew = Crew(
        config,
        desk=desk_of(config, clock=clock),
        store=store,
        polls=ScriptedTransport(clock, otherwise=all_sent),
        posts=lambda _: nullcontext(ScriptedTransport(clock, otherwise=lambda _: Answer(204))),
        clock=clock,
        told=lambda: None,
        lease=await store.renew(),
    )
    async with crew.at_work(), anyio.create_task_group() as telling:
        await crew.begin(config)
        telling.start_soon(keep_told, lambda: Standing(crew.readings(), crew.stuck))
        yield crew
        telling.cancel_scope.cancel()


def request(operation: str) -> Batch:
    raw = orjson.dumps({"provider": "d7", "params": {"request_id": operation}})
    return Batch((Item(raw, "watches.jsonl:1"),), b"position 1")


@pytest.mark.parametrize(
    ("call", "loop"),
    [
        ("add", "take inbox"),
        ("watch", "poll d7"),
        ("commit", "poll d7"),
        ("heads", "deliver ops"),
        ("settle", "deliver ops"),
        ("renew", "lease"),
        ("intents", "feed"),
        ("prune", "keep"),
    ],
)
async def test_a_loop_that_hangs_is_named_and_the_watchdog_is_fed_no_more(
    call: str,
    loop: str,
    store: SpiedStore,
    clock: VirtualClock,
    source: ScriptedSource,
    ear: Ear,
    tmp_path: Path,
) -> None:
    async with at_work(store, clock, tmp_path) as crew:
        store.slow[call] = FOR_EVER
        source.push(request("a"))
        await anyio.sleep(LONG_ENOUGH)
        assert fed(ear) > 5
        assert crew.stuck == [loop]
        await anyio.sleep(LONG_ENOUGH)
        assert fed(ear) == 0


async def test_while_nobody_has_anything_to_do_the_watchdog_is_fed(
    store: SpiedStore, clock: VirtualClock, source: ScriptedSource, ear: Ear, tmp_path: Path
) -> None:
    async with at_work(store, clock, tmp_path) as crew:
        await anyio.sleep(LONG_ENOUGH)
        assert fed(ear) > 5  # and then the socket was full
        await anyio.sleep(40)
        assert (crew.stuck, fed(ear)) == ([], 8)
