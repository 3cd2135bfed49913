"""The words of the specification as frozen values: watch, observation, event, step. Data only, no rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Params: TypeAlias = Mapping[str, Json]

END_OF_TIME = datetime.max.replace(tzinfo=UTC)


# --- what is watched ------------------------------------------------------------------------------------------


class State(StrEnum):
    """Our word for a status; the last three are final."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    SUCCEEDED = "succeeded"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Will the provider say nothing else any more?"""
        return self in {State.SUCCEEDED, State.PARTIALLY_SUCCEEDED, State.FAILED}


class Ending(StrEnum):
    """How a watch ended: the `outcome` of `watch.finished`."""

    SUCCEEDED = "succeeded"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    GONE = "gone"
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why polls are not *seen*: the `reason` of `watch.trouble`."""

    DENIED = "denied"
    REFUSED = "refused"
    THROTTLED = "throttled"
    MISSING = "missing"
    UNREACHABLE = "unreachable"
    SERVER_ERROR = "server_error"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Message:
    """One part of a watch as one answer lists it; `key` is unique within the watch."""

    key: str
    status: str
    state: State
    detail: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one answered poll said.

    `status` is None where the provider has none of its own (D7): then status and state follow from the messages
    and `total`, the number of messages that there will be. `progress` is 0..100, None where the answer has none.
    `not_before` is when a scheduled operation starts. `unknown` lists the words that have no state of their own.
    """

    status: str | None
    state: State | None
    progress: float | None = None
    messages: tuple[Message, ...] = ()
    total: int | None = None
    detail: Mapping[str, Json] = field(default_factory=dict)
    result: Json = None
    not_before: datetime | None = None
    unknown: tuple[str, ...] = ()


class Mark(NamedTuple):
    """The last status of one message."""

    status: str
    state: State


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything seen so far of one watch: observations laid over each other. Messages in order of appearance."""

    status: str
    state: State
    progress: float | None = None
    messages: Mapping[str, Mark] = field(default_factory=dict)
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """A spell of polls that were not *seen*.

    Kept in memory while it grows; stored once it was `told` as `watch.trouble`, so that it is told once.
    `missing` counts the 404s in a row up to now; `existed` and `cause` are what they said of it (see `Missing`).
    """

    reason: Reason
    since: datetime
    http_status: int | None
    polls: int = 1
    missing: int = 0
    existed: bool = False
    cause: str | None = None
    told: bool = False


@dataclass(frozen=True, slots=True)
class Callback:
    """A POST target of one watch alone; `secret` is sealed, and only `[callbacks]` can open it."""

    url: str
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Watch:
    """One operation that is followed until it is finished.

    `uid` is ours, random, and makes the event ids; `id` is the sender's. `webhooks` is None for all.
    `callback` is None where there is none, or the other side ended it.
    `sequence` and `changed_at` are those of the last event; `epoch` is of the lease under which this was loaded.
    """

    uid: str
    id: str
    provider: str
    params: Params
    submitted_at: datetime
    accepted_at: datetime
    deadline: timedelta
    labels: Mapping[str, str] = field(default_factory=dict)
    webhooks: tuple[str, ...] | None = None
    callback: Callback | None = None
    sequence: int = 0
    changed_at: datetime | None = None
    snapshot: Snapshot | None = None
    trouble: Trouble | None = None
    ending: Ending | None = None
    finished_at: datetime | None = None
    epoch: int = 0

    @property
    def state(self) -> State:
        """Its state; pending before anything was seen."""
        return self.snapshot.state if self.snapshot else State.PENDING

    @property
    def deadline_at(self) -> datetime:
        """When the watch ends as `expired`: counted from a scheduled start, else from submission."""
        scheduled = self.snapshot.not_before if self.snapshot else None
        start = max(self.submitted_at, scheduled or self.submitted_at)
        return start + min(self.deadline, END_OF_TIME - start)


# --- what is told ---------------------------------------------------------------------------------------------


class EventType(StrEnum):
    """The closed list of event types."""

    STATUS = "watch.status.changed"
    PROGRESS = "watch.progress.changed"
    MESSAGE = "message.status.changed"
    TROUBLE = "watch.trouble"
    RECOVERED = "watch.recovered"
    FINISHED = "watch.finished"
    PROVIDER_DOWN = "provider.down"
    PROVIDER_UP = "provider.up"


@dataclass(frozen=True, slots=True)
class Event:
    """One change, with an id that never changes; `to` names the webhooks it goes to, decided as it is committed.

    `watch` and `sequence` are None for what happened to a provider as a whole; `uid` is then its condition's.
    """

    id: str
    type: EventType
    at: datetime
    uid: str
    watch: str | None
    provider: str
    sequence: int | None
    body: bytes
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """All that one answered poll, or one intent, does to one watch.

    `before` is the sequence that `watch` had when the step was made. `wait` is how long until it is asked again,
    None once it is finished. `writes` says whether anything needs the disk. `intent` is the one carried out.
    """

    watch: Watch
    before: int
    events: tuple[Event, ...] = ()
    wait: timedelta | None = None
    writes: bool = False
    intent: int | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """What is wrong with a provider as a whole: `reason` is None while nothing is.

    `uid` is ours, random, and makes the event ids; `sequence` counts its events. Nothing is sent before `paused_until`,
    which was said at `paused_at`.
    """

    provider: str
    uid: str
    sequence: int = 0
    reason: Reason | None = None
    since: datetime | None = None
    paused_until: datetime | None = None
    paused_at: datetime | None = None

    def rests_until(self, *, now: datetime) -> datetime | None:
        """Return until when nothing is sent: no longer than was said, by whatever clock; None if that is over."""
        until = self.rewound(now=now).paused_until
        return until if until is not None and until > now else None

    def rewound(self, *, now: datetime) -> "Condition":
        """Let a pause that began in the future begin now: the clock was ahead when it was told."""
        if self.paused_until is None or self.paused_at is None or self.paused_at <= now:
            return self
        return replace(self, paused_at=now, paused_until=now + (self.paused_until - self.paused_at))


@dataclass(frozen=True, slots=True)
class Report:
    """That a provider as a whole went down or came back: its new condition, and the event that says so."""

    condition: Condition
    event: Event
