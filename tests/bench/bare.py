"""The least that polls, compares, stores and delivers: aiohttp and sqlite3; of the product only how a POST is made."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import aiohttp
import orjson

from bench.deliveries import SECRET
from watcher.core.delivery import Delivery
from watcher.core.model import Event, EventType
from watcher.core.webhook import post
from watcher.core.webhook_section import Webhook

CONCURRENCY = 64
DATA = {"provider": "d7", "params": {}, "labels": {}, "from_state": "in_progress", "to_state": "in_progress"}
TABLES = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE watches (id INTEGER PRIMARY KEY, sequence INTEGER, status TEXT);
    CREATE TABLE events (id TEXT PRIMARY KEY, watch INTEGER, body BLOB);
    CREATE TABLE deliveries (event TEXT PRIMARY KEY);
"""
CHANGED = (
    "INSERT OR REPLACE INTO watches VALUES (:watch, :sequence, :status)",
    "INSERT INTO events (id, watch, body) VALUES (:event, :watch, :body)",
    "INSERT INTO deliveries (event) VALUES (:event)",
)
DELIVERED = ("DELETE FROM deliveries WHERE event = :event",)

_Write: TypeAlias = tuple[Sequence[str], Mapping[str, object]]


class Disk:
    """Writes all that waits in one transaction, on a thread."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._waiting: list[tuple[_Write, asyncio.Future[None]]] = []
        self._news = asyncio.Event()

    async def write(self, statements: Sequence[str], values: Mapping[str, object]) -> None:
        """Write, and return once it is on disk."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(((statements, values), done))
        self._news.set()
        await done

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            group, self._waiting = self._waiting, []
            await asyncio.to_thread(self._commit, [write for write, _ in group])
            for _, done in group:
                done.set_result(None)

    def _commit(self, writes: Sequence[_Write]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for statements, values in writes:
            for statement in statements:
                self._db.execute(statement, values)
        self._db.execute("COMMIT")


@dataclass(slots=True)
class Known:
    """What is known of one watch."""

    number: int
    sequence: int = 0
    status: str = ""


class Loop:
    """Asks for one watch after the other until each has succeeded, and sends what is new of it before it asks again."""

    def __init__(self, session: aiohttp.ClientSession, disk: Disk, *, provider: str, receiver: str) -> None:
        self._session = session
        self._disk = disk
        self._provider = provider
        self._webhook = Webhook.model_validate({"url": receiver, "secret": SECRET})
        self._due: deque[Known] = deque()

    async def run(self, watches: int) -> None:
        """Take so many watches through their lives."""
        self._due.extend(Known(number) for number in range(watches))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2 * CONCURRENCY):  # as many as poll and send in the daemon
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while self._due:
            known = self._due.popleft()
            url = f"{self._provider}/report/v1/message-log/r{known.number}"
            headers = {"Accept": "application/json", "Authorization": "Bearer t"}
            async with self._session.get(url, headers=headers) as answer:
                status = orjson.loads(await answer.read())["messages"][0]["status"]
            if status != known.status:
                await self._tell(known, status)
            if status != "delivered":
                self._due.append(known)

    async def _tell(self, known: Known, status: str) -> None:
        """Store and send a change."""
        before, known.status = known.status, status
        known.sequence += 1
        watch, name, now = f"w{known.number}", f"evt_{known.number}_{known.sequence}", datetime.now(UTC)
        body = orjson.dumps({"type": EventType.MESSAGE, "data": {"watch": watch, "from": before, "to": status, **DATA}})
        event = Event(name, EventType.MESSAGE, now, watch, watch, "d7", known.sequence, body)
        request = post([Delivery(1, "ops", event, 0, now)], self._webhook, now=now, agent="bench")
        values = {"watch": known.number, "sequence": known.sequence, "status": status, "event": name}
        await self._disk.write(CHANGED, {**values, "body": body})
        async with self._session.post(request.url, data=request.body, headers=request.headers) as answer:
            await answer.read()
        await self._disk.write(DELIVERED, values)


async def polled_and_delivered(folder: Path, *, provider: str, receiver: str, watches: int) -> None:
    """Take so many watches through their lives."""
    db = sqlite3.connect(folder / "bare.db", isolation_level=None, check_same_thread=False)
    db.executescript(TABLES)
    disk = Disk(db)
    timeout = aiohttp.ClientTimeout(total=15)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(disk.run())
        await Loop(session, disk, provider=provider, receiver=receiver).run(watches)
        writing.cancel()
    db.close()
