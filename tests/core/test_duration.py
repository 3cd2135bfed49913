from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.duration import LONGEST, UNITS, format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (90, timedelta(seconds=90)),
        (0.5, timedelta(milliseconds=500)),
        ("90", timedelta(seconds=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("0.5s", timedelta(milliseconds=500)),
        ("10m", timedelta(minutes=10)),
        ("2h", timedelta(hours=2)),
        ("1.5h", timedelta(minutes=90)),
        (" 3d ", timedelta(days=3)),
        ("0s", timedelta(0)),
        ("3650d", LONGEST),
        (timedelta(seconds=7), timedelta(seconds=7)),
    ],
)
def test_a_duration_is_a_number_of_seconds_or_a_number_with_a_unit(written: object, meant: timedelta) -> None:
    assert parse_duration(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "",
        "s",
        "-1s",
        -1,
        "1 h",
        "1h30m",
        "10 minutes",
        "1e3",
        "inf",
        "nan",
        "٣s",
        ".5s",
        "5.",
        True,
        None,
        [],
        "3651d",
        1e300,
    ],
)
def test_anything_else_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("duration", "shown"),
    [
        (timedelta(0), "0s"),
        (timedelta(milliseconds=250), "250ms"),
        (timedelta(seconds=42), "42s"),
        (timedelta(minutes=90), "1.5h"),
        (timedelta(days=3), "3d"),
    ],
)
def test_a_duration_is_shown_with_the_largest_unit_that_fits(duration: timedelta, shown: str) -> None:
    assert format_duration(duration) == shown


@given(st.integers(min_value=1, max_value=99), st.sampled_from(sorted(UNITS)))
def test_what_is_shown_means_the_same_when_it_is_read(number: int, unit: str) -> None:
    duration = parse_duration(f"{number}{unit}")
    assert parse_duration(format_duration(duration)) == pytest.approx(duration, rel=1e-3)
