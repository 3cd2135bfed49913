"""How long after its commit the first byte of an event reaches its webhook: of one, and of nine of ten, the tenth dead.

As in production: signed, over the transport of deliveries, each event and each attempt a line of JSON in the log, which
goes to /dev/null. The receiver is another process.
"""

import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from bench.deliveries import SECRET, watches_of
from bench.logged import logged
from bench.noting import noted, noting
from bench.world import changed, store_of
from watcher.attempt import MOST_BODY
from watcher.clock import SystemClock
from watcher.core.model import Watch
from watcher.core.webhook_section import Webhook
from watcher.deliver import Pump
from watcher.record import tell
from watcher.stores.sqlite import SqliteStore
from watcher.transport import open_transport

RATE = 1000  # events a second
SECONDS = 8.0
PAIRS = 3
NINE = [f"hook{number}" for number in range(9)]
TENTH = ("well", "hanging")
TICK = 0.005  # so often some are committed at once


@asynccontextmanager
async def pumping(store: SqliteStore, urls: Mapping[str, str]) -> AsyncIterator[list[Pump]]:
    """Run a pump for each webhook."""
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        pumps = []
        for name, url in urls.items():
            transport = await stack.enter_async_context(open_transport(glance=MOST_BODY))
            endpoint = await store.endpoint(name, ordered=True)
            webhook = Webhook.model_validate({"url": url, "secret": SECRET})
            pump = Pump(
                webhook, endpoint=endpoint, store=store, transport=transport, clock=SystemClock(), agent="bench"
            )
            tasks.start_soon(pump.run)
            pumps.append(pump)
        yield pumps
        tasks.cancel_scope.cancel()


async def tell_evenly(
    store: SqliteStore, watches: Sequence[Watch], *, pumps: Sequence[Pump], to: Sequence[str], rate: float
) -> dict[str, float]:
    """Commit an event of one watch after the other, so many a second; return when each was committed, by id."""
    committed: dict[str, float] = {}

    async def commit(watch: Watch) -> None:
        step = changed(watch, to=tuple(to))
        (failure,) = await store.commit([step])
        assert failure is None
        committed.update({event.id: time.monotonic() for event in step.events})
        for pump in pumps:
            pump.wake()
        tell(watch, step)

    begun, began_at = 0, time.monotonic()
    async with anyio.create_task_group() as tasks:
        while begun < len(watches):
            await anyio.sleep(TICK)
            due = min(int((time.monotonic() - began_at) * rate), len(watches))
            for watch in watches[begun:due]:
                tasks.start_soon(commit, watch)
            begun = due
    return committed


async def first_bytes(url: str, committed: Mapping[str, float], *, to: Sequence[str]) -> list[float]:
    """Return how many seconds after its commit each event reached each webhook, once all have."""
    with anyio.fail_after(60):
        while (
            missing := {f"/{name} {event}" for name in to for event in committed} - (notes := await noted(url)).keys()
        ):
            await anyio.sleep(0.2 + len(missing) / 10_000)
    return [notes[f"/{name} {event}"] - at for event, at in committed.items() for name in to]


async def latencies(url: str, names: Sequence[str], *, rate: float) -> list[float]:
    """Tell several webhooks of one watch after the other; the one that may hang is not counted."""
    async with store_of(int(rate * SECONDS)) as store:
        watches = await watches_of(store, number=int(rate * SECONDS))
        async with pumping(store, {name: f"{url}/{name}" for name in names}) as pumps:
            committed = await tell_evenly(store, watches, pumps=pumps, to=names, rate=rate)
            return await first_bytes(url, committed, to=[name for name in names if name not in TENTH])


def measure(*names: str, rate: float) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds, on a fresh event loop."""
    with noting() as url, logged(SECRET):
        found = anyio.run(lambda: latencies(url, names, rate=rate), backend_options={"use_uvloop": True})
    percentiles = statistics.quantiles(found, n=100)
    return percentiles[49] * 1000, percentiles[98] * 1000


def main() -> None:
    """Print both measurements; of the second some pairs in turn, because the machine is noisy."""
    p50, p99 = measure("one", rate=RATE)
    print(f"committed to first byte, {RATE:,} events/s to one webhook: p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)
    for _ in range(PAIRS):
        well, hanging = (measure(name, *NINE, rate=RATE / 10)[1] for name in TENTH)
        print(
            f"ten webhooks, {RATE // 10} events/s to each: p99 of nine is {well:.1f} ms, "
            f"and {hanging:.1f} ms while the tenth hangs ({hanging / well - 1:+.0%})",
            flush=True,
        )


if __name__ == "__main__":
    main()
