"""What holds in every test: nothing of ours blocks the event loop, and properties are tried in the same way."""

import os
from collections.abc import Iterator
from functools import partial
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

settings.register_profile("local", deadline=None)
settings.register_profile("build", deadline=None, derandomize=True)
settings.load_profile("build" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session", autouse=True)
def _nothing_blocks_the_loop() -> Iterator[None]:
    """Raise where our code blocks in the event loop; tests themselves may."""
    with blockbuster_ctx("watcher") as watched:
        # It counts lines in whatever thread runs, and waits for another one that does.
        watched.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", "lock_data")
        yield


@pytest.fixture
def responses(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses.aioresponses]:
    """Answers of aiohttp without a socket. aioresponses 0.7.9 does not know of aiohttp 3.14's `stream_writer`."""
    complete = partial(aiohttp.ClientResponse, stream_writer=Mock(output_size=0))
    monkeypatch.setattr(aioresponses.core, "ClientResponse", complete)
    with aioresponses.aioresponses() as answers:
        yield answers
