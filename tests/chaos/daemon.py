"""`watcher run`, as it is, but for what only a test wants: its wall clock can be set from outside, it says how many
tasks it has, and it remembers names for a moment only, or it would not notice within a minute that they are gone.

`python -m chaos.daemon SHARED -c CONFIG run`
"""

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import watcher.app
from chaos.shared import Shared
from watcher.cli import main
from watcher.clock import SystemClock
from watcher.config import Config
from watcher.transport import client

COUNT_EVERY = 0.2
NAMES_FOR = 2  # seconds


def misled(shared: Shared) -> None:
    """Let the daemon's wall clock be off by as much as the test says."""

    def now(_: SystemClock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=shared.offset)

    SystemClock.now = now  # type: ignore[assignment,method-assign]


def counted(shared: Shared) -> None:
    """Let the daemon tell how many tasks it has."""
    run = watcher.app.run

    def count(loop: asyncio.AbstractEventLoop) -> None:
        shared.tasks = len(asyncio.all_tasks(loop))
        loop.call_later(COUNT_EVERY, count, loop)

    async def run_counted(config: Config, *, read_again: Callable[[], Config]) -> None:
        count(asyncio.get_running_loop())
        await run(config, read_again=read_again)

    watcher.app.run = run_counted


if __name__ == "__main__":
    memory = Shared(Path(sys.argv.pop(1)))
    misled(memory)
    counted(memory)
    client.DNS_SECONDS = NAMES_FOR
    main()
