"""Waking all who wait for events at once. Unlike a `Bell`, which wakes one loop."""

import anyio


class News:
    """Many wait, anybody rings."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    @property
    def next(self) -> anyio.Event:
        """The next ring. Take it before you look at the store, or a ring in between is lost."""
        return self._event

    def ring(self) -> None:
        """Wake everybody who waits."""
        self._event.set()
        self._event = anyio.Event()
