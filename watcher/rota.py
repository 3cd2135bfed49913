"""Which watches of one account are open and ours, which is due first, which are asked now. It waits for none."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from math import inf

from watcher.core.agenda import Agenda, Entry
from watcher.core.model import State, Watch
from watcher.core.rows import Opened
from watcher.hold import Hold

SWEEP_EVERY = 10.0  # seconds


class Rota:
    """A watch is counted in `open` from `enter` until it is closed, ended, or held by others."""

    def __init__(self, hold: Hold) -> None:
        self.open: Counter[State] = Counter({State.PENDING: 0, State.IN_PROGRESS: 0})
        self._hold = hold
        self._losses = hold.losses
        self._agenda = Agenda()
        self._asking: dict[str, tuple[Entry, float]] = {}
        self._swept_at = -SWEEP_EVERY
        self._left: set[str] = set()  # that stopped being ours while they were asked

    def enter(self, opened: Opened) -> Entry | None:
        """Count a watch, and return what is to be `put` on; None if it was ours before, and its poll is not over."""
        if opened.uid in self._asking:
            self._left.discard(opened.uid)
            self._asking[opened.uid][0].doubt()
            return None
        return self.count(Entry.new(opened))

    def count(self, entry: Entry) -> Entry:
        """Count a watch as it is on disk now."""
        self.open[entry.state] += 1
        return entry

    def close(self, entry: Entry) -> None:
        """Count a watch no more as it was."""
        self.open[entry.state] -= 1

    def end(self, watch: Watch) -> None:
        """Take off a watch that ended elsewhere; as it was before that."""
        self.open[watch.state] -= 1
        self._agenda.drop(watch.uid)

    def put(self, entry: Entry, *, due: float) -> bool:
        """Let an entry be asked at a monotonic second; True if it is the next one now.

        What is not ours any more is closed: `enter` brings it once more if it is ours again.
        """
        if entry.uid in self._left or not self._hold.has(entry.uid):
            if not self._agenda.forget(entry.uid):  # or `end` has counted it already
                self.close(entry)
            return False
        return self._agenda.push(entry, due=due)

    @property
    def due(self) -> float | None:
        """When the first is due; None if nothing waits."""
        return self._agenda.due

    def take(self, *, now: float) -> Entry:
        """Take off the one that is due first: it is being asked from now on."""
        entry = self._agenda.pop()
        self._asking[entry.uid] = (entry, now)
        return entry

    def finish(self, entry: Entry) -> None:
        """Know that its poll, or its end, is over."""
        del self._asking[entry.uid]
        self._left.discard(entry.uid)

    def must_sweep(self, *, at: float) -> bool:
        """Is there something left to look at for `take_late`, or has it looked at every watch long ago?"""
        return at >= self._swept_at + SWEEP_EVERY

    def sweep_later(self, *, at: float) -> None:
        """Have nothing to look at for a while: what was taken off could not be ended."""
        self._swept_at = at

    def take_late(self, *, now: datetime, at: float, limit: int) -> list[Entry]:
        """Take off so many of those whose deadline has passed, due or not, as if they were asked; a part at a time.

        `at` is the monotonic second.
        """
        late = self._agenda.take_late(now=now, limit=limit, at=at)
        if self._agenda.is_swept:
            self._swept_at = at
        self._asking.update({entry.uid: (entry, at) for entry in late})
        return late

    def follow(self) -> None:
        """Let go of what is not held any more."""
        self._left.update(self.leaving)
        if self._losses < self._hold.losses:  # or every watch would be looked at for nothing
            self._losses = self._hold.losses
            for entry in self._agenda.keep(self._hold.has):
                self.close(entry)

    @property
    def leaving(self) -> set[str]:
        """Which watches are being asked that are not ours any more? By uid."""
        return {uid for uid in self._asking if not self._hold.has(uid)}

    @property
    def asking(self) -> Collection[str]:
        """The watches that are being asked just now, by uid."""
        return self._asking.keys()

    @property
    def asking_since(self) -> float:
        """When the poll began that has lasted longest; never, where none is in flight."""
        return next((at for _, at in self._asking.values()), inf)

    def find(self, uid: str) -> tuple[float | None, int | None, Entry | None]:
        """Return when a watch is due and how many are due before it, None while it is asked; and itself, if it is ours.

        Looks at every watch, so seldom.
        """
        asked, _ = self._asking.get(uid, (None, inf))
        return self._agenda.find(uid) or (None, None, asked)
