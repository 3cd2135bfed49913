"""What the measurements need of the product: a store on disk with watches in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from watcher.core.lifecycle import Terms, advance, begin
from watcher.core.model import Observation, State, Step, Watch
from watcher.core.outcome import Seen
from watcher.core.request import WatchRequest
from watcher.core.rows import Arrival
from watcher.core.schedule import Pace
from watcher.store import Store
from watcher.stores.sqlite import SqliteStore

TERMS = Terms(Pace(min="1s", max="5m"), timedelta(seconds=60), timedelta(minutes=5))


@asynccontextmanager
async def store_of(watches: int) -> AsyncIterator[SqliteStore]:
    """Open a store, owned, with so many open watches of `d7`."""
    with TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder, "watcher.db"))
        try:
            await fill(store, watches)
            yield store
        finally:
            await store.close()


async def fill(store: Store, watches: int) -> None:
    """Own a store that is new, and add so many open watches of `d7`."""
    await store.lease()
    now = datetime.now(UTC)
    for first in range(0, watches, 1000):
        requests = [
            WatchRequest(id=f"w{n}", provider="d7", params={"request_id": "r"})
            for n in range(first, min(first + 1000, watches))
        ]
        made = [begin(one, uid=one.watch_id, now=now, deadline=timedelta(days=3)) for one in requests]
        await store.add([Arrival("bench", watch.id, b"", watch=watch) for watch in made])


def changed(watch: Watch, *, to: tuple[str, ...]) -> Step:
    """Return the step of a poll that saw one change, addressed to these webhooks."""
    status = "IN_PROGRESS" if watch.snapshot is None else f"STEP_{watch.sequence}"
    seen = Seen(Observation(status, State.IN_PROGRESS))
    step = advance(watch, seen, now=datetime.now(UTC), terms=TERMS, dice=0.5)
    return replace(step, events=tuple(replace(event, to=to) for event in step.events))
