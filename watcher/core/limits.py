"""How much may be asked at a time. Values that are told the time; they neither know it nor wait."""

RECOVERY = 300.0
SLOWEST = 1 / 64


class TokenBucket:
    """At most `burst` at once and `rate` per second; `now` is seconds on any clock that never goes back.

    It starts with one token, so that a restart is no way around the limit. Told to slow down it halves its rate, and
    grows back by steady steps: from nothing to all of it within `RECOVERY` seconds. That may begin at the end of a
    pause: nothing is given until then, and what is gathered, or owed, counts from then on.
    """

    __slots__ = ("_full_at", "_slow", "_slow_at", "burst", "rate")

    def __init__(self, *, rate: float, burst: int, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._slow = rate
        self._slow_at = now
        self._full_at = now + (burst - 1) / rate  # a moment, not a level: a level never quite reaches 1 by adding

    def wait(self, *, now: float) -> float:
        """Return the seconds until there is a token, 0 if there is one."""
        return max(self._full_at - (self.burst - 1) / self.rate - now, 0.0)

    def take(self, *, now: float) -> float:
        """Take one token and return 0, or take none and return the seconds until there is one."""
        wait = self._full_at - (self.burst - 1) / self.rate - now
        if wait > 0:
            return wait
        self._full_at = max(self._full_at, now) + 1 / self.rate_at(now=now)
        return 0.0

    def rate_at(self, *, now: float) -> float:
        """Return how many tokens a second there are now."""
        return min(self.rate, self._slow + self.rate * (now - self._slow_at) / RECOVERY)

    def divide(self, *, rate: float, burst: int, now: float) -> None:
        """Go on with another rate and burst; there are no more tokens than there were, and no pause gets longer."""
        start = max(now, self._slow_at)
        tokens = min(self.burst - max(self._full_at - start, 0.0) * self.rate, burst)
        self._slow, self._slow_at = self.rate_at(now=start) * rate / self.rate, start
        self.rate, self.burst = rate, burst
        self._full_at = start + (burst - tokens) / rate

    def empty(self, *, now: float) -> None:
        """Leave nothing in the bucket."""
        self._full_at = max(self._full_at, now + self.burst / self.rate)

    def slow_down(self, *, now: float) -> None:
        """Halve the rate, and leave nothing in the bucket; `now` may be to come, as the end of a pause."""
        start = max(now, self._slow_at)
        self._slow, self._slow_at = max(self.rate_at(now=start) / 2, self.rate * SLOWEST), start
        self._full_at = max(self._full_at, start + 1 / self._slow + (self.burst - 1) / self.rate)
