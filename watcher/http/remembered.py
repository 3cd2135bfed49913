"""An answer of the store that many ask for: it is asked for a small share of the time at most, and remembered."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

SHARE = 0.02  # a million watches take 0.8 s to count, in which nobody else reads: so once in 40 s
AT_LEAST = 0.5  # seconds for which an answer holds, however fast it came

Answer = TypeVar("Answer")


class Remembered(Generic[Answer]):
    """Asks again once the last answer is old; whoever comes while it is being asked waits for that one answer."""

    def __init__(self, ask: Callable[[], Awaitable[Answer]]) -> None:
        self._ask = ask
        self._asking = anyio.Lock()
        self._answers: list[Answer] = []
        self._holds_until = 0.0

    async def get(self) -> Answer:
        """Return the answer."""
        async with self._asking:
            began = anyio.current_time()
            if not self._answers or began >= self._holds_until:
                self._answers = [await self._ask()]
                now = anyio.current_time()
                self._holds_until = now + max(AT_LEAST, (now - began) / SHARE)
            return self._answers[0]
