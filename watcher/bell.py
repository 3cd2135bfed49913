"""Waking a loop that waits. One waits, anybody rings."""

import anyio


class Bell:
    """An event that is used again and again: `wait` ends at the next ring, or at one that came before it."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        """End the wait, now or the next one at once."""
        self._event.set()

    async def wait(self, *, at_most: float) -> None:
        """Wait for a ring, but no longer than so many seconds."""
        with anyio.move_on_after(at_most):
            await self._event.wait()
        if self._event.is_set():
            self._event = anyio.Event()
