"""One event on its way to one webhook, and what became of it. Data only; what an answer means is `webhook.py`'s."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from watcher.core.model import Callback, Event


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook.

    `attempts` POSTs were made so far. Since its schedule began, `burnt` of them count against it, and `spared` were
    told to wait and do not. `thin`: its full form was too large. `refused_since` is the first of the 4xx that it was
    answered without a break. `loosens_at` is when it no longer holds back those behind it. `batch` is what it went in
    last, and goes in again. `callback` is where it goes if that stands in the watch and not in a section.
    """

    id: int
    webhook: str
    event: Event
    attempts: int
    due_at: datetime
    burnt: int = 0
    spared: int = 0
    thin: bool = False
    refused_since: datetime | None = None
    loosens_at: datetime | None = None
    batch: str | None = None
    callback: Callback | None = None


class Decision(StrEnum):
    """What becomes of a delivery after an attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"
    EXHAUSTED = "exhausted"
    ENDED = "ended"  # given up, with all that waits behind it: the watch's callback is gone


@dataclass(frozen=True, slots=True)
class Phases:
    """Where the seconds went; None for what did not happen, as in a connection that was kept alive."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST: when, how long (seconds), what came back (the first 2 KiB), or why nothing did."""

    number: int
    at: datetime
    duration: float
    status: int | None = None
    address: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str | None = None
    timing: Phases = Phases()


@dataclass(frozen=True, slots=True)
class Settled:
    """One delivery after an attempt, to be recorded: as it is from now on, and what became of it.

    `attempt` is what its list shows; it is kept whole only where it failed, and `is_kept` (of a batch, at one member).
    """

    delivery: Delivery
    decision: Decision
    attempt: Attempt
    is_kept: bool = True
