"""What holds in every test: nothing of ours blocks the event loop, and properties are tried in the same way."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings
from scale import scaled

EXAMPLES = scaled(50, long=1_000)
settings.register_profile("local", deadline=None, max_examples=EXAMPLES)
settings.register_profile("build", deadline=None, max_examples=EXAMPLES, derandomize=True)
settings.load_profile("build" if os.environ.get("CI") else "local")

MEMORY = Path("/dev/shm")  # noqa: S108  # in it pytest makes a folder of the user's own
ENOUGH = 1 << 30  # bytes of it


def pytest_configure() -> None:
    """Let tests write into memory if there is enough: a disk is slow to be sure, and no test pulls the plug."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ENOUGH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    os.environ.pop("PYTHONUNBUFFERED", None)  # it hides what a program fails to write as it ends


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Have two workers more than there are cores: for much of their time tests wait, for daemons and for servers."""
    return len(os.sched_getaffinity(0)) + 2


@pytest.fixture(scope="session", autouse=True)
def _nothing_blocks_the_loop() -> Iterator[None]:
    """Raise where our code blocks in the event loop; tests themselves may."""
    with blockbuster_ctx("watcher") as watched:
        # It counts lines in whatever thread runs, and waits for another one that does.
        watched.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", "lock_data")
        # It looks for files of passwords and keys as it connects, which is seldom.
        for call in ("os.stat", "os.path.abspath"):
            watched.functions[call].can_block_in("asyncpg/connect_utils.py", "_parse_connect_dsn_and_args")
        yield


@pytest.fixture
def responses(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses.aioresponses]:
    """Answers of aiohttp without a socket. aioresponses 0.7.9 does not know of aiohttp 3.14's `stream_writer`."""
    complete = partial(aiohttp.ClientResponse, stream_writer=Mock(output_size=0))
    monkeypatch.setattr(aioresponses.core, "ClientResponse", complete)
    with aioresponses.aioresponses() as answers:
        yield answers
