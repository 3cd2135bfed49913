"""One event on its way to one webhook, and what became of it. Data only; what an answer means is `webhook.py`'s."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from watcher.core.model import Event


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook; `attempts` were made so far."""

    id: int
    webhook: str
    event: Event
    attempts: int
    due_at: datetime


class Decision(StrEnum):
    """What becomes of a delivery after an attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one attempt means; `next_at` is set for a retry."""

    decision: Decision
    next_at: datetime | None = None


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


@dataclass(frozen=True, slots=True)
class Settled:
    """One attempt and what it means, to be recorded."""

    delivery: Delivery
    attempt: Attempt
    verdict: Verdict
