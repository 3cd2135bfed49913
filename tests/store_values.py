"""Small values for tests that need a store: watches, steps made by hand, attempts; and the stores to test."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from watcher.core.delivery import Attempt, Decision, Delivery, Settled, Timing
from watcher.core.model import Ending, Event, EventType, Mark, Reason, Snapshot, State, Step, Trouble, Watch
from watcher.core.rows import Arrival
from watcher.ports import Records, Store
from watcher.stores.sqlite import SqliteStore
from watcher.stores.sqlite_records import SqliteRecords

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(days=365)


class Backend(Protocol):
    """One database and whoever opens it."""

    async def store(self) -> Store: ...

    async def records(self) -> Records: ...

    async def close(self) -> None: ...


@dataclass
class SqliteBackend:
    """A file in an own folder."""

    path: Path
    opened: list[Store | Records] = field(default_factory=list)

    async def store(self) -> SqliteStore:
        store = await SqliteStore.open(self.path)
        self.opened.append(store)
        return store

    async def records(self) -> SqliteRecords:
        records = await SqliteRecords.open(self.path)
        self.opened.append(records)
        return records

    async def close(self) -> None:
        for one in self.opened:
            await one.close()


BACKENDS: dict[str, Callable[[Path], Backend]] = {"sqlite": lambda folder: SqliteBackend(folder / "watcher.db")}


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
        timing=Timing(dns=0.01, first_byte=0.2),
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
