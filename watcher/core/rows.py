"""What goes into the store and what comes out of it, beside watches and events themselves. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from watcher.core.model import Event, EventType, State, Watch


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request on its way into the store: a new watch, a cancellation (`cancel` is an id), or a refusal.

    Exactly one of `watch`, `cancel` and `reason` is set. `raw` and `where` are kept if it is refused.
    """

    source: str
    where: str
    raw: bytes
    watch: Watch | None = None
    cancel: str | None = None
    reason: str | None = None


class Admission(StrEnum):
    """What became of one arrival."""

    NEW = "new"
    KNOWN = "known"
    CONFLICT = "conflict"
    CANCELLING = "cancelling"
    UNKNOWN = "unknown"
    REJECTED = "rejected"


REFUSALS = {
    Admission.CONFLICT: "conflict: the id is known with another provider or other params",
    Admission.UNKNOWN: "unknown: there is no watch of this id",
}


@dataclass(frozen=True, slots=True)
class Opened:
    """The little that the schedule keeps of an open watch; `row` grows in the order in which they were stored.

    `params` are JSON. `state` is None before anything was seen.
    """

    row: int
    uid: str
    id: str
    provider: str
    params: str
    accepted_at: datetime
    changed_at: datetime | None
    deadline_at: datetime
    state: State | None


@dataclass(frozen=True, slots=True)
class WatchRow:
    """A watch as the commands show it; `snapshot` and `trouble` are in `watch`."""

    row: int
    watch: Watch


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event with its cursor, which grows in the order of commits."""

    cursor: int
    event: Event


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as the commands show it: `status` is waiting, delivered or exhausted.

    `due_at` is set while it waits; the rest is of the last attempt. `is_behind`: it waits for an earlier one of its
    watch to be done.
    """

    id: int
    webhook: str
    event_id: str
    type: EventType
    watch: str | None
    sequence: int | None
    status: str
    attempts: int
    due_at: datetime | None
    last_at: datetime | None
    last_status: int | None
    last_error: str | None
    duration: float | None
    is_behind: bool = False


class Held(StrEnum):
    """What keeps a delivery back, whatever its own schedule says."""

    NO_SECTION = "no_section"
    DISABLED = "disabled"
    BREAKER = "breaker_open"  # but for the probe
    PAUSED = "paused"
    ORDER = "order"  # an earlier one of its watch goes first


@dataclass(frozen=True, slots=True)
class Hold:
    """What keeps deliveries back, and until when at least; None where no moment ends it."""

    by: Held
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a step of pruning did: rows and free pages that went, and by webhook the deliveries that were given up.

    Fewer `rows` than the limit mean that nothing is left to do for now; those that were given up count.
    """

    rows: int = 0
    given_up: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many deliveries wait for a webhook; `since` is of the first of them, None if it cannot be told."""

    waiting: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A request that was refused, as it came."""

    at: datetime
    source: str
    where: str
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Overview:
    """What `watcher status` needs: numbers by provider and state, by webhook, what is down, and whose it is.

    `ended` counts those of `exhausted` that were for callbacks which their receivers ended. `cursor` is of the newest
    event.
    """

    watches: Mapping[tuple[str, str], int]
    troubled: Mapping[str, int]
    waiting: Mapping[str, int]
    oldest_waiting: Mapping[str, datetime]
    exhausted: Mapping[str, int]
    rejected: int
    intents: int
    down: Mapping[str, str]
    owner: str | None
    ended: Mapping[str, int] = field(default_factory=dict)
    cursor: int = 0
