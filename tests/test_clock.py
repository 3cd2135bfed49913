"""How far the wall clock is believed."""

from datetime import UTC, datetime, timedelta

import pytest

from watcher.clock import BELIEVED_AFTER, LEAP, DoubtfulClock, SystemClock

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class SetClock:
    """A machine whose two clocks are set by hand."""

    def __init__(self) -> None:
        self.wall, self.seconds = NOON, 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float, *, ahead: timedelta = timedelta(0)) -> None:
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds) + ahead


@pytest.mark.parametrize("ahead", [timedelta(0), LEAP, -LEAP, timedelta(days=-9)])
def test_a_clock_is_believed_that_does_not_leap_ahead(ahead: timedelta) -> None:
    clock = SetClock()
    sure = DoubtfulClock(clock)
    for _ in range(3):
        clock.pass_by(5.0, ahead=ahead)
        assert sure.now() == clock.now()


def test_a_clock_that_goes_wrong_bit_by_bit_is_followed() -> None:
    clock = SetClock()
    sure = DoubtfulClock(clock)
    for _ in range(1000):
        clock.pass_by(1.0, ahead=SECOND)
        assert sure.now() == clock.now()


def test_a_leap_ahead_counts_once_it_has_lasted() -> None:
    clock = SetClock()
    sure = DoubtfulClock(clock)
    clock.pass_by(5.0, ahead=LEAP + SECOND)
    assert sure.now() == NOON + 5 * SECOND
    clock.pass_by(BELIEVED_AFTER - 1)
    assert sure.now() == NOON + timedelta(seconds=BELIEVED_AFTER + 4)
    clock.pass_by(1.0)
    assert sure.now() == clock.now()
    clock.pass_by(1.0)
    assert sure.now() == clock.now()


def test_a_leap_that_was_taken_back_is_forgotten() -> None:
    clock = SetClock()
    sure = DoubtfulClock(clock)
    for _ in range(3):
        clock.pass_by(5.0, ahead=timedelta(days=4))
        assert sure.now() < clock.now()
        clock.pass_by(BELIEVED_AFTER - 10, ahead=timedelta(days=-4))
        assert sure.now() == clock.now()


def test_the_machine_s_clocks_are_utc_and_seconds() -> None:
    assert SystemClock.now().tzinfo is UTC
    assert SystemClock.monotonic() > 0
