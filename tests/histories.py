"""A provider and a webhook that several workers come to: they keep what they were asked and told, and have moods."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import orjson
from aiohttp import web
from strict_receiver import GOOD, Post, StrictReceiver

from watcher.core.model import Json
from watcher.demo.pretend import Reply, Vendor

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STEP = 1 / 64  # per cent that a watch gets on by; what is added up of it is exact


class Visit(NamedTuple):
    """One request of a worker, on the monotonic clock."""

    at: float
    watch: str
    worker: str


class Moody:
    """Who answers workers in their own ways: `lag` is how many seconds late, `mood` what is said instead, if anything.

    `visits` is the history of all requests.
    """

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.lag: defaultdict[str, float] = defaultdict(float)
        self.mood: Callable[[str], Reply | None] = lambda _: None

    def tell(self, worker: str, reply: Reply) -> None:
        """Answer this to this worker; everything goes well with the others."""
        self.mood = lambda whom: reply if whom == worker else None

    def relent(self) -> None:
        """Let all be well again, with everybody."""
        self.mood = lambda _: None
        self.lag.clear()

    def since(self, at: float, *, by: str | None = None) -> set[str]:
        """Return the watches of requests since then."""
        late = (visit for visit in reversed(self.visits))
        seen: set[str] = set()
        for visit in late:
            if visit.at < at:
                break
            if by in {None, visit.worker}:
                seen.add(visit.watch)
        return seen

    def between(self, start: float, end: float) -> list[Visit]:
        return [visit for visit in self.visits if start < visit.at < end]


class Provider(Vendor):
    """Lets each watch get on by one step once the last was heard of: so nobody can miss a change.

    Those in `ending` end with the next; none gets on while all is `still`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.to = Moody()
        self.steps: defaultdict[str, int] = defaultdict(int)
        self.heard: dict[str, float] = {}
        self.ending: set[str] = set()
        self.still = False

    async def answer(self, request: web.Request) -> Reply:
        watch, worker = request.match_info["path"], request.headers["x-worker"]
        self.to.visits.append(Visit(time.monotonic(), watch, worker))
        return self.to.mood(worker) or replace(self._now(watch), delay=self.to.lag[worker])

    def _now(self, watch: str) -> Reply:
        if self.heard.get(watch) == self.steps[watch] * STEP and not self.still:
            if watch in self.ending:
                return Reply(body={"status": "delivered", "progress": 100})
            self.steps[watch] += 1
        return Reply(body={"status": "sending", "progress": self.steps[watch] * STEP})


class Change(NamedTuple):
    """What one event told."""

    type: str
    before: "Json"
    after: "Json"


class Hook(StrictReceiver):
    """Keeps what changed, by watch and sequence; `heard` is told of each step.

    Order is asked of first arrivals: nobody can recall the POST of a worker that was killed, nor forbid the next one to
    send the same meanwhile.
    """

    def __init__(self, heard: dict[str, float]) -> None:
        super().__init__({"ops": SECRET}, answer=self._reply)
        self.to = Moody()
        self.changes: defaultdict[str, dict[int, Change]] = defaultdict(dict)
        self.finished: set[str] = set()
        self._heard = heard
        self._arrived: set[tuple[str, int, str]] = set()

    def _disorder(self, post: Post) -> Iterator[str]:
        is_repeat = self._arrived.issuperset(post.of_watches)
        self._arrived.update(post.of_watches)
        return iter(()) if is_repeat else super()._disorder(post)

    def _reply(self, post: Post) -> Reply:
        (one,), worker = post.told, post.headers["x-worker"]
        assert one.watch is not None
        assert one.sequence is not None
        self.to.visits.append(Visit(time.monotonic(), one.watch, worker))
        if mood := self.to.mood(worker):
            return mood
        data = orjson.loads(post.body)["data"]
        change = Change(one.type, data.get("from"), data.get("to", data.get("outcome")))
        self.changes[one.watch].setdefault(one.sequence, change)
        if one.type == "watch.progress.changed":
            self._heard[one.watch] = max(self._heard.get(one.watch, 0.0), data["to"])
        if one.type == "watch.finished":
            self.finished.add(one.watch)
        return replace(GOOD, delay=self.to.lag[worker])


def changes(steps: int) -> Iterator[Change]:
    """Return all changes of a watch that got on by so many steps, and then ended."""
    yield Change("watch.progress.changed", None, 0)
    yield Change("watch.status.changed", None, "sending")
    for step in range(steps):
        yield Change("watch.progress.changed", step * STEP, (step + 1) * STEP)
    yield Change("watch.progress.changed", steps * STEP, 100)
    yield Change("watch.status.changed", "sending", "delivered")
    yield Change("watch.finished", None, "succeeded")


def longest_gaps(visits: Sequence[Visit]) -> dict[str, float]:
    """Return for how long each watch was not asked for, at most."""
    last: dict[str, float] = {}
    gaps: dict[str, float] = {}
    for visit in visits:
        gap = visit.at - last.get(visit.watch, visit.at)
        gaps[visit.watch] = max(gaps.get(visit.watch, 0.0), gap)
        last[visit.watch] = visit.at
    return gaps


def most_in_a_second(visits: Sequence[Visit]) -> int:
    """Return how many requests there were in any second, at most."""
    first, most = 0, 0
    for last, visit in enumerate(visits):
        while visits[first].at <= visit.at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most
