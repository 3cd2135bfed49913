"""When to ask again: pace and back-off. Whatever waits gets its answer here; nothing here waits."""

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


def pace(terms: Pace, *, quiet: timedelta, dice: float) -> timedelta:
    """Return how long to wait when nothing has changed for `quiet`; `dice` is in [0, 1).

    `fixed` is `min`. `backoff` is `min` and half of `quiet`, with 10 % of jitter either way, within `min` and `max`.
    """
    if terms.mode == "fixed":
        return terms.min
    return _jittered(terms, min(terms.min + max(quiet, timedelta(0)) / 2, terms.max), dice)


def back_off(terms: Pace, *, failures: int, dice: float) -> timedelta:
    """Return how long to wait after `failures` polls in a row brought nothing: `min`, doubling, up to `max`."""
    seconds = terms.min.total_seconds() * 2.0 ** min(max(failures - 1, 0), _STEEPEST)
    return _jittered(terms, timedelta(seconds=min(seconds, terms.max.total_seconds())), dice)


def _jittered(terms: Pace, wait: timedelta, dice: float) -> timedelta:
    return min(max(wait * (1 + JITTER * (2 * dice - 1)), terms.min), terms.max)


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
    if not_before is not None and now < not_before:
        wait = min(terms.max, not_before - now)
    else:
        wait = pace(terms, quiet=now - max(since, not_before or since), dice=dice)
    return until(wait, terms, now=now, deadline_at=deadline_at, retry_after=retry_after)


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
