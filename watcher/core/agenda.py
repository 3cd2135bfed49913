"""What is asked when: the open watches of one account, in memory, by due time. It neither waits nor asks."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from math import inf

from watcher.core.model import State, Trouble, Watch
from watcher.core.rows import Opened

LOOKS = 10_000  # watches that are looked at in one go: some milliseconds


@dataclass(slots=True, eq=False)
class Entry:
    """The little that is kept of an open watch: a million of them fit in 700 MB.

    `params` are JSON, which takes a third of a dict; moments are seconds since 1970, half of a datetime. `digest` is of
    the body that was seen last and is on disk; None while the next answer must be read whatever it is. `trouble` is the
    spell so far, which the store knows only once it was told. `state` is as it is on disk. `ended`: the store says so,
    and nobody has taken it off the agenda yet.
    """

    uid: str
    id: str
    params: str
    since: float
    deadline: float
    not_before: float | None = None
    digest: bytes | None = None
    trouble: Trouble | None = None
    state: State = State.PENDING
    ended: bool = False

    def __lt__(self, other: "Entry") -> bool:
        """Stand before nobody, so that entries that are due in the same moment can stand on one heap."""
        return False

    @classmethod
    def new(cls, opened: Opened) -> "Entry":
        """Keep of a watch what `load` says of it."""
        since, state = opened.changed_at or opened.accepted_at, opened.state or State.PENDING
        deadline = opened.deadline_at.timestamp()
        return cls(opened.uid, opened.id, opened.params, since.timestamp(), deadline, state=state)

    def doubt(self) -> None:
        """Know that others may have seen more since: the store says what was told, and the next answer is read."""
        self.digest = self.trouble = None

    def after(self, watch: Watch, *, digest: bytes | None, state: State) -> "Entry":
        """Keep of a watch what is on disk now, and the digest only now, when what it stands for is, too."""
        start = watch.snapshot.not_before if watch.snapshot else None
        return Entry(
            uid=self.uid,
            id=self.id,
            params=self.params,
            since=(watch.changed_at or watch.accepted_at).timestamp(),
            deadline=watch.deadline_at.timestamp(),
            not_before=None if start is None else start.timestamp(),
            digest=digest,
            trouble=watch.trouble,
            state=state,
        )


class Agenda:
    """A heap of entries by the monotonic second in which they are due."""

    __slots__ = ("_dropped", "_heap", "_unswept")

    def __init__(self) -> None:
        self._heap: list[tuple[float, Entry]] = []
        self._dropped: set[str] = set()
        self._unswept = 0  # so many places, from the first on, are left to look at for late ones

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, entry: Entry, *, due: float) -> bool:
        """Put an entry on; True if it is the next one now."""
        heapq.heappush(self._heap, (due, entry))
        return self._heap[0][1] is entry

    def drop(self, uid: str) -> None:
        """Forget an entry; one that is off the agenda now, as soon as it is put on again and due."""
        self._dropped.add(uid)

    def forget(self, uid: str) -> bool:
        """Wait no longer for one that was dropped off the agenda and is not put on again; was there one?"""
        was_dropped = uid in self._dropped
        self._dropped.discard(uid)
        return was_dropped

    def keep(self, is_ours: Callable[[str], bool]) -> list[Entry]:
        """Take off all but those whose uid is ours; those that were dropped are not told of. Looks at every watch."""
        gone = [entry for _, entry in self._heap if not is_ours(entry.uid)]
        if gone:
            self._heap = [item for item in self._heap if is_ours(item[1].uid)]
            heapq.heapify(self._heap)
        return [entry for entry in gone if not self.forget(entry.uid)]

    def take_late(self, *, now: datetime, limit: int, at: float = inf) -> list[Entry]:
        """Take off so many of those whose deadline has passed, due or not; those that were dropped are not told of.

        Looks at a part, or one look would take too long, and goes on with the next one when it is called again; from
        the last place to the first, so that what is moved for one that is taken off is never missed. What has ended
        already waits until it is due at `at`: whoever ended it may still say so.
        """
        late, passed = list[Entry](), now.timestamp()
        place = min(self._unswept or len(self._heap), len(self._heap))
        for _ in range(LOOKS):
            if not place or len(late) == limit:
                break
            due, entry = self._heap[place - 1]
            if entry.deadline > passed or (entry.ended and due > at):
                place -= 1
                continue
            self._take_off(place - 1)
            place = min(place, len(self._heap))  # another one may stand there now
            if not self.forget(entry.uid):
                late.append(entry)
        self._unswept = place
        return late

    @property
    def is_swept(self) -> bool:
        """Has `take_late` looked at all? Then it begins anew."""
        return not self._unswept

    def _take_off(self, place: int) -> None:
        """Take off what stands at a place: those above it move down by one, and who is due first stands there twice."""
        while place:
            above = (place - 1) // 2
            self._heap[place] = self._heap[above]
            place = above
        heapq.heappop(self._heap)

    def find(self, uid: str) -> tuple[float, int, Entry] | None:
        """Return when an entry is due, how many are due before it, and itself; looks at every watch, so seldom."""
        found = next((item for item in self._heap if item[1].uid == uid), None)
        if found is None or uid in self._dropped:
            return None
        due, entry = found
        return due, sum(other < due for other, _ in self._heap), entry

    def pop(self) -> Entry:
        """Take off the entry that is due first."""
        return heapq.heappop(self._heap)[1]

    @property
    def due(self) -> float | None:
        """When the first entry is due; None if there is none."""
        while self._dropped and self._heap and self._heap[0][1].uid in self._dropped:
            self._dropped.remove(self.pop().uid)
        return self._heap[0][0] if self._heap else None
