"""Small values for tests that need a store: watches, steps made by hand, attempts; and the stores to test."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Protocol

from postgres_server import PostgresServer, shared_server

from watcher.core.delivery import Attempt, Decision, Delivery, Phases, Settled
from watcher.core.lease import Lease
from watcher.core.model import Ending, Event, EventType, Mark, Reason, Snapshot, State, Step, Trouble, Watch
from watcher.core.rows import Arrival
from watcher.ports import Records
from watcher.store import Store
from watcher.stores.postgres import PostgresStore
from watcher.stores.postgres_connection import PostgresConnection
from watcher.stores.postgres_records import PostgresRecords
from watcher.stores.sqlite import SqliteStore
from watcher.stores.sqlite_records import SqliteRecords

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(days=365)


class Backend(Protocol):
    """One database and whoever opens it."""

    async def store(self, worker: str = "watcher") -> Store: ...

    async def records(self) -> Records: ...

    async def lapse(self, worker: str) -> None:
        """Let the lease of a worker be over, where leases end; it is not told."""

    async def close(self) -> None: ...


@dataclass
class SqliteBackend:
    """A file in an own folder."""

    path: Path
    opened: list[Store | Records] = field(default_factory=list)

    async def store(self, worker: str = "watcher") -> SqliteStore:
        store = await SqliteStore.open(self.path)
        self.opened.append(store)
        return store

    async def records(self) -> SqliteRecords:
        records = await SqliteRecords.open(self.path)
        self.opened.append(records)
        return records

    async def lapse(self, worker: str) -> None:
        """Do nothing: the lock is its process's for as long as that lives."""

    async def close(self) -> None:
        for one in self.opened:
            await one.close()


_SCHEMAS = count(1)
_used: list[str] = []  # making one takes longer than most tests


