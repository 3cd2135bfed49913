"""Durable signed deliveries a second, against a bare aiohttp POST loop of the same bytes and concurrency."""

from datetime import UTC, datetime

import aiohttp
import anyio

from bench.counted import Counted
from bench.world import changed, store_of
from watcher.app import SystemClock
from watcher.core.delivery import Delivery
from watcher.core.webhook import Webhook, post
from watcher.deliver import Pump
from watcher.transport import open_transport

CONCURRENCY = 64
WATCHES = 10_000
SECONDS = 4.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def webhook(url: str) -> Webhook:
    return Webhook.model_validate({"url": url, "secret": SECRET, "concurrency": CONCURRENCY})


async def bare(url: str) -> float:
    """Return POSTs a second of a loop that signs and sends the same event, and does nothing else."""
    done, hook = 0, webhook(url)
    async with store_of(1) as store:
        (opened,) = await store.load(after=0, limit=1)
        watch = await store.watch(opened.uid)
        assert watch is not None
        (event, *_) = changed(watch, to=()).events
    delivery = Delivery(1, "ops", event, 0, datetime.now(UTC))

    async def send(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while True:
            request = post(delivery, hook, now=datetime.now(UTC), agent="bench")
            async with session.post(url, data=request.body, headers=request.headers) as answer:
                await answer.read()
            done += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        with anyio.move_on_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                for _ in range(CONCURRENCY):
                    tasks.start_soon(send, session)
    return done / SECONDS


async def ours(url: str) -> float:
    """Return deliveries a second of a `Pump`, from a backlog of one event for each watch and more as it goes."""
    async with store_of(WATCHES) as store:
        uids = [row.uid for first in range(0, WATCHES, 1000) for row in await store.load(after=first, limit=1000)]
        for _ in range(5):
            for first in range(0, WATCHES, 500):
                watches = [await store.watch(uid) for uid in uids[first : first + 500]]
                await store.commit([changed(watch, to=("ops",)) for watch in watches if watch])
        async with open_transport() as transport:
            counted = Counted(transport)
            pump = Pump("ops", webhook(url), store=store, transport=counted, clock=SystemClock(), agent="bench")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pump.run)
                await anyio.sleep(1)
                before = counted.sent
                await anyio.sleep(SECONDS)
                rate = (counted.sent - before) / SECONDS
                tasks.cancel_scope.cancel()
    return rate
