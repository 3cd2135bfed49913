"""What is asked when: the open watches of one account, in memory, by due time. It neither waits nor asks."""

import heapq
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from watcher.core.model import Params, State, Trouble, Watch


@dataclass(slots=True)
class Entry:
    """The little that is kept of an open watch.

    `digest` is of the body that was seen last and is on disk; None while the next answer must be read whatever it is.
    `trouble` is the spell so far, which the store knows only once it was told. `state` is as it is on disk. `ended`:
    the store says so, and nobody has taken it off the agenda yet.
    """

    uid: str
    id: str
    params: Params
    since: datetime
    deadline_at: datetime
    not_before: datetime | None = None
    digest: bytes | None = None
    trouble: Trouble | None = None
    state: State = State.PENDING
    ended: bool = False

    @classmethod
    def of(cls, watch: Watch, *, digest: bytes | None, state: State) -> "Entry":
        """Keep of a watch what is on disk, and the digest only now, when what it stands for is, too."""
        return cls(
            uid=watch.uid,
            id=watch.id,
            params=watch.params,
            since=watch.changed_at or watch.accepted_at,
            deadline_at=watch.deadline_at,
            not_before=watch.snapshot.not_before if watch.snapshot else None,
            digest=digest,
            trouble=watch.trouble,
            state=state,
        )


class Agenda:
    """A heap of entries by the monotonic second in which they are due; equal ones in the order they came."""

    __slots__ = ("_count", "_dropped", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Entry]] = []
        self._count = count()
        self._dropped: set[str] = set()

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, entry: Entry, *, due: float) -> bool:
        """Put an entry on; True if it is the next one now."""
        heapq.heappush(self._heap, (due, next(self._count), entry))
        return self._heap[0][2] is entry

    def drop(self, uid: str) -> None:
        """Forget an entry; one that is off the agenda now, as soon as it is put on again and due."""
        self._dropped.add(uid)

    def take_late(self, *, now: datetime) -> list[Entry]:
        """Take off all whose deadline has passed, due or not; those that were dropped are not told of."""
        late = [item[2] for item in self._heap if item[2].deadline_at <= now]
        if late:
            self._heap = [item for item in self._heap if item[2].deadline_at > now]
            heapq.heapify(self._heap)
        dropped = self._dropped.intersection(entry.uid for entry in late)
        self._dropped -= dropped
        return [entry for entry in late if entry.uid not in dropped]

    def find(self, uid: str) -> tuple[float, int, Entry] | None:
        """Return when an entry is due, how many are due before it, and itself; looks at every watch, so seldom."""
        found = next((item for item in self._heap if item[2].uid == uid), None)
        if found is None or uid in self._dropped:
            return None
        due, number, entry = found
        return due, sum((item[0], item[1]) < (due, number) for item in self._heap), entry

    def pop(self) -> Entry:
        """Take off the entry that is due first."""
        return heapq.heappop(self._heap)[2]

    @property
    def due(self) -> float | None:
        """When the first entry is due; None if there is none."""
        while self._heap and self._heap[0][2].uid in self._dropped:
            self._dropped.remove(self.pop().uid)
        return self._heap[0][0] if self._heap else None
