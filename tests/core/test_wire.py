from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.wire import Response

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def served_at(date: str) -> datetime | None:
    return Response(403, {"date": date}, b"", NOON).served_at


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 23 Nov 2026 12:00:00 GMT",
        "Mon, 23 Nov 2026 12:00:00 -0000",
        "Mon, 23 Nov 2026 14:00:00 +0200",
        "Monday, 23-Nov-26 12:00:00 GMT",
        "Mon Nov 23 12:00:00 2026",
    ],
)
def test_an_answer_says_what_time_it_is_on_the_other_side(date: str) -> None:
    assert served_at(date) == NOON


@pytest.mark.parametrize("date", ["", "now", "0", "Mon, 99 Nov 2026 12:00:00 GMT", "Mon, 23 Nov 99999 12:00:00 GMT"])
def test_what_is_no_date_is_no_time(date: str) -> None:
    assert served_at(date) is None


def test_an_answer_without_a_date_says_nothing() -> None:
    assert Response(403, {}, b"", NOON).served_at is None


@given(st.text() | st.from_regex(r"\w{3}, \d+ Nov \d+ \d+:\d+:\d+ [+-]\d+", fullmatch=True))
def test_any_date_is_a_moment_or_none(date: str) -> None:
    moment = served_at(date)
    assert moment is None or abs(moment - NOON) is not None
