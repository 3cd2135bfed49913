"""When a watch is asked again: SPEC, section 5."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make import MIDDLE, START, after, span
from pydantic import ValidationError

from watcher.core.schedule import Pace, back_off, next_poll, pace

BACKOFF = Pace.model_validate({"min": "2s", "max": "5m"})
FIXED = Pace.model_validate({"min": "2s", "max": "5m", "mode": "fixed"})
LATEST = 1 - 2**-53

DICE = st.floats(0, 1, exclude_max=True)
MODES = st.sampled_from([BACKOFF, FIXED])
MOMENTS = st.datetimes(timezones=st.just(UTC))
PACES = st.builds(
    lambda least, more: Pace(min=least, max=least + more),
    st.timedeltas(timedelta(milliseconds=1), timedelta(days=3650)),
    st.timedeltas(timedelta(0), timedelta(days=3650)),
)


@pytest.mark.parametrize(
    ("terms", "quiet", "dice", "wait"),
    [
        pytest.param(FIXED, "0s", 0.0, "2s", id="fixed-at-first"),
        pytest.param(FIXED, "3d", LATEST, "2s", id="fixed-for-ever-without-jitter"),
        pytest.param(BACKOFF, "0s", MIDDLE, "2s", id="min-right-after-a-change"),
        pytest.param(BACKOFF, "60s", MIDDLE, "32s", id="min-and-half-of-the-quiet-time"),
        pytest.param(BACKOFF, "60s", 0.0, "28.8s", id="jitter-of-a-tenth-less"),
        pytest.param(BACKOFF, "60s", LATEST, "35.2s", id="jitter-of-a-tenth-more"),
        pytest.param(BACKOFF, "0s", 0.0, "2s", id="jitter-never-below-min"),
        pytest.param(BACKOFF, "3d", MIDDLE, "5m", id="at-most-max"),
        pytest.param(BACKOFF, "3d", LATEST, "5m", id="jitter-never-above-max"),
    ],
)
def test_the_pace_is_fixed_or_grows_with_the_time_since_the_last_change(
    terms: Pace, quiet: str, dice: float, wait: str
) -> None:
    assert pace(terms, quiet=span(quiet), dice=dice) == span(wait)


def test_a_clock_that_was_put_back_means_the_change_is_just_now() -> None:
    assert pace(BACKOFF, quiet=-span("1h"), dice=MIDDLE) == span("2s")


def test_the_waits_grow_by_half_a_step() -> None:
    quiet, waits = timedelta(0), []
    for _ in range(5):
        waits.append(pace(BACKOFF, quiet=quiet, dice=MIDDLE).total_seconds())
        quiet += timedelta(seconds=waits[-1])
    assert waits == [2, 3, 4.5, 6.75, 10.125]


@pytest.mark.parametrize(
    ("failures", "wait"),
    [(0, "2s"), (1, "2s"), (2, "4s"), (3, "8s"), (8, "256s"), (9, "5m"), (10**9, "5m")],
)
def test_polls_that_bring_nothing_double_the_wait_up_to_max(failures: int, wait: str) -> None:
    assert back_off(BACKOFF, failures=failures, dice=MIDDLE) == span(wait)


@given(PACES, st.integers(0, 10**12), DICE)
def test_back_off_never_overflows_nor_leaves_min_and_max(terms: Pace, failures: int, dice: float) -> None:
    assert terms.min <= back_off(terms, failures=failures, dice=dice) <= terms.max


@given(PACES, st.timedeltas(), DICE)
def test_the_pace_never_overflows_nor_leaves_min_and_max(terms: Pace, quiet: timedelta, dice: float) -> None:
    assert terms.min <= pace(terms, quiet=quiet, dice=dice) <= terms.max


@pytest.mark.parametrize(
    ("terms", "asked", "wait"),
    [
        pytest.param(BACKOFF, {}, "7s", id="by-its-pace"),
        pytest.param(BACKOFF, {"deadline_at": after("15s")}, "5s", id="at-the-deadline-sooner-than-its-pace"),
        pytest.param(BACKOFF, {"deadline_at": after("11s")}, "2s", id="not-sooner-than-min-for-the-deadline"),
        pytest.param(BACKOFF, {"deadline_at": START}, "2s", id="soon-where-the-deadline-passed-while-we-were-down"),
        pytest.param(BACKOFF, {"retry_after": span("20s")}, "20s", id="as-long-as-the-answer-asks"),
        pytest.param(BACKOFF, {"retry_after": span("1s")}, "7s", id="longer-than-the-answer-asks"),
        pytest.param(
            BACKOFF,
            {"retry_after": span("20s"), "deadline_at": after("15s")},
            "20s",
            id="retry-after-over-the-deadline",
        ),
        pytest.param(BACKOFF, {"not_before": after("1h")}, "5m", id="slowly-until-a-scheduled-start"),
        pytest.param(FIXED, {"not_before": after("1h")}, "5m", id="slowly-in-fixed-mode-too"),
        pytest.param(BACKOFF, {"not_before": after("70s")}, "60s", id="at-the-scheduled-start-itself"),
        pytest.param(BACKOFF, {"not_before": after("11s")}, "2s", id="not-sooner-than-min-for-the-start"),
        pytest.param(BACKOFF, {"not_before": after("6s")}, "4s", id="quiet-since-the-scheduled-start"),
        pytest.param(BACKOFF, {"not_before": START - span("1h")}, "7s", id="quiet-since-a-change-after-the-start"),
        pytest.param(FIXED, {}, "2s", id="fixed"),
    ],
)
def test_a_watch_that_was_seen_is_asked_again(terms: Pace, asked: dict[str, datetime], wait: str) -> None:
    times = {"now": after("10s"), "since": START, "deadline_at": after("3d")} | asked
    assert next_poll(terms, dice=MIDDLE, **times) == span(wait)  # type: ignore[arg-type]  # a table of its arguments


@given(MODES, MOMENTS, MOMENTS, MOMENTS, st.none() | MOMENTS, st.timedeltas(timedelta(0), timedelta(days=1)), DICE)
def test_a_wait_is_never_below_min_nor_retry_after_whatever_the_times(
    terms: Pace,
    now: datetime,
    since: datetime,
    deadline_at: datetime,
    not_before: datetime | None,
    retry_after: timedelta,
    dice: float,
) -> None:
    wait = next_poll(
        terms,
        now=now,
        since=since,
        deadline_at=deadline_at,
        dice=dice,
        not_before=not_before,
        retry_after=retry_after,
    )
    assert max(terms.min, retry_after) <= wait <= max(terms.max, retry_after)


@pytest.mark.parametrize(
    "section",
    [
        pytest.param({"min": "0s", "max": "5m"}, id="min-is-nothing"),
        pytest.param({"min": "6m", "max": "5m"}, id="min-above-max"),
        pytest.param({"min": "2s", "max": "5m", "mode": "wild"}, id="unknown-mode"),
        pytest.param({"min": "2s", "max": "5m", "jitter": 1}, id="unknown-key"),
    ],
)
def test_a_pace_that_cannot_be_kept_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Pace.model_validate(section)
