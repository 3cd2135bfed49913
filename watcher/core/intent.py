"""What somebody who does not own the store wants its owner to do. Data only; the owner's `wanted.py` carries it out."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from watcher.core.model import EventType


@dataclass(frozen=True, slots=True)
class Cancel:
    """Wanted of the owner: end this watch."""

    id: int
    uid: str


@dataclass(frozen=True, slots=True)
class Switch:
    """Wanted of the owner: enable a webhook, which ends its pause too, or disable it."""

    id: int
    webhook: str
    on: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """Wanted of the owner: send events again, `rate` a second, in the order in which they happened.

    Either `events` by id, to each webhook that they were for; or to `webhook` all since `since`, of these types and
    providers, also those that never went there; with `exhausted` only what was given up. It came as far as the
    cursor `after`.
    """

    id: int
    rate: float
    events: tuple[str, ...] = ()
    webhook: str | None = None
    since: datetime | None = None
    exhausted: bool = False
    types: tuple[EventType, ...] = tuple(EventType)
    providers: tuple[str, ...] | None = None
    after: int = 0


Intent: TypeAlias = Cancel | Switch | Replay