@dataclass
class PostgresBackend:
    """A schema of its own on the one server; whoever opens it is the same worker, unless another name is given."""

    server: PostgresServer = field(default_factory=shared_server)
    lease: timedelta = timedelta(minutes=1)
    schema: str = field(default_factory=lambda: _used.pop() if _used else f"watcher_{next(_SCHEMAS)}")
    opened: list[Store | Records] = field(default_factory=list)

    async def store(self, worker: str = "watcher") -> PostgresStore:
        store = await PostgresStore.open(self.server.url, worker=worker, lease=self.lease, schema=self.schema)
        if not self.opened:
            async with store._leaser.transaction() as db:
                await db.execute(AS_NEW)
        self.opened.append(store)
        return store

    async def records(self) -> PostgresRecords:
        records = await PostgresRecords.open(self.server.url, schema=self.schema)
        self.opened.append(records)
        return records

    async def lapse(self, worker: str) -> None:
        await self.execute("UPDATE workers SET expires_at = clock_timestamp() WHERE name = $1", worker)

    async def execute(self, sql: str, *values: object) -> None:
        """Do something behind everybody's back."""
        await self.ask(sql, *values)

    async def ask(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Look behind everybody's back."""
        connection = PostgresConnection(self.server.url, name="test", schema=self.schema, mode="READ WRITE")
        async with connection.transaction() as db:
            rows = await db.fetch(sql, *values)
        await connection.close()
        return [tuple(row) for row in rows]

    async def make(self, *scripts: str) -> None:
        """Make the schema, with what these scripts make in it."""
        connection = PostgresConnection(self.server.url, name="test", schema=self.schema, mode="READ WRITE")
        async with connection.transaction() as db:
            await db.execute(f"CREATE SCHEMA {self.schema}")
            for script in scripts:
                await db.execute(script)
        await connection.close()

    async def forget(self) -> None:
        """Remove the schema, if there is one."""
        await self.execute(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE")

    async def close(self) -> None:
        for one in self.opened:
            await one.close()
        _used.append(self.schema)


AS_NEW = """
    DELETE FROM attempts;
    DELETE FROM deliveries;
    DELETE FROM events;
    DELETE FROM intents;
    DELETE FROM observations;
    DELETE FROM watches;
    DELETE FROM conditions;
    DELETE FROM endpoints;
    DELETE FROM rejected;
    DELETE FROM positions;
    DELETE FROM workers;
    UPDATE shards SET epoch = 0, worker = NULL WHERE epoch <> 0;
    SELECT setval(pg_get_serial_sequence(name, key), 1, false)
    FROM (VALUES ('watches', 'row'), ('conditions', 'row'), ('events', 'cursor'), ('deliveries', 'id'),
        ('attempts', 'id'), ('intents', 'id'), ('rejected', 'id')) AS counted (name, key)
"""

BACKENDS: dict[str, Callable[[Path], Backend]] = {
    "sqlite": lambda folder: SqliteBackend(folder / "watcher.db"),
    "postgres": lambda _: PostgresBackend(),
}


def epoch_of(lease: Lease) -> int:
    """Return the epoch under which all is held."""
    assert lease.share == 1
    (epoch,) = set(lease.epochs.values())
    return epoch


def a_watch(id: str = "order-42", *, provider: str = "d7", operation: str = "9d056a09") -> Watch:
    """Make a fresh watch; its uid is a function of its id."""
    return Watch(
        uid=f"uid-{id}",
        id=id,
        provider=provider,
        params={"request_id": operation, "channel": "sms"},
        submitted_at=NOON - timedelta(minutes=1),
        accepted_at=NOON,
        deadline=timedelta(days=3),
        labels={"order": id},
        webhooks=("ops",),
    )


EVERYTHING = replace(
    a_watch(),
    labels={"order": "42", "wörd": 'with "quotes"'},
    webhooks=None,
    sequence=1,
    changed_at=NOON + timedelta(seconds=1),
    snapshot=Snapshot(
        status="sent",
        state=State.IN_PROGRESS,
        progress=12.5,
        messages={"z": Mark("sent", State.IN_PROGRESS), "a": Mark("delivered", State.SUCCEEDED)},
        not_before=NOON + timedelta(days=9),
    ),
    trouble=Trouble(Reason.MISSING, since=NOON, http_status=404, polls=4, missing=2, told=True),
    ending=Ending.GONE,
    finished_at=NOON + timedelta(seconds=2),
)


def arrival(watch: Watch, *, line: int = 1) -> Arrival:
    """Make a request for a watch."""
    return Arrival("inbox", f"watches.jsonl:{line}", b"{}", watch=watch)


def cancellation(id: str, *, line: int = 1) -> Arrival:
    """Make a request to cancel."""
    return Arrival("inbox", f"watches.jsonl:{line}", b"{}", cancel=id)


def refusal(reason: str, *, line: int = 1, raw: bytes = b"rubbish") -> Arrival:
    """Make a request that was refused already."""
    return Arrival("inbox", f"watches.jsonl:{line}", raw, reason=reason)


def an_event(watch: Watch, *, sequence: int, to: tuple[str, ...] = ("ops",)) -> Event:
    """Make the event of a watch that has this sequence, a second after the one before it."""
    return Event(
        id=f"evt_{watch.uid}_{sequence}",
        type=EventType.STATUS,
        at=NOON + timedelta(seconds=sequence),
        uid=watch.uid,
        watch=watch.id,
        provider=watch.provider,
        sequence=sequence,
        body=f'{{"sequence":{sequence}}}'.encode(),
        to=to,
    )


def a_step(
    watch: Watch, *, status: str = "sent", events: int = 1, to: tuple[str, ...] = ("ops",), ending: Ending | None = None
) -> Step:
    """Make a step that brings `watch` to a status, telling so many events."""
    told = tuple(an_event(watch, sequence=watch.sequence + number, to=to) for number in range(1, events + 1))
    at = told[-1].at if told else watch.changed_at
    after = replace(
        watch,
        sequence=watch.sequence + events,
        changed_at=at,
        snapshot=Snapshot(status, State.IN_PROGRESS),
        ending=ending,
        finished_at=(at or NOON) if ending else None,
    )
    return Step(after, before=watch.sequence, events=told, wait=None if ending else timedelta(seconds=5), writes=True)


def settled(
    delivery: Delivery, decision: Decision, *, next_at: datetime | None = None, is_kept: bool = True, **changes: object
) -> Settled:
    """Make the next attempt of a delivery, answered 204 where it is good, else 500; `changes` are the delivery's."""
    is_good = decision is Decision.DELIVERED
    attempt = Attempt(
        number=delivery.attempts + 1,
        at=delivery.due_at,
        duration=0.25,
        status=204 if is_good else 500,
        address="192.0.2.1",
        headers={"server": "nginx"},
        body=b"sorry",
        error=None if is_good else "500 Internal Server Error",
        timing=Phases(dns=0.01, first_byte=0.2),
    )
    fields: dict[str, object] = {"attempts": delivery.attempts + 1, "due_at": next_at or delivery.due_at} | changes
    after = replace(delivery, **fields)  # type: ignore[arg-type]  # the fields are the tests' to name rightly
    return Settled(after, decision, attempt, is_kept)


async def added(store: Store, *watches: Watch) -> list[Watch]:
    """Store watches and return them as their owner has them."""
    await store.add([arrival(watch, line=line) for line, watch in enumerate(watches, start=1)])
    loaded = [await store.watch(watch.uid) for watch in watches]
    return [watch for watch in loaded if watch is not None]


async def told(store: Store, watch: Watch, *, events: int, to: tuple[str, ...] = ("ops",)) -> Watch:
    """Commit a step with so many events and return the watch after it."""
    step = a_step(watch, events=events, to=to)
    assert await store.commit([step]) == [None]
    return step.watch


async def waiting(store: Store, webhook: str = "ops", *, now: datetime = LATER, limit: int = 1000) -> list[Delivery]:
    """Return what may be sent: first what is sent for the first time, then what was sent before."""
    fresh = await store.heads(webhook, again=False, now=now, limit=limit)
    return fresh + await store.heads(webhook, again=True, now=now, limit=limit - len(fresh))


async def heads_of(store: Store, webhook: str = "ops", *, now: datetime = LATER) -> list[tuple[str | None, int | None]]:
    """Return watch and sequence of what may be sent."""
    return [(head.event.watch, head.event.sequence) for head in await waiting(store, webhook, now=now)]


async def head_of(store: Store, webhook: str = "ops", *, watch: str | None = None) -> Delivery:
    """Return what is to be sent first, of one watch if that is said."""
    return next(head for head in await waiting(store, webhook) if watch in {None, head.event.watch})


async def sent(store: Store, webhook: str = "ops") -> list[tuple[str | None, int | None]]:
    """Deliver all that waits, one after the other, and return watch and sequence of each."""
    order = []
    while heads := await waiting(store, webhook, limit=1):
        order.append((heads[0].event.watch, heads[0].event.sequence))
        await store.settle([settled(heads[0], Decision.DELIVERED)])
    return order
