"""An API in front of a real store, and a client of it: what the tests of `watcher.http` begin with."""

import io
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import aiohttp
import anyio
import orjson
from make import saying, terms, webhook
from yarl import URL

from watcher.bell import Bell
from watcher.core.lifecycle import advance, expire
from watcher.core.model import Json, State, Step, Watch
from watcher.core.outcome import Seen
from watcher.core.rows import Arrival, EventRow
from watcher.core.secret import Secret
from watcher.core.webhook_section import Webhook
from watcher.http.address import Address, Tcp, Unix
from watcher.http.backing import Backing
from watcher.http.server import HttpServer
from watcher.intake import Desk
from watcher.lately import Outlook
from watcher.providers.d7 import D7
from watcher.stores.sqlite import SqliteStore
from watcher.stores.sqlite_records import SqliteRecords

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
STAMP = "2026-11-23T12:00:00.123456Z"
ANY = Tcp("127.0.0.1", 0)
METRICS = b"# TYPE watcher_build_info gauge\nwatcher_build_info 1.0\n"
REQUEST: dict[str, Json] = {"id": "order-42", "provider": "d7", "params": {"request_id": "9d05"}}


WATCH = Watch(
    uid="uid-order-42",
    id="order-42",
    provider="d7",
    params={"request_id": "order-42"},
    submitted_at=NOW,
    accepted_at=NOW,
    deadline=timedelta(days=3),
    labels={"order": "42"},
)


class CountedRecords(SqliteRecords):
    """A store to read that knows how often it was asked for events, and can be made to fail."""

    looked = 0
    failure: Exception | None = None

    async def events(
        self, *, after: int = 0, watch: str | None = None, since: datetime | None = None, limit: int = 100
    ) -> list[EventRow]:
        if self.failure is not None:
            raise self.failure
        rows = await super().events(after=after, watch=watch, since=since, limit=limit)
        self.looked += 1
        return rows


class StandingClock:
    """`ports.Clock`: always now."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def problem(status: int, detail: str, *errors: Json) -> Json:
    """Write a problem as the API does."""
    title = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, "errors": list(errors)}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        found: Json = orjson.loads(self.body)
        return found

    @property
    def type(self) -> str:
        return self.headers["Content-Type"]


@dataclass
class Daemon:
    """A served store; `is_well` and `is_ready` are what its health says."""

    store: SqliteStore
    records: CountedRecords
    webhooks: dict[str, Webhook]
    is_well: bool = True
    is_ready: bool = True
    lack: str | None = None
    metrics: list[Exception] = field(default_factory=list)
    outlooks: dict[str, Outlook] = field(default_factory=dict)
    rung: Bell = field(default_factory=Bell)
    steps: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def backing(self) -> Backing:
        desk = Desk({"d7": D7.model_validate({"token": "a-token"})}, frozenset(self.webhooks), StandingClock())
        return Backing(
            store=self.store,
            records=self.records,
            desk=desk,
            webhooks=self.webhooks,
            feed=self.rung,
            metrics=self._metrics,
            lack=lambda: self.lack,
            is_well=lambda: self.is_well,
            is_ready=lambda: self.is_ready,
            outlook=lambda watch: self.outlooks.get(watch.id),
        )

    def _metrics(self) -> bytes:
        if self.metrics:
            raise self.metrics.pop()
        return METRICS

    async def watch(self, id: str = "order-42") -> None:
        """Add a watch; its uid is a function of its id."""
        made = replace(WATCH, id=id, uid=f"uid-{id}", params={"request_id": id})
        await self.store.add([Arrival("test", id, b"", watch=made)])

    async def change(self, id: str = "order-42", *, to: Sequence[str] = ("ops",), padding: int = 0) -> Step:
        """Let a watch have another status: one event, perhaps a large one."""
        before = await self.store.watch(f"uid-{id}")
        assert before is not None
        seen = Seen(saying(f"STEP-{next(self.steps)}{'x' * padding}", State.IN_PROGRESS))
        made = advance(before, seen, now=NOW, terms=terms(), dice=0.5)
        step = replace(made, events=tuple(replace(event, to=tuple(to)) for event in made.events))
        assert await self.store.commit([step]) == [None]
        return step

    async def finish(self, id: str = "order-42") -> None:
        """End a watch."""
        before = await self.store.watch(f"uid-{id}")
        assert before is not None
        assert await self.store.commit([expire(before, now=NOW)]) == [None]


@dataclass
class Served:
    """A daemon, its server, and a client."""

    daemon: Daemon
    backing: Backing
    server: HttpServer
    session: aiohttp.ClientSession
    url: str

    async def ask(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request; a body is sent as JSON, bytes as they are."""
        raw = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        typed = {} if body is None else {"Content-Type": "application/json"}
        url = URL(self.url + path, encoded=True)
        data = None if raw is None else io.BytesIO(raw)
        async with self.session.request(method, url, data=data, headers=typed | dict(headers or {})) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.ask("GET", path, headers=headers)

    async def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.ask("POST", path, body, headers=headers)

    async def raw(self, sent: bytes) -> bytes:
        """Send bytes on a connection of their own and return all that comes until it is closed."""
        async with await anyio.connect_tcp("127.0.0.1", self.server.port) as connection:
            await connection.send(sent)
            answer = b""
            with anyio.fail_after(10):
                async for chunk in connection:
                    answer += chunk
            return answer


@asynccontextmanager
async def stored(folder: Path) -> AsyncIterator[Daemon]:
    """Open a store, owned, with two webhooks."""
    store = await SqliteStore.open(folder / "watcher.db")
    records = await CountedRecords.open(folder / "watcher.db")
    await store.lease()
    try:
        yield Daemon(store, records, {"ops": webhook(), "audit": webhook(events=["watch.finished"], providers=["d7"])})
    finally:
        await records.close()
        await store.close()


@asynccontextmanager
async def serving(daemon: Daemon, *, address: Address = ANY, token: str | None = None) -> AsyncIterator[Served]:
    """Serve a daemon's API, and stop it in the end."""
    backing = daemon.backing()
    server = HttpServer(backing, address=address, token=None if token is None else Secret.literal(token))
    await server.open()
    connector = aiohttp.UnixConnector(str(address.path)) if isinstance(address, Unix) else aiohttp.TCPConnector()
    async with anyio.create_task_group() as running, aiohttp.ClientSession(connector=connector) as session:
        running.start_soon(server.run)
        yield Served(daemon, backing, server, session, f"http://127.0.0.1:{server.port}")
        await session.close()
        server.stop()


@asynccontextmanager
async def api(folder: Path, *, address: Address = ANY, token: str | None = None) -> AsyncIterator[Served]:
    """Do both."""
    async with stored(folder) as daemon, serving(daemon, address=address, token=token) as served:
        yield served
