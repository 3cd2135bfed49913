"""When may an account be asked next, whatever its watches want? A value: it is told the time and what polls brought."""

from math import inf

from watcher.core.health import Health
from watcher.core.limits import TokenBucket
from watcher.core.model import Reason
from watcher.core.outcome import Final, Throttled

PAUSE = 30.0  # seconds, where a provider says that it is asked too much and not for how long
LONGEST_PAUSE = 86400.0  # seconds; what is said to be left of a longer one is the mistake of a clock


class Gate:
    """Within the rate; not while it is paused; and one at a time, seldom, while it is down. `now` is monotonic."""

    __slots__ = ("_bucket", "_health", "_paused_at", "_paused_until")

    def __init__(
        self, *, rate: float, burst: int, now: float, reason: Reason | None = None, paused: float = 0.0
    ) -> None:
        """Begin where it stopped: `reason` is what was wrong then, `paused` the seconds left of a pause."""
        self._bucket = TokenBucket(rate=rate, burst=burst, now=now)
        self._health = Health(reason)
        self._paused_at = -inf
        self._paused_until = now
        if paused > 0:
            self._pause(min(paused, LONGEST_PAUSE), now)

    @property
    def reason(self) -> Reason | None:
        """Why the account as a whole is down, None if it is not."""
        return self._health.reason

    def believe(self, reason: Reason | None) -> None:
        """Take from others that the account is down, or up."""
        self._health = Health(reason)

    def pause(self, seconds: float, *, now: float) -> None:
        """Take from others that nothing may be sent for so long."""
        self._paused_until = max(self._paused_until, now + min(seconds, LONGEST_PAUSE))

    def divide(self, *, rate: float, burst: int, now: float) -> None:
        """Go on with another part of the account's limits."""
        self._bucket.divide(rate=rate, burst=burst, now=now)

    def empty(self, *, now: float) -> None:
        """Have nothing saved up of the rate: what was not ours to use others may have used."""
        self._bucket.empty(now=now)

    def take(self, *, now: float) -> float:
        """Let one poll through and return 0, or return the seconds until it is worth asking again."""
        if self.is_closed(now=now) and (wait := self.wait(now=now)) > 0:
            return wait
        wait = self._bucket.take(now=now)
        if wait > 0:
            return wait
        self._health.probe(now=now)
        return 0.0

    def wait(self, *, now: float) -> float:
        """Return the seconds until one poll could be let through, 0 if one could now; nothing is taken."""
        return max(self._paused_until - now, self._health.wait(now=now), self._bucket.wait(now=now))

    def paused(self, *, now: float) -> float:
        """Return the seconds that are left of a pause, 0 if there is none."""
        return max(self._paused_until - now, 0.0)

    def is_closed(self, *, now: float) -> bool:
        """Is nobody let through for now, however low the rate: paused, or down?"""
        return now < self._paused_until or self._health.reason is not None

    def note(self, uid: str, outcome: Final | None, *, watches: int, asked_at: float, now: float) -> float | None:
        """Take note of a poll that came back (None: unchanged) of one of so many watches.

        Returns:
            The seconds for which the account is paused, if this poll says so and none in flight with it said it before.

        """
        self._health.note(uid, outcome, watches=watches, asked_at=asked_at, now=now)
        if not isinstance(outcome, Throttled):
            return None
        wait = PAUSE if outcome.retry_after is None else outcome.retry_after.total_seconds()
        if asked_at <= self._paused_at:  # it was asked before we knew
            self._paused_until = max(self._paused_until, now + wait)
            return None
        self._pause(wait, now)
        return wait

    def _pause(self, wait: float, now: float) -> None:
        self._paused_at = now
        self._paused_until = max(self._paused_until, now + wait)
        self._bucket.slow_down(now=now + wait)
