"""When may an account be asked next, whatever its watches want? A value: it is told the time and what polls brought."""

from watcher.core.health import Health
from watcher.core.limits import TokenBucket
from watcher.core.model import Final, Reason, Throttled

PAUSE = 30.0  # seconds, where a provider says that it is asked too much and not for how long


class Gate:
    """Within the rate; not while it is paused; and one at a time, seldom, while it is down. `now` is monotonic."""

    __slots__ = ("_bucket", "_health", "_paused_until")

    def __init__(self, *, rate: float, burst: int, now: float, reason: Reason | None = None) -> None:
        self._bucket = TokenBucket(rate=rate, burst=burst, now=now)
        self._health = Health(reason)
        self._paused_until = now

    @property
    def reason(self) -> Reason | None:
        """Why the account as a whole is down, None if it is not."""
        return self._health.reason

    def take(self, *, now: float) -> float:
        """Let one poll through and return 0, or return the seconds until it is worth asking again."""
        wait = max(self._paused_until - now, self._health.wait(now=now))
        if wait > 0 or (wait := self._bucket.take(now=now)) > 0:
            return wait
        self._health.probe(now=now)
        return 0.0

    def note(self, uid: str, outcome: Final | None, *, watches: int, now: float) -> float | None:
        """Take note of a poll that came back (None: unchanged) of one of so many watches.

        Returns:
            The seconds for which the account is paused, if this poll says so and none in flight with it said it before.

        """
        self._health.note(uid, outcome, watches=watches, now=now)
        if not isinstance(outcome, Throttled):
            return None
        wait = PAUSE if outcome.retry_after is None else outcome.retry_after.total_seconds()
        is_news = now >= self._paused_until
        self._paused_until = max(self._paused_until, now + wait)
        if is_news:
            self._bucket.slow_down(now=now + wait)
        return wait if is_news else None
