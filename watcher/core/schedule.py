"""When to ask again: pace and back-off. Whatever waits gets its answer here; nothing here waits."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from watcher.core.duration import Duration

JITTER = 0.1
_STEEPEST = 20


class Pace(BaseModel):
    """`[providers.<name>.poll]`: never sooner than `min`, never later than `max`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    min: Duration
    max: Duration
    mode: Literal["fixed", "backoff"] = "backoff"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not timedelta(0) < self.min <= self.max:
            msg = "expected 0 < min <= max"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A pace in seconds, for what is worked out at each poll."""

    min: float
    max: float
    is_fixed: bool

    @classmethod
    def of(cls, terms: Pace) -> "Rhythm":
        """Take it from a section."""
        return cls(terms.min.total_seconds(), terms.max.total_seconds(), terms.mode == "fixed")

    def wait(  # each is one of the things that decide it
        self, *, now: float, since: float, deadline: float, dice: float, not_before: float | None = None
    ) -> float:
        """Return how long to wait after a poll that was seen; see `next_poll`. Moments are seconds since 1970."""
        if not_before is not None and now < not_before:
            wait = min(self.max, not_before - now)
        else:
            wait = self.pace(quiet=now - max(since, not_before or since), dice=dice)
        return max(min(wait, deadline - now), self.min)

    def pace(self, *, quiet: float, dice: float) -> float:
        """Return how long to wait when nothing has changed for `quiet` seconds; see `pace`."""
        if self.is_fixed:
            return self.min
        return self.jittered(min(self.min + max(quiet, 0.0) / 2, self.max), dice)

    def jittered(self, wait: float, dice: float) -> float:
        """Spread a wait, within `min` and `max`."""
        return min(max(wait * (1 + JITTER * (2 * dice - 1)), self.min), self.max)


def pace(terms: Pace, *, quiet: timedelta, dice: float) -> timedelta:
    """Return how long to wait when nothing has changed for `quiet`; `dice` is in [0, 1).

    `fixed` is `min`. `backoff` is `min` and half of `quiet`, with 10 % of jitter either way, within `min` and `max`.
    """
    return timedelta(seconds=Rhythm.of(terms).pace(quiet=quiet.total_seconds(), dice=dice))


def back_off(terms: Pace, *, failures: int, dice: float) -> timedelta:
    """Return how long to wait after `failures` polls in a row brought nothing: `min`, doubling, up to `max`."""
    rhythm = Rhythm.of(terms)
    wait = rhythm.min * 2.0 ** min(max(failures - 1, 0), _STEEPEST)
    return timedelta(seconds=rhythm.jittered(min(wait, rhythm.max), dice))


def next_poll(  # each is one of the things that decide it
    terms: Pace,
    *,
    now: datetime,
    since: datetime,
    deadline_at: datetime,
    dice: float,
    not_before: datetime | None = None,
    retry_after: timedelta = timedelta(0),
) -> timedelta:
    """Return how long to wait after a poll that was seen.

    `since` is the last change, or acceptance. Until `not_before`, a scheduled start, it is asked slowly. The poll at
    the deadline is not missed, `retry_after` is kept, and nothing comes sooner than `min`.
    """
    wait = Rhythm.of(terms).wait(
        now=now.timestamp(),
        since=since.timestamp(),
        deadline=deadline_at.timestamp(),
        dice=dice,
        not_before=None if not_before is None else not_before.timestamp(),
    )
    return max(timedelta(seconds=wait), retry_after)


def until(
    wait: timedelta,
    terms: Pace,
    *,
    now: datetime,
    deadline_at: datetime,
    retry_after: timedelta = timedelta(0),
) -> timedelta:
    """Bound a wait: not past the deadline, but never sooner than `min` or `retry_after`."""
    return max(min(wait, deadline_at - now), terms.min, retry_after)
