"""`ports.Clock` of the machine; tests have others. And how far a wall clock is believed."""

import time
from datetime import UTC, datetime, timedelta

from watcher.ports import Clock

LEAP = timedelta(minutes=1)
BELIEVED_AFTER = 600.0


class SystemClock:
    """The machine's two clocks."""

    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def now() -> datetime:
        """Return the wall clock, in UTC."""
        return datetime.now(UTC)


class DoubtfulClock:
    """A wall clock that is not believed at once when it leaps ahead: somebody may put it back.

    What cannot be undone goes by it: a leap of a minute and more counts once it has lasted, for ten minutes or as is
    said.
    """

    def __init__(self, clock: Clock, *, believed_after: float = BELIEVED_AFTER) -> None:
        self._clock = clock
        self._believed_after = believed_after
        self._zero = clock.now() - timedelta(seconds=clock.monotonic())
        self._leapt_at: float | None = None

    def now(self) -> datetime:
        """Return a moment that has come, in UTC."""
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        steady = self._zero + timedelta(seconds=monotonic)
        if wall > steady + LEAP:
            self._leapt_at = self._leapt_at or monotonic
            if monotonic - self._leapt_at < self._believed_after:
                return steady
        self._leapt_at = None
        self._zero += wall - steady
        return wall
