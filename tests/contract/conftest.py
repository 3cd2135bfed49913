from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from store_values import BACKENDS, Backend

from watcher.store import Store


@pytest.fixture(params=BACKENDS)
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    one = BACKENDS[request.param](tmp_path)
    yield one
    await one.close()


@pytest.fixture
async def store(backend: Backend) -> Store:
    """A store that is owned by the test."""
    opened = await backend.store()
    await opened.lease()
    return opened
