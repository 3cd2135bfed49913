"""Rows as the databases hold them, and the values that they mean. No SQL, no database."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson

from watcher.core.model import (
    Callback,
    Condition,
    Ending,
    Event,
    EventType,
    Mark,
    Reason,
    Snapshot,
    State,
    Trouble,
    Watch,
)
from watcher.core.rows import Opened

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Return a moment as microseconds since 1970."""
    return (moment - _1970) // _MICROSECOND


def micros_or_none(moment: datetime | None) -> int | None:
    """Return a moment, if there is one, as microseconds since 1970."""
    return None if moment is None else micros(moment)


def moment(micros: int) -> datetime:
    """Return a stored moment, in UTC."""
    return _1970 + timedelta(microseconds=micros)


def moment_or_none(micros: int | None) -> datetime | None:
    """Return a stored moment, if there is one, in UTC."""
    return None if micros is None else moment(micros)


def span(duration: timedelta) -> int:
    """Return a duration in microseconds."""
    return duration // _MICROSECOND


class WatchColumns(NamedTuple):
    """One watch and its snapshot, in the order in which they are selected."""

    uid: str
    id: str
    provider: str
    params: str
    labels: str
    webhooks: str | None
    callback_url: str | None
    callback_secret: str | None
    callback_ended_at: int | None
    submitted_at: int
    accepted_at: int
    deadline: int
    sequence: int
    changed_at: int | None
    trouble: str | None
    ending: str | None
    finished_at: int | None
    snapshot: str | None

    def value(self, *, epoch: int) -> Watch:
        """Return the watch, as loaded under `epoch`."""
        url = self.callback_url if self.callback_ended_at is None else None
        return Watch(
            uid=self.uid,
            id=self.id,
            provider=self.provider,
            params=orjson.loads(self.params),
            submitted_at=moment(self.submitted_at),
            accepted_at=moment(self.accepted_at),
            deadline=timedelta(microseconds=self.deadline),
            labels=orjson.loads(self.labels),
            webhooks=None if self.webhooks is None else tuple(orjson.loads(self.webhooks)),
            callback=None if url is None else Callback(url, self.callback_secret),
            sequence=self.sequence,
            changed_at=moment_or_none(self.changed_at),
            snapshot=None if self.snapshot is None else read_snapshot(self.snapshot),
            trouble=None if self.trouble is None else read_trouble(self.trouble),
            ending=None if self.ending is None else Ending(self.ending),
            finished_at=moment_or_none(self.finished_at),
            epoch=epoch,
        )


class OpenedColumns(NamedTuple):
    """What `load` selects."""

    row: int
    uid: str
    id: str
    provider: str
    params: str
    accepted_at: int
    changed_at: int | None
    deadline_at: int
    state: str | None

    def value(self) -> Opened:
        """Return the schedule's view of the watch."""
        return Opened(
            row=self.row,
            uid=self.uid,
            id=self.id,
            provider=self.provider,
            params=self.params,
            accepted_at=moment(self.accepted_at),
            changed_at=moment_or_none(self.changed_at),
            deadline_at=moment(self.deadline_at),
            state=None if self.state is None else State(self.state),
        )


class EventColumns(NamedTuple):
    """One event and whose it is."""

    id: str
    type: str
    at: int
    uid: str
    watch: str | None
    provider: str
    sequence: int
    body: bytes

    def value(self) -> Event:
        """Return the event; whom it goes to (`to`) stands in its deliveries, not here."""
        return Event(
            id=self.id,
            type=EventType(self.type),
            at=moment(self.at),
            uid=self.uid,
            watch=self.watch,
            provider=self.provider,
            sequence=None if self.watch is None else self.sequence,
            body=self.body,
        )


class ConditionColumns(NamedTuple):
    """What is wrong with a provider as a whole."""

    provider: str
    uid: str
    sequence: int
    reason: str | None
    since: int | None
    paused_until: int | None
    paused_at: int | None

    def value(self) -> Condition:
        """Return the condition."""
        return Condition(
            provider=self.provider,
            uid=self.uid,
            sequence=self.sequence,
            reason=None if self.reason is None else Reason(self.reason),
            since=moment_or_none(self.since),
            paused_until=moment_or_none(self.paused_until),
            paused_at=moment_or_none(self.paused_at),
        )


def write_snapshot(snapshot: Snapshot) -> str:
    """Encode a snapshot; its messages keep their order."""
    return orjson.dumps(
        {
            "status": snapshot.status,
            "state": snapshot.state,
            "progress": snapshot.progress,
            "messages": {key: (mark.status, mark.state) for key, mark in snapshot.messages.items()},
            "not_before": micros_or_none(snapshot.not_before),
        }
    ).decode()


def read_snapshot(text: str) -> Snapshot:
    """Decode a snapshot."""
    value = orjson.loads(text)
    return Snapshot(
        status=value["status"],
        state=State(value["state"]),
        progress=value["progress"],
        messages={key: Mark(status, State(state)) for key, (status, state) in value["messages"].items()},
        not_before=moment_or_none(value["not_before"]),
    )


def write_trouble(trouble: Trouble) -> str:
    """Encode a spell of trouble."""
    return orjson.dumps(
        {
            "reason": trouble.reason,
            "since": micros(trouble.since),
            "http_status": trouble.http_status,
            "polls": trouble.polls,
            "missing": trouble.missing,
            "existed": trouble.existed,
            "cause": trouble.cause,
            "told": trouble.told,
        }
    ).decode()


def read_trouble(text: str) -> Trouble:
    """Decode a spell of trouble."""
    value = orjson.loads(text)
    return Trouble(**{**value, "reason": Reason(value["reason"]), "since": moment(value["since"])})
