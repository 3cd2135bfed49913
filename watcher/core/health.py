"""Is an account as a whole all right? A value that is told what each poll brought; it neither waits nor asks."""

from collections import deque

from watcher.core.model import Broken, Denied, Final, Reason

RECENT = 20
ENOUGH = 5
WATCHES = 3
FIRST_PROBE = 10.0
LONGEST_PROBE = 300.0


class Health:
    """Down, when most of the recent polls could not connect, timed out or got a 5xx; denied, when all of them were.

    It takes several polls, and several watches where there are as many. From then on one waiting watch at a time
    asks, at growing intervals, and any answer that shows the contrary ends it. `now` is monotonic seconds.
    """

    __slots__ = ("_is_probed", "_probe_at", "_recent", "_wait", "reason")

    def __init__(self, reason: Reason | None = None) -> None:
        self.reason = reason
        self._recent: deque[tuple[str, Reason | None]] = deque(maxlen=RECENT)
        self._is_probed = False
        self._probe_at = 0.0
        self._wait = FIRST_PROBE

    def note(self, uid: str, outcome: Final | None, *, watches: int, now: float) -> bool:
        """Take note of one poll of a watch (None: unchanged); True if `reason` is another one now.

        `watches` is how many are open at the account.
        """
        bad = None if outcome is None else _accuses(outcome)
        self._recent.append((uid, bad))
        if self.reason is None:
            self.reason = self._verdict(watches) if bad else None
            if self.reason is not None:
                self._wait = FIRST_PROBE
                self._put_off(now)
            return self.reason is not None
        if bad is None or (bad is Reason.DENIED and self.reason is not Reason.DENIED):
            self.reason = None
            self._recent.clear()
            return True
        if self._is_probed:  # what was in flight as it went down says nothing new
            self._wait = min(2 * self._wait, LONGEST_PROBE)
            self._put_off(now)
        return False

    def wait(self, *, now: float) -> float:
        """Return the seconds until somebody may ask; 0 if nothing stands against it."""
        return 0.0 if self.reason is None else max(self._probe_at - now, 0.0)

    def probe(self, *, now: float) -> None:
        """Somebody asks now; while the account is down nobody else does until the answer is noted, or is overdue."""
        if self.reason is not None:
            self._is_probed = True
            self._probe_at = now + LONGEST_PROBE

    def _put_off(self, now: float) -> None:
        self._is_probed = False
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
