"""What may be sent to a webhook next, whatever waits for it. It is told the time and what came of each POST."""

from collections import deque
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf

from watcher.core import endpoint as states
from watcher.core.delivery import Attempt
from watcher.core.endpoint import Endpoint
from watcher.core.limits import TokenBucket
from watcher.core.webhook import Kind, Meaning, plain
from watcher.core.webhook_section import Terms

FAILURES = 5
WATCHES = 3
RESERVED = 4  # one slot of so many is kept for each kind, so that neither starves the other
FIRST_REST = timedelta(seconds=1)
LONGEST_REST = timedelta(seconds=30)


class Outlet:
    """Within rate and concurrency; not while it is paused or disabled; and by probes alone while its breaker is open.

    First attempts go before those that go again (retries, replays), and a part of the slots is kept for each.
    Too much to do (502, 503, 504, timeouts) halves the concurrency, and each success gives some of it back.
    Where our own side fails, one POST at a time tries whether it still does.
    """

    __slots__ = (
        *("_allowed", "_bucket", "_failures", "_flying", "_halved_at", "_most", "_probed", "_rest", "_rest_until"),
        *("_rate", "_share", "_turns", "endpoint"),
    )

    def __init__(self, endpoint: Endpoint, *, terms: Terms, now: datetime, share: float = 1.0) -> None:
        self.endpoint = endpoint
        self._most = terms.concurrency
        self._allowed = float(terms.concurrency)
        self._halved_at = now
        self._rate = terms.rate
        self._bucket = None if terms.rate is None else TokenBucket(rate=terms.rate, burst=1, now=now.timestamp())
        self._flying = {False: 0, True: 0}
        self._failures: deque[tuple[str, bool]] = deque(maxlen=FAILURES)
        self._probed: set[str] = set()
        self._rest = timedelta(0)
        self._rest_until = now
        self._turns = 1
        self._share = share

    def divide(self, share: float, *, now: datetime) -> None:
        """Use this part of the rate from now on; nothing is sent with none."""
        before, self._share = self._share, share
        if self._bucket is not None and self._rate is not None and share > 0:
            if not before:  # what was not ours to use others may have used
                self._bucket.empty(now=now.timestamp())
            self._bucket.divide(rate=self._rate * share, burst=1, now=now.timestamp())

    # --- what may go ------------------------------------------------------------------------------------------

    def wait(self, *, now: datetime) -> float:
        """Return the seconds until anything may be sent: 0 at once, infinity if that does not depend on time."""
        known = self.endpoint
        if known.disabled or (self._is_careful and any(self._flying.values())):
            return inf
        rest = max(self._rest_until, known.paused_until or now, known.probe_at or now)
        return max((rest - now).total_seconds(), 0.0)

    def choose(self, *, first: bool, again: bool) -> bool | None:
        """Say what to send next where `first` attempts and such that go `again` wait; None if no slot is free."""
        slots = int(self._allowed)
        if sum(self._flying.values()) >= slots:
            return None
        if slots > 1 and not self._is_careful:
            most = slots - max(1, slots // RESERVED)
            first = first and self._flying[False] < (most if again or self._flying[True] else slots)
            again = again and self._flying[True] < most
        if first and again:  # slots alone do not keep the peace where the rate is what is short, or there is one slot
            return self._turns % RESERVED == 0
        return again if first or again else None

    def is_probed(self, watch: str) -> bool:
        """Was this watch a probe already, since the breaker opened? Another one goes before it."""
        return self.endpoint.is_open and watch in self._probed

    def take(self, *, now: datetime) -> float:
        """Take one POST off the rate and return 0, or return the seconds until there is one."""
        return 0.0 if self._bucket is None else self._bucket.take(now=now.timestamp())

    def begin(self, watch: str, *, again: bool) -> None:
        """A POST is sent."""
        self._flying[again] += 1
        self._turns += 1
        if self.endpoint.is_open:
            self._probed.add(watch)

    @property
    def _is_careful(self) -> bool:
        """Is one POST at a time enough, to see whether it gets through?"""
        return self.endpoint.is_open or self._rest > timedelta(0)

    # --- what came of it --------------------------------------------------------------------------------------

    def spares(self, began_at: datetime) -> bool:
        """Is no attempt burnt by what began then: was it in flight as the breaker opened?"""
        return self.endpoint.opened_at is not None and began_at <= self.endpoint.opened_at

    def abandon(self, *, again: bool) -> None:
        """A POST came to nothing, and says nothing of the webhook."""
        self._flying[again] -= 1

    def end(self, watch: str, means: Meaning, *, again: bool, attempt: Attempt, began_at: datetime) -> None:
        """A POST came back. Where that is about one watch or one moment, its status says whether anybody is there."""
        self._flying[again] -= 1
        now = began_at + timedelta(seconds=attempt.duration)
        self._rest_own_side(means.kind, began_at=began_at, now=now)
        by_status = means.kind if attempt.status is None else plain(attempt.status)
        match means.kind:
            case Kind.NOT_SENT:
                pass
            case Kind.PAUSED if means.until is not None:
                self._pause(means.until, by_status, began_at=began_at, now=now)
            case Kind.DISABLED if means.disabled is not None and not self.endpoint.is_origin:
                self.endpoint = states.disabled(self.endpoint, means.disabled, now=now)
            case Kind.ABORTED | Kind.DISABLED:
                self._judge(watch, by_status, attempt=attempt, began_at=began_at, now=now)
            case kind:
                self._judge(watch, kind, attempt=attempt, began_at=began_at, now=now)
        if not self.endpoint.is_open:
            self._probed.clear()

    def switch(self, *, on: bool, now: datetime) -> None:
        """Enable the webhook, and forget what was wrong with it; or disable it."""
        if on:
            self._failures.clear()
            self.endpoint = states.enabled(self.endpoint)
        else:
            self.endpoint = states.disabled(self.endpoint, states.Disabled.COMMAND, now=now)

    def adopt(self, section: str) -> None:
        """Remember of what section this is; where it changed, what was wrong before is over."""
        if self.endpoint.section != section:
            changed = states.enabled(self.endpoint) if self.endpoint.section else self.endpoint
            self.endpoint = replace(changed, section=section)

    def _judge(self, watch: str, kind: Kind, *, attempt: Attempt, began_at: datetime, now: datetime) -> None:
        match kind:
            case Kind.DELIVERED:
                self._allowed = min(self._allowed + 1 / self._allowed, self._most)
                self._failures.clear()
                self.endpoint = states.succeeded(self.endpoint, attempt)
            case Kind.REFUSED | Kind.TOO_LARGE:
                self._failures.clear()
                self.endpoint = states.failed(states.alive(self.endpoint), now=now)
            case _:
                self._fail(watch, kind, began_at=began_at, now=now)

    def _pause(self, until: datetime, kind: Kind, *, began_at: datetime, now: datetime) -> None:
        known = states.failed(states.paused(self.endpoint, until=until, now=now), now=now)
        if kind is Kind.REFUSED:
            self._failures.clear()
            known = states.alive(known)
        self.endpoint = self._after_probe(known, began_at=began_at, now=now)

    def _fail(self, watch: str, kind: Kind, *, began_at: datetime, now: datetime) -> None:
        if kind is Kind.OVERLOADED and began_at >= self._halved_at:  # what was in flight then says nothing new
            self._allowed = max(self._allowed / 2, 1.0)
            self._halved_at = now
        self._failures.append((watch, kind is not Kind.FAILED))
        known = self._after_probe(states.failed(self.endpoint, now=now), began_at=began_at, now=now)
        self.endpoint = states.opened(known, now=now) if not known.is_open and self._is_dead() else known

    def _after_probe(self, known: Endpoint, *, began_at: datetime, now: datetime) -> Endpoint:
        """Put the next probe off, if this was one that the webhook did not survive."""
        return states.probed(known, now=now) if known.is_open and not self.spares(began_at) else known

    def _is_dead(self) -> bool:
        """Are there five failures in a row, of several watches or such as a dead webhook makes?"""
        if len(self._failures) < FAILURES:
            return False
        return len({watch for watch, _ in self._failures}) >= WATCHES or all(dead for _, dead in self._failures)

    def _rest_own_side(self, kind: Kind, *, began_at: datetime, now: datetime) -> None:
        if kind is not Kind.NOT_SENT:
            self._rest, self._rest_until = timedelta(0), now
        elif began_at >= self._rest_until:  # what was in flight as the rest began says nothing new
            self._rest = min(max(2 * self._rest, FIRST_REST), LONGEST_REST)
            self._rest_until = now + self._rest
