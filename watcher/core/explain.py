"""When is a watch asked next, when is a delivery sent next, and why then, as far as the store can tell?

For people: nothing is scheduled by this.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from watcher.core.duration import LONGEST
from watcher.core.endpoint import Endpoint
from watcher.core.model import Condition, Watch
from watcher.core.rows import DeliveryRow, Held, Hold
from watcher.core.schedule import Pace, next_poll, until

WIDEST = 1.0  # the dice that no poll quite throws: all of the jitter


class Why(StrEnum):
    """What decides when a watch is asked next; the first four say that it has no time of its own."""

    FINISHED = "finished"
    NO_SECTION = "no_section"
    NO_DAEMON = "no_daemon"
    DOWN = "down"
    DEADLINE = "deadline"
    PAUSED = "paused"
    TROUBLE = "trouble"
    SCHEDULED = "scheduled"
    RATE = "rate"
    NEW = "new"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Account:
    """What decides for all watches of a provider: its section, how many share it, what is wrong with it."""

    pace: Pace
    rate: float
    watches: int
    condition: Condition | None = None

    def rests_until(self, *, now: datetime) -> datetime | None:
        """Before when nothing is sent to it, as it said itself; None if that is over."""
        return None if self.condition is None else self.condition.rests_until(now=now)

    @property
    def turn(self) -> timedelta:
        """How long it takes at best to ask for each of its watches once."""
        return timedelta(seconds=min(self.watches / self.rate, LONGEST.total_seconds()))


@dataclass(frozen=True, slots=True)
class Answer:
    """Between which moments the next poll begins, and why then; no moments where nobody can say."""

    why: Why
    earliest: datetime | None = None
    latest: datetime | None = None


def next_asked(watch: Watch, account: Account | None, *, is_running: bool, now: datetime) -> Answer:
    """Say when a watch is asked next; `account` is None where the configuration has no section of its provider.

    When it was asked last is not stored, for unchanged polls write nothing. But a wait grows with the quiet time, so
    none that has begun ends later than one that would begin now.
    """
    if watch.ending is not None:
        return Answer(Why.FINISHED)
    if account is None:
        return Answer(Why.NO_SECTION)
    if not is_running:
        return Answer(Why.NO_DAEMON)
    if account.condition is not None and account.condition.reason is not None:
        return Answer(Why.DOWN)
    wait = _longest(watch, account.pace, now)
    rests_until = account.rests_until(now=now) or now
    earliest = rests_until if watch.changed_at is None else max(rests_until, watch.changed_at + account.pace.min)
    latest = max(earliest, now + wait, rests_until + account.turn)
    return Answer(_why(watch, account, wait, now), earliest, latest)


def _longest(watch: Watch, pace: Pace, now: datetime) -> timedelta:
    if watch.trouble is not None:
        return until(pace.max, pace, now=now, deadline_at=watch.deadline_at)
    return next_poll(
        pace,
        now=now,
        since=watch.changed_at or watch.accepted_at,
        deadline_at=watch.deadline_at,
        dice=WIDEST,
        not_before=watch.snapshot.not_before if watch.snapshot else None,
    )


def _why(watch: Watch, account: Account, wait: timedelta, now: datetime) -> Why:
    if account.rests_until(now=now):
        return Why.PAUSED
    if watch.deadline_at <= now + wait:
        return Why.DEADLINE
    if account.turn > wait:
        return Why.RATE
    if watch.trouble is not None:
        return Why.TROUBLE
    if watch.snapshot is None:
        return Why.NEW
    is_scheduled = watch.snapshot.not_before is not None and now < watch.snapshot.not_before
    return Why.SCHEDULED if is_scheduled else Why.QUIET


# --- deliveries -------------------------------------------------------------------------------------------------


def kept_back(endpoint: Endpoint, *, now: datetime) -> Hold | None:
    """Say what keeps all deliveries of a webhook back: the worst that holds; None if nothing does."""
    paused_until = endpoint.paused_until if endpoint.paused_until and endpoint.paused_until > now else None
    if endpoint.disabled:
        return Hold(Held.DISABLED)
    if endpoint.is_open:
        return Hold(Held.BREAKER, max(endpoint.probe_at or now, paused_until or now, now))
    return None if paused_until is None else Hold(Held.PAUSED, paused_until)


def held(
    row: DeliveryRow, *, endpoints: Mapping[str, Endpoint], has_section: Callable[[str], bool], now: datetime
) -> Hold | None:
    """Say what keeps a delivery back; None where its own schedule decides, or it is done.

    `has_section` says of a webhook or an origin whether the configuration says how to send to it.
    """
    if row.due_at is None:
        return None
    if not has_section(row.webhook):
        return Hold(Held.NO_SECTION)
    hold = kept_back(endpoints.get(row.webhook, Endpoint(row.webhook)), now=now)
    if hold is not None and (hold.by is not Held.PAUSED or hold.until is None or hold.until > row.due_at):
        return hold
    return Hold(Held.ORDER) if row.is_behind else None
