"""What the commands about deliveries find: a configuration, and a store with deliveries done, stuck and lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from commands import Desk, Done
from store_values import a_watch, added, head_of, settled, told

from watcher.core.delivery import Attempt, Decision, Settled
from watcher.stores.sqlite import SqliteStore

CONFIG = """
[providers.d7]
type = "d7"
token = "env:T_D7"

[webhooks.ops]
url = "https://example.com/ops"
unsigned = true
events = ["watch.status.*", "message.*"]
providers = ["d7"]
"""


def a_desk(folder: Path) -> Desk:
    """Make a folder with a configuration."""
    made = Desk(folder)
    made.config.write_text(CONFIG)
    return made


@asynccontextmanager
async def a_store(desk: Desk) -> AsyncIterator[SqliteStore]:
    """The store of a daemon that runs: one delivery done, one that failed twice and waits, one given up."""
    opened = await SqliteStore.open(desk.database)
    await opened.lease()
    for name in ("done", "stuck", "lost"):
        [watch] = await added(opened, a_watch(name))
        await told(opened, watch, events=2 if name == "stuck" else 1)
    await opened.settle([settled(await head_of(opened, watch="done"), Decision.DELIVERED)])
    for _ in range(2):
        stuck = await head_of(opened, watch="stuck")
        await opened.settle([settled(stuck, Decision.RETRY, next_at=stuck.due_at + timedelta(seconds=30))])
    lost = await head_of(opened, watch="lost")
    attempt = Attempt(1, lost.due_at, 15.0, error="timeout: no whole answer in time")
    await opened.settle([Settled(lost, Decision.EXHAUSTED, attempt)])
    yield opened
    await opened.close()


def said(done: Done) -> tuple[int, str, str]:
    return done.status, done.out, done.err
