"""Other ways to poll the same watches, to run in processes of their own: a bare loop, and a task for each watch."""

import asyncio
import multiprocessing
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from hashlib import blake2b
from itertools import cycle

import aiohttp
import uvloop

from bench.polls import CONCURRENCY, HEADERS
from watcher.core.wire import Request, Response
from watcher.transport import open_transport

WITHIN = timedelta(seconds=15)


async def bare(url: str, *, watches: int) -> None:
    """Ask for one after the other, and begin again; so many at a time."""
    numbers = cycle(range(watches))

    async def ask(session: aiohttp.ClientSession) -> None:
        while True:
            async with session.get(f"{url}/report/v1/message-log/r{next(numbers)}", headers=HEADERS) as answer:
                await answer.read()

    timeout = aiohttp.ClientTimeout(total=WITHIN.total_seconds())
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as tasks:
        for _ in range(CONCURRENCY):
            tasks.create_task(ask(session))


async def task_each(url: str, *, watches: int, interval: float) -> None:
    """Have a task for each watch that asks and sleeps; as many at a time, over our transport."""
    turn = asyncio.Semaphore(CONCURRENCY)
    async with open_transport() as transport, asyncio.TaskGroup() as tasks:

        async def watch(number: int) -> None:
            known = b""
            while True:
                async with turn:
                    request = Request("GET", f"{url}/report/v1/message-log/r{number}", HEADERS)
                    answer = await transport.send(request, within=WITHIN)
                if isinstance(answer, Response) and (digest := blake2b(answer.body, digest_size=16).digest()) != known:
                    known = digest
                await asyncio.sleep(interval)

        for number in range(watches):
            tasks.create_task(watch(number))


@contextmanager
def elsewhere(call: Callable[[], Coroutine[None, None, None]]) -> Iterator[int]:
    """Run one in a process of its own until the block ends; yields the process."""
    process = multiprocessing.get_context("spawn").Process(target=partial(_run, call), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        yield process.pid
    finally:
        process.terminate()
        process.join()


def _run(call: Callable[[], Coroutine[None, None, None]]) -> None:
    uvloop.run(call())
