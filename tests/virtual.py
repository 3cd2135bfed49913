"""Time that costs nothing: when nothing is ready the loop jumps to its next timer, unless a thread is at work."""

import asyncio
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EPOCH = 1000.0  # what the loop's clock says as it starts
TICK = 1e-9  # each turn takes a moment, or a wait that is lost in rounding would last for ever


class _Jumps(selectors.DefaultSelector):
    """Waits in no time; but for real while threads are at work, or when there is no timer to jump to."""

    def __init__(self) -> None:
        super().__init__()
        self.now = EPOCH
        self.at_work = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += TICK
        if timeout is None or (timeout > 0 and self.at_work):
            return super().select()
        ready = super().select(0)
        if not ready:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while it works, and jumps while it would wait."""

    def __init__(self) -> None:
        self._jumps = _Jumps()
        super().__init__(self._jumps)

    def time(self) -> float:
        return self._jumps.now

    @contextmanager
    def waiting_for_a_thread(self) -> Iterator[None]:
        """Let time stand still as long as the block lasts: what wakes the loop comes from outside."""
        self._jumps.at_work += 1
        try:
            yield
        finally:
            self._jumps.at_work -= 1


class VirtualClock:
    """`ports.Clock` on the loop's time; `step` moves the wall clock alone."""

    def __init__(self) -> None:
        self._offset = timedelta(0)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic() - EPOCH) + self._offset

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def step(self, offset: timedelta) -> None:
        self._offset += offset
