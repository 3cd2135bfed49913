"""Is an account as a whole all right? A value that is told what each poll brought; it neither waits nor asks."""

from collections import deque
from math import inf

from watcher.core.model import Reason
from watcher.core.outcome import Broken, Denied, Final

RECENT = 20
ENOUGH = 5
WATCHES = 3
FIRST_PROBE = 10.0
LONGEST_PROBE = 300.0
WANTED = 3


class Health:
    """Down, when most of the recent polls could not connect, timed out or got a 5xx; denied, when all of them were.

    It takes several polls, and several watches where there are as many. From then on one waiting watch at a time
    asks, at growing intervals, and a probe that shows the contrary ends it. One that goes down again soon after it
    came up is a flickering one: the intervals grow on, and it takes three such probes. `now` is monotonic seconds.
    """

    __slots__ = ("_fresh_at", "_probe_at", "_recent", "_wait", "_wanted", "reason")

    def __init__(self, reason: Reason | None = None) -> None:
        self.reason = reason
        self._recent: deque[tuple[str, Reason | None]] = deque(maxlen=RECENT)
        self._fresh_at = -inf  # what was asked before says nothing new
        self._probe_at = 0.0
        self._wait = FIRST_PROBE
        self._wanted = 1

    def note(self, uid: str, outcome: Final | None, *, watches: int, asked_at: float, now: float) -> bool:
        """Take note of one poll of a watch (None: unchanged); True if `reason` is another one now.

        `watches` is how many are open at the account.
        """
        if asked_at < self._fresh_at:
            return False
        before, bad = self.reason, None if outcome is None else _accuses(outcome)
        if before is None:
            self._recent.append((uid, bad))
            if bad and (reason := self._verdict(watches)):
                self._go_down(reason, now)
        elif bad is None or (bad is Reason.DENIED and before is not Reason.DENIED):
            self._come_up(now)
        else:
            self._wait = min(2 * self._wait, LONGEST_PROBE)
            self._put_off(now)
        return self.reason is not before

    def _go_down(self, reason: Reason, now: float) -> None:
        flickers = now < self._fresh_at + LONGEST_PROBE
        self.reason = reason
        self._wait = min(2 * self._wait, LONGEST_PROBE) if flickers else FIRST_PROBE
        self._wanted = WANTED if flickers else 1
        self._put_off(now)

    def _come_up(self, now: float) -> None:
        self._wanted -= 1
        if self._wanted:
            self._probe_at = now + FIRST_PROBE
            return
        self.reason = None
        self._fresh_at = now
        self._recent.clear()

    def wait(self, *, now: float) -> float:
        """Return the seconds until somebody may ask; 0 if nothing stands against it."""
        return 0.0 if self.reason is None else max(self._probe_at - now, 0.0)

    def probe(self, *, now: float) -> None:
        """Somebody asks now; while the account is down nobody else does until the answer is noted, or is overdue."""
        if self.reason is not None:
            self._fresh_at = now
            self._probe_at = now + LONGEST_PROBE

    def _put_off(self, now: float) -> None:
        self._fresh_at = inf
        self._probe_at = now + self._wait

    def _verdict(self, watches: int) -> Reason | None:
        """Say what the recent polls have in common, if that is enough to accuse the account of it."""
        accused = [(uid, reason) for uid, reason in self._recent if reason is not None]
        if len(accused) < ENOUGH or len({uid for uid, _ in accused}) < min(WATCHES, watches):
            return None
        down = [reason for _, reason in accused if reason is not Reason.DENIED]
        if 2 * len(down) > len(self._recent):
            return down[-1]
        last = [reason for _, reason in self._recent][-ENOUGH:]
        return Reason.DENIED if set(last) == {Reason.DENIED} else None


def _accuses(outcome: Final) -> Reason | None:
    """Say what a poll's outcome may mean for the whole account."""
    if isinstance(outcome, Denied):
        return Reason.DENIED
    if isinstance(outcome, Broken) and outcome.reason in {Reason.UNREACHABLE, Reason.SERVER_ERROR}:
        return outcome.reason
    return None
