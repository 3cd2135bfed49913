"""Rows of the outbox, and the values that they mean: deliveries, attempts, endpoints, intents. No SQL, no database."""

from dataclasses import replace
from typing import NamedTuple

import orjson
from pydantic import TypeAdapter

from watcher.core.delivery import Attempt, Delivery, Phases
from watcher.core.endpoint import Endpoint
from watcher.core.intent import Cancel, Intent, Replay, Switch
from watcher.core.model import Callback, EventType
from watcher.core.rows import DeliveryRow
from watcher.stores.rows import EventColumns, moment, moment_or_none


class DeliveryColumns(NamedTuple):
    """A delivery that waits, its event, and the callback of its watch, in the order in which they are selected."""

    id: int
    webhook: str
    attempts: int
    due_at: int
    burnt: int
    spared: int
    thin: int
    refused_since: int | None
    loosens_at: int | None
    batch: str | None
    callback_url: str | None
    callback_secret: str | None
    event_id: str
    type: str
    at: int
    uid: str
    watch: str | None
    provider: str
    sequence: int
    body: bytes

    def value(self) -> Delivery:
        """Return the delivery; only names of callbacks hold a colon."""
        url = self.callback_url if ":" in self.webhook else None
        return Delivery(
            id=self.id,
            webhook=self.webhook,
            event=EventColumns(*self[12:]).value(),
            attempts=self.attempts,
            due_at=moment(self.due_at),
            burnt=self.burnt,
            spared=self.spared,
            thin=bool(self.thin),
            refused_since=moment_or_none(self.refused_since),
            loosens_at=moment_or_none(self.loosens_at),
            batch=self.batch,
            callback=None if url is None else Callback(url, self.callback_secret),
        )


class DeliveryRowColumns(NamedTuple):
    """A delivery as the commands show it."""

    id: int
    webhook: str
    event_id: str
    type: str
    watch: str | None
    sequence: int
    status: str
    attempts: int
    due_at: int
    last_at: int | None
    last_status: int | None
    last_error: str | None
    duration: float | None
    head: int

    def value(self) -> DeliveryRow:
        """Return the row."""
        return DeliveryRow(
            id=self.id,
            webhook=self.webhook,
            event_id=self.event_id,
            type=EventType(self.type),
            watch=self.watch,
            sequence=None if self.watch is None else self.sequence,
            status=self.status,
            attempts=self.attempts,
            due_at=moment(self.due_at) if self.status == "waiting" else None,
            last_at=moment_or_none(self.last_at),
            last_status=self.last_status,
            last_error=self.last_error,
            duration=self.duration,
            is_behind=self.status == "waiting" and not self.head,
        )


class AttemptColumns(NamedTuple):
    """A failed attempt."""

    number: int
    at: int
    duration: float
    status: int | None
    address: str | None
    headers: str
    body: bytes
    error: str | None
    timing: str

    def value(self) -> Attempt:
        """Return the attempt."""
        return Attempt(
            number=self.number,
            at=moment(self.at),
            duration=self.duration,
            status=self.status,
            address=self.address,
            headers=orjson.loads(self.headers),
            body=self.body,
            error=self.error,
            timing=Phases(**orjson.loads(self.timing)),
        )


class IntentColumns(NamedTuple):
    """What is wanted of the owner; `uid` is of the watch of a cancellation, `wish` is set for the others."""

    id: int
    uid: str | None
    switch: str | None
    replay: str | None
    after: int

    def value(self) -> Intent:
        """Return the intent."""
        if self.switch is not None:
            return replace(_SWITCH.validate_json(self.switch), id=self.id)
        if self.replay is not None:
            return replace(_REPLAY.validate_json(self.replay), id=self.id, after=self.after)
        return Cancel(self.id, self.uid or "")


def write_switch(intent: Switch) -> str:
    """Encode what is wanted of a webhook."""
    return _SWITCH.dump_json(intent).decode()


def write_replay(intent: Replay) -> str:
    """Encode what is to be sent again."""
    return _REPLAY.dump_json(intent).decode()


def write_timing(timing: Phases) -> str:
    """Encode where the seconds went."""
    return orjson.dumps(timing).decode()


def write_endpoint(endpoint: Endpoint) -> str:
    """Encode what is known of a webhook; what it said in its last good answer is of no use to anybody."""
    good = endpoint.last_good
    kept = replace(endpoint, last_good=good and replace(good, headers={}, body=b""))
    return _ENDPOINT.dump_json(kept).decode()


def read_endpoint(text: str) -> Endpoint:
    """Decode what is known of a webhook."""
    return _ENDPOINT.validate_json(text)


_SWITCH = TypeAdapter(Switch)
_REPLAY = TypeAdapter(Replay)
_ENDPOINT = TypeAdapter(Endpoint)
