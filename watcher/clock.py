"""`ports.Clock` of the machine; tests have others."""

import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's two clocks."""

    def now(self) -> datetime:
        """Return the wall clock, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()
