"""What an answer means, and what a login brought, as frozen values. What follows from it, `lifecycle` says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from watcher.core.model import Ending, Observation, Reason
from watcher.core.wire import Fault, Request


@dataclass(frozen=True, slots=True)
class Seen:
    """An observation; `retry_after` is how long the answer asks this one watch to wait."""

    observation: Observation
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """404. `existed`: this very answer proves that the operation existed (UKG's result after a 303).

    Once the watch is given up after something was seen, it ends as `ending` with `reason`.
    """

    http_status: int = 404
    ending: Ending = Ending.GONE
    reason: str | None = None
    existed: bool = False


@dataclass(frozen=True, slots=True)
class Throttled:
    """The account asks too much; nothing is sent to it for `retry_after`."""

    http_status: int
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """401 or 403. `renewable`: a fresh token may help, once."""

    http_status: int
    detail: str = ""
    renewable: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will not answer this request however often it is asked."""

    http_status: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer, or one that means nothing; `fault` is set where none came at all."""

    reason: Reason
    http_status: int | None = None
    detail: str = ""
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One more request is needed; `known` is what the answers up to here have said already."""

    request: Request
    known: Observation | None = None


Unseen: TypeAlias = Missing | Throttled | Denied | Refused | Broken
Final: TypeAlias = Seen | Unseen
Outcome: TypeAlias = Final | Ask


@dataclass(frozen=True, slots=True)
class Grant:
    """What a login brought (`token`, `refresh_token`, or AWS keys by name); in no repr."""

    values: Mapping[str, str] = field(repr=False)
    expires_at: datetime | None = None
