"""Requests a second by `POST /v1/watches` to durable, one by one and in lists, against a server that drops them."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import anyio
from aiohttp import web

from watcher.bell import Bell
from watcher.clock import SystemClock
from watcher.demo.pretend import serving
from watcher.http.address import Tcp
from watcher.http.backing import Backing
from watcher.http.server import HttpServer
from watcher.intake import Desk
from watcher.providers.d7 import D7
from watcher.stores.sqlite import SqliteStore
from watcher.stores.sqlite_records import SqliteRecords

REQUESTS = 6_000
CLIENTS = 50
LIST = 500
REQUEST = b'{"id": "order-%d", "provider": "d7", "params": {"request_id": "9d056a09-0fc4-4f68-9058-%012d"}}'


async def one_by_one(_url: str) -> float:
    """Return requests a second, each a POST of its own, from many clients at once."""
    return await _ours(size=1)


async def in_lists(_url: str) -> float:
    """Return requests a second in lists."""
    return await _ours(size=LIST)


async def bare_one_by_one(_url: str) -> float:
    """Return POSTs a second to a server that reads and drops them."""
    return await _bare(size=1)


async def bare_in_lists(_url: str) -> float:
    """Return requests a second in lists to a server that reads and drops them."""
    return await _bare(size=LIST)


async def _ours(*, size: int) -> float:
    with TemporaryDirectory() as folder:
        async with _served(Path(folder, "watcher.db")) as (store, url):
            rate = await _posted(url, size=size)
            assert len(await store.load(after=0, limit=REQUESTS + 1)) == REQUESTS
    return rate


async def _bare(*, size: int) -> float:
    async def drop(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=201)

    application = web.Application()
    application.router.add_post("/v1/watches", drop)
    async with serving(application) as url:
        return await _posted(url, size=size)


async def _posted(url: str, *, size: int) -> float:
    left = _bodies(size=size)

    async def post(session: aiohttp.ClientSession) -> None:
        for body in left:
            headers = {"Content-Type": "application/json"}
            async with session.post(f"{url}/v1/watches", data=body, headers=headers) as answer:
                assert answer.status in {200, 201}

    began = time.monotonic()
    async with aiohttp.ClientSession() as session, anyio.create_task_group() as clients:
        for _ in range(CLIENTS):
            clients.start_soon(post, session)
    return REQUESTS / (time.monotonic() - began)


def _bodies(*, size: int) -> Iterator[bytes]:
    for first in range(0, REQUESTS, size):
        some = b",".join(REQUEST % (number, number) for number in range(first, first + size))
        yield some if size == 1 else b"[%s]" % some


@asynccontextmanager
async def _served(database: Path) -> AsyncIterator[tuple[SqliteStore, str]]:
    store = await SqliteStore.open(database)
    records = await SqliteRecords.open(database)
    await store.lease()
    backing = Backing(
        store=store,
        records=records,
        desk=Desk({"d7": D7.model_validate({"token": "a-token"})}, frozenset(), SystemClock()),
        webhooks={},
        feed=Bell(),
        metrics=bytes,
        lack=lambda: None,
        is_well=lambda: True,
        is_ready=lambda: True,
        outlook=lambda _: None,
    )
    server = HttpServer(backing, address=Tcp("127.0.0.1", 0), token=None)
    await server.open()
    async with anyio.create_task_group() as running:
        running.start_soon(server.run)
        yield store, f"http://127.0.0.1:{server.port}"
        server.stop()
    await records.close()
    await store.close()
