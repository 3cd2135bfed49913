"""What the store must know of an account as a whole: that it went down or came back, and until when it is paused."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import anyio

from watcher.core.errors import StaleWatchError
from watcher.core.event import provider_changed
from watcher.core.gate import Gate
from watcher.core.model import Condition
from watcher.ports import Clock
from watcher.record import Recorder

WORTH_KEEPING = 1.0  # seconds: what was in flight with the poll that is told of a pause makes it a little longer


class Notices:
    """Tells the store, once, what the gate of an account has come to; `condition` is what the store knows already."""

    def __init__(self, condition: Condition, *, gate: Gate, recorder: Recorder, clock: Clock) -> None:
        self._condition = condition
        self._gate = gate
        self._recorder = recorder
        self._clock = clock
        self._one_at_a_time = anyio.Lock()

    def knows_pause(self, condition: Condition) -> bool:
        """Is it the pause that the store was known to know of already?"""
        return condition.paused_until == self._condition.paused_until

    @property
    def are_told(self) -> bool:
        """Does the store know all that the gate knows?"""
        return self._gate.reason is self._condition.reason and not self._is_paused_anew

    def learn(self, condition: Condition) -> bool:
        """Take over what the store says, which another worker may have told it; say whether the gate must follow."""
        if condition.sequence < self._condition.sequence:  # read before what was told from here
            return False
        is_new = condition.sequence > self._condition.sequence
        if is_new or left(condition, now=self._clock.now()) > 0:
            self._condition = condition
        return is_new

    async def tell(self, *, watches: int, error: str | None) -> None:
        """Tell what is not told yet; `watches` are open at the account, `error` is what the log says of it.

        Raises:
            StoreError: it is not told, and will be.

        """
        if self.are_told:
            return
        async with self._one_at_a_time:
            reason = self._gate.reason
            if reason is not self._condition.reason:
                report = provider_changed(self._condition, reason=reason, at=self._clock.now(), watches=watches)
                with suppress(StaleWatchError):  # another worker told it; what it said is learnt in a moment
                    await self._recorder.report(report, error=error)
                    self._condition = report.condition
            if self._is_paused_anew:
                await self._keep_pause()

    async def _keep_pause(self) -> None:
        """Store until when nothing is sent to the account, so that a restart keeps to it."""
        rest = timedelta(seconds=self._gate.paused(now=self._clock.monotonic()))
        now = self._clock.now()
        condition = replace(self._condition, paused_until=now + rest, paused_at=now)
        await self._recorder.pause(condition)
        self._condition = condition

    @property
    def _is_paused_anew(self) -> bool:
        paused = self._gate.paused(now=self._clock.monotonic())
        if paused <= 0:
            return False
        stored = left(self._condition, now=self._clock.now())
        return paused > stored + WORTH_KEEPING or stored <= 0


def left(condition: Condition, *, now: datetime) -> float:
    """Return the seconds that are left of a pause; 0 if there is none."""
    until = condition.rests_until(now=now)
    return 0.0 if until is None else (until - now).total_seconds()
