"""Durable signed deliveries a second, against a bare aiohttp POST loop of the same bytes and concurrency.

One webhook, 10,000 watches. As in production: signed, over the transport of deliveries, each attempt one line of JSON
in the log, which goes to /dev/null, and garbage collected as seldom. What one takes of the processor is printed too:
where others keep the machine busy, that says more than the rates.
"""

import gc
import time
from datetime import UTC, datetime

import aiohttp
import anyio

from bench.counted import Counted
from bench.logged import logged
from bench.world import changed, store_of
from watcher.app import SELDOM
from watcher.attempt import MOST_BODY
from watcher.clock import SystemClock
from watcher.core.delivery import Delivery
from watcher.core.model import Watch
from watcher.core.webhook import post
from watcher.core.webhook_section import Webhook
from watcher.deliver import Pump
from watcher.stores.sqlite import SqliteStore
from watcher.transport import open_transport

CONCURRENCY = 64
WATCHES = 10_000
EVENTS = 5  # of each watch
SECONDS = 4.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def webhook(url: str) -> Webhook:
    return Webhook.model_validate({"url": url, "secret": SECRET, "concurrency": CONCURRENCY})


async def bare(url: str) -> float:
    """Return POSTs a second of a loop that signs and sends the same event, and does nothing else."""
    gc.set_threshold(*SELDOM)
    done, hook = 0, webhook(url)
    async with store_of(1) as store:
        (watch,) = await watches_of(store, number=1)
        (event, *_) = changed(watch, to=()).events
    delivery = Delivery(1, "ops", event, 0, datetime.now(UTC))

    async def send(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while True:
            request = post([delivery], hook, now=datetime.now(UTC), agent="bench")
            async with session.post(url, data=request.body, headers=request.headers) as answer:
                await answer.read()
            done += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        used = time.thread_time()
        with anyio.move_on_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                for _ in range(CONCURRENCY):
                    tasks.start_soon(send, session)
        tell("bare", used, number=done)
    return done / SECONDS


async def ours(url: str) -> float:
    """Return deliveries a second of a `Pump`, from a backlog of five events of each watch."""
    gc.set_threshold(*SELDOM)
    with logged(SECRET):
        async with store_of(WATCHES) as store:
            await fill(store)
            return await delivered(store, url)


async def watches_of(store: SqliteStore, *, number: int) -> list[Watch]:
    """Return watches as their owner has them."""
    found: list[Watch] = []
    row = 0
    while len(found) < number:
        page = await store.load(after=row, limit=1000)
        row = page[-1].row
        found += [watch for opened in page if (watch := await store.watch(opened.uid))]
    return found


async def fill(store: SqliteStore) -> None:
    """Commit the backlog."""
    watches = await watches_of(store, number=WATCHES)
    for _ in range(EVENTS):
        steps = [changed(watch, to=("ops",)) for watch in watches]
        for first in range(0, WATCHES, 500):
            assert not any(await store.commit(steps[first : first + 500]))
        watches = [step.watch for step in steps]


async def delivered(store: SqliteStore, url: str) -> float:
    """Deliver for some seconds, the first of which does not count."""
    async with open_transport(glance=MOST_BODY) as transport:
        counted = Counted(transport)
        endpoint = await store.endpoint("ops", ordered=True)
        pump = Pump(webhook(url), endpoint=endpoint, store=store, transport=counted, clock=SystemClock(), agent="bench")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pump.run)
            await anyio.sleep(1)
            before, used = counted.sent, time.thread_time()
            await anyio.sleep(SECONDS)
            number = counted.sent - before
            tell("watcher", used, number=number)
            tasks.cancel_scope.cancel()
    return number / SECONDS


def tell(what: str, used: float, *, number: int) -> None:
    """Print what one took of the event loop's thread, since the thread had used so many seconds."""
    each = (time.thread_time() - used) / max(number, 1)
    print(f"  {what}: {each * 1e6:.0f} µs of the event loop's thread for each", flush=True)
