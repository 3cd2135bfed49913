"""`ports.Clock` of the machine; tests have others."""

import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's two clocks."""

    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def now() -> datetime:
        """Return the wall clock, in UTC."""
        return datetime.now(UTC)
