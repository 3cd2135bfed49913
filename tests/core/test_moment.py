from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.moment import rfc3339


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        pytest.param(
            datetime(2026, 11, 23, 7, 30, 0, 123456, tzinfo=UTC), "2026-11-23T07:30:00.123456Z", id="as-in-the-promise"
        ),
        pytest.param(datetime(2026, 11, 23, 7, 30, tzinfo=UTC), "2026-11-23T07:30:00.000000Z", id="on-the-second"),
        pytest.param(
            datetime(2026, 11, 23, 11, 30, tzinfo=timezone(timedelta(hours=4))),
            "2026-11-23T07:30:00.000000Z",
            id="with-another-offset",
        ),
    ],
)
def test_a_moment_is_written_in_utc_to_the_microsecond(moment: datetime, written: str) -> None:
    assert rfc3339(moment) == written


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_the_same_moment_when_it_is_read(moment: datetime) -> None:
    assert datetime.fromisoformat(rfc3339(moment)) == moment
