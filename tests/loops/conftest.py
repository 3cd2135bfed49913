from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from fakes import SpiedStore, real
from outboxes import Outbox
from virtual import VirtualClock, VirtualLoop

from watcher.stores import sqlite_thread
from watcher.stores.sqlite import SqliteStore


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, type[VirtualLoop]]:
    return {"virtual": VirtualLoop}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SpiedStore]:
    """A store on a file that is owned by the test; nobody else comes to share a write, so it does not linger."""
    monkeypatch.setattr(sqlite_thread, "LINGER", 0.0)
    opened = await real(SqliteStore.open(tmp_path / "watcher.db"))
    spied = SpiedStore(opened)
    await spied.lease()
    yield spied
    await real(opened.close())


@pytest.fixture
def outbox(store: SpiedStore, clock: VirtualClock) -> Outbox:
    return Outbox(store, clock)
