"""Is a loop stuck in what it began? Whoever waits, for others or for the next turn, is idle, and may be so for ever."""

from collections.abc import Iterator
from contextlib import contextmanager

from watcher.ports import Clock


class Pulse:
    """What one loop is at work on just now, and since when; none of it should last for `patience` seconds."""

    __slots__ = ("_at_work", "_clock", "_patience")

    def __init__(self, clock: Clock, *, patience: float) -> None:
        self._clock = clock
        self._patience = patience
        self._at_work: dict[object, float] = {}  # in the order in which it was begun

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Be at work for as long as the block lasts; other blocks may last at the same time."""
        work = object()
        self._at_work[work] = self._clock.monotonic()
        try:
            yield
        finally:
            del self._at_work[work]

    @property
    def is_steady(self) -> bool:
        """Has nothing lasted too long?"""
        oldest = next(iter(self._at_work.values()), None)
        return oldest is None or self._clock.monotonic() - oldest < self._patience
