"""Where the time of an unchanged poll goes: a bare aiohttp loop, and ours layer by layer, in turn in one process.

Processor time, because it bears other work on the machine; each is compared with the bare loop of the same round. All
ask with the same concurrency, of the same server, under a timeout.
"""

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import aiohttp
import anyio
import structlog
import uvloop

from bench.peer import answering
from bench.polls import CONCURRENCY, HEADERS, WATCHES, polling, section
from watcher.ask import Answered, Asker
from watcher.clock import SystemClock
from watcher.core.wire import NoAnswer, Request, Response
from watcher.ports import Transport
from watcher.transport import open_transport

ROUNDS = 12
SECONDS = 0.4
WITHIN = timedelta(seconds=15)


@dataclass
class Layer:
    """One way to ask: it asks while its gate is open, and counts."""

    name: str
    asked: int = 0
    gate: anyio.Event = field(default_factory=anyio.Event)
    costs: list[float] = field(default_factory=list)

    def counted(self, ask: Callable[[], Awaitable[object]]) -> Callable[[], Coroutine[None, None, None]]:
        async def loop() -> None:
            while True:
                await self.gate.wait()
                await ask()
                self.asked += 1

        return loop

    async def measure(self) -> None:
        """Let it ask for a while, and note what one question cost, in seconds."""
        self.gate.set()
        await anyio.sleep(SECONDS / 8)
        asked, began = self.asked, time.process_time()
        await anyio.sleep(SECONDS)
        self.costs.append((time.process_time() - began) / (self.asked - asked))
        self.gate = anyio.Event()
        await anyio.sleep(SECONDS / 8)


class Gated:
    """A transport that lets through only while its layer's gate is open, and counts for it."""

    def __init__(self, transport: Transport, layer: Layer) -> None:
        self._transport = transport
        self._layer = layer

    async def send(self, request: Request, *, within: timedelta) -> Response | NoAnswer:
        await self._layer.gate.wait()
        self._layer.asked += 1
        return await self._transport.send(request, within=within)


@asynccontextmanager
async def layers(url: str) -> AsyncIterator[list[Layer]]:
    """Have every layer ready, behind its gate."""
    bare, transport, asker, poller = (Layer(name) for name in ("bare aiohttp", "transport", "asker", "poller"))
    path = f"{url}/report/v1/message-log/r"
    request = Request("GET", path, HEADERS)
    async with AsyncExitStack() as opened, anyio.create_task_group() as tasks:
        timeout = aiohttp.ClientTimeout(total=WITHIN.total_seconds())
        connector = aiohttp.TCPConnector(limit=0)
        session = await opened.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=timeout))
        own = [await opened.enter_async_context(open_transport()) for _ in range(3)]
        asking = Asker(section(url), transport=own[1], clock=SystemClock())
        seen = await asking.poll({"request_id": "r"}, digest=None)
        assert isinstance(seen, Answered)

        async def get() -> None:
            async with session.get(path, headers=HEADERS) as answer:
                await answer.read()

        for _ in range(CONCURRENCY):
            tasks.start_soon(bare.counted(get))
            tasks.start_soon(transport.counted(lambda: own[0].send(request, within=WITHIN)))
            tasks.start_soon(asker.counted(lambda: asking.poll({"request_id": "r"}, digest=seen.digest)))
        running = await opened.enter_async_context(polling(url, transport=Gated(own[2], poller)))
        tasks.start_soon(running.run)
        poller.gate.set()
        while poller.asked < 2 * WATCHES:  # by then each was seen, and its digest is known
            await anyio.sleep(0.05)
        poller.gate = anyio.Event()
        yield [bare, transport, asker, poller]
        tasks.cancel_scope.cancel()


async def measure(url: str) -> None:
    """Print a line for each layer."""
    async with layers(url) as all_of_them:
        for _ in range(ROUNDS):
            for layer in all_of_them:
                await layer.measure()
        bare = all_of_them[0].costs
        for layer in all_of_them:
            ratio = statistics.median(theirs / ours for theirs, ours in zip(bare, layer.costs, strict=True))
            print(f"{layer.name:<14}{statistics.median(layer.costs) * 1e6:>8.1f} µs{ratio:>8.2f}")


def main() -> None:
    """Print what an unchanged poll costs, layer by layer, and each one's speed as a part of the bare loop's."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
    with answering() as url:
        uvloop.run(measure(url))
