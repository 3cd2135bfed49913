"""How long after its commit the first byte of an event reaches its webhook: one webhook, and nine beside a dead one.

As in production: signed, over the transport of deliveries, each event and each attempt a line of JSON in the log, which
goes to /dev/null. The receiver is another process.
"""

import os
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from bench.deliveries import SECRET, watches_of
from bench.noting import noted, noting
from bench.world import changed, store_of
from watcher.attempt import MOST_BODY
from watcher.clock import SystemClock
from watcher.core.model import Watch
from watcher.core.webhook_section import Webhook
from watcher.deliver import Pump
from watcher.log import configure
from watcher.record import tell
from watcher.stores.sqlite import SqliteStore
from watcher.transport import open_transport

RATE = 1000  # events a second
SECONDS = 8.0
PAIRS = 3
NINE = [f"hook{number}" for number in range(9)]
TICK = 0.005  # so often some are committed at once


@asynccontextmanager
async def pumping(store: SqliteStore, url: str, names: Sequence[str]) -> AsyncIterator[list[Pump]]:
    """Run a pump for each webhook."""
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        pumps = []
        for name in names:
            transport = await stack.enter_async_context(open_transport(glance=MOST_BODY))
            endpoint = await store.endpoint(name, ordered=True)
            webhook = Webhook.model_validate({"url": f"{url}/{name}", "secret": SECRET})
            pumps.append(
                Pump(webhook, endpoint=endpoint, store=store, transport=transport, clock=SystemClock(), agent="bench")
            )
            tasks.start_soon(pumps[-1].run)
        yield pumps
        tasks.cancel_scope.cancel()


async def latencies(url: str, names: Sequence[str], *, rate: float) -> list[float]:
    """Commit an event of one watch after the other; return how long each took to each webhook that answers."""
    committed: dict[str, float] = {}
    number = int(rate * SECONDS)
    async with store_of(number) as store, pumping(store, url, names) as pumps:

        async def commit(watch: Watch) -> None:
            step = changed(watch, to=tuple(names))
            (failure,) = await store.commit([step])
            assert failure is None
            committed.update({event.id: time.monotonic() for event in step.events})
            for pump in pumps:
                pump.wake()
            tell(watch, step)

        watches = await watches_of(store, number=number)
        begun, began_at = 0, time.monotonic()
        async with anyio.create_task_group() as tasks:
            while begun < number:
                await anyio.sleep(TICK)
                due = min(int((time.monotonic() - began_at) * rate), number)
                for watch in watches[begun:due]:
                    tasks.start_soon(commit, watch)
                begun = due
        await anyio.sleep(1)
        notes = await noted(url)
    return [notes[f"/{name} {event}"] - at for event, at in committed.items() for name in names if name != "hanging"]


def measure(*names: str, rate: float) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds, on a fresh event loop."""
    with noting() as url, open(os.devnull, "wb") as log:  # noqa: PTH123  # it is no file
        configure(format="json", stream=log, secrets=[SECRET])
        found = anyio.run(lambda: latencies(url, names, rate=rate), backend_options={"use_uvloop": True})
    percentiles = statistics.quantiles(found, n=100)
    return percentiles[49] * 1000, percentiles[98] * 1000


def main() -> None:
    """Print both measurements; of the second some pairs in turn, because the machine is noisy."""
    p50, p99 = measure("one", rate=RATE)
    print(f"committed to first byte, {RATE:,} events/s to one webhook: p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)
    for _ in range(PAIRS):
        (_, alone), (_, beside) = measure(*NINE, rate=RATE / 10), measure("hanging", *NINE, rate=RATE / 10)
        print(
            f"nine webhooks, {RATE // 10} events/s to each: p99 {alone:.1f} ms, "
            f"beside one that hangs {beside:.1f} ms ({beside / alone - 1:+.0%})",
            flush=True,
        )


if __name__ == "__main__":
    main()
