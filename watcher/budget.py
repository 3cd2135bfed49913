"""How much memory deliveries may take that were fetched and are not settled. Who fetches what is `at_hand.py`'s."""

from collections.abc import Iterator
from contextlib import contextmanager

from watcher.core.delivery import Delivery

ROOM = 32 * 2**20
AROUND = 1536  # bytes that a delivery takes beside its body


def size(delivery: Delivery) -> int:
    """Return about how many bytes of memory a delivery takes."""
    return AROUND + len(delivery.event.body)


class Budget:
    """How many bytes may be held, of all that share it. It counts; whoever has little may overdraw it a little."""

    __slots__ = ("_left",)

    def __init__(self, room: int = ROOM) -> None:
        self._left = room

    def buys(self, *, each: int) -> int:
        """Return how many more of that size may be held."""
        return max(self._left, 0) // each

    def spend(self, number: int) -> None:
        """Hold so many bytes more; fewer than none are given back."""
        self._left -= number

    @contextmanager
    def reserved(self, number: int) -> Iterator[None]:
        """Keep so many bytes for what is fetched in the block."""
        self.spend(number)
        try:
            yield
        finally:
            self.spend(-number)
