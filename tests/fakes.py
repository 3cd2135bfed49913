"""What the loops are tested with: a transport and a source that follow a script, and a real store that is spied on."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar

import anyio
from virtual import EPOCH, VirtualLoop

from watcher.core.delivery import Delivery, Settled
from watcher.core.endpoint import Endpoint
from watcher.core.errors import StoreError
from watcher.core.intent import Intent, Replay, Switch
from watcher.core.lease import Lease, News
from watcher.core.model import Condition, Report, Step, Watch
from watcher.core.rows import Admission, Arrival, Backlog, Opened, Pruned
from watcher.core.wire import NoAnswer, Request, Response
from watcher.ports import Batch, Clock
from watcher.store import Store

T = TypeVar("T")


# --- the network ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What comes back, and how many seconds later."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    takes: float = 0.0


@dataclass(frozen=True)
class Silence:
    """Nothing comes back."""

    answer: NoAnswer
    takes: float = 0.0


Script: TypeAlias = Callable[[Request], Answer | Silence]


@dataclass(frozen=True)
class Sent:
    """One request, and when it began, in seconds of the loop."""

    at: float
    request: Request

    @property
    def last(self) -> str:
        """The last segment of its address, which in these tests names the watch or the webhook."""
        return self.request.url.rpartition("/")[2]


class ScriptedTransport:
    """`ports.Transport`: answers by the last segment of the address, in turn; the last answer of a script stays."""

    def __init__(self, clock: Clock, *, otherwise: Script | None = None) -> None:
        self._clock = clock
        self._otherwise = otherwise
        self._scripts: dict[str, deque[Answer | Silence]] = {}
        self.sent: list[Sent] = []
        self.in_flight: Counter[str] = Counter()
        self.most_in_flight: Counter[str] = Counter()

    def script(self, last: str, *answers: Answer | Silence) -> None:
        """Answer requests whose address ends so."""
        self._scripts[last] = deque(answers)

    async def send(self, request: Request, *, within: timedelta) -> Response | NoAnswer:
        sent = Sent(self._clock.monotonic(), request)
        self.sent.append(sent)
        names = (sent.last, "")
        for name in names:
            self.in_flight[name] += 1
            self.most_in_flight[name] = max(self.most_in_flight[name], self.in_flight[name])
        try:
            answer = self._answer(sent)
            await anyio.sleep(answer.takes)
        finally:
            self.in_flight.subtract(names)
        if isinstance(answer, Silence):
            return answer.answer
        return Response(answer.status, answer.headers, answer.body, self._clock.now(), "192.0.2.1")

    def _answer(self, sent: Sent) -> Answer | Silence:
        script = self._scripts.get(sent.last)
        if script:
            return script.popleft() if len(script) > 1 else script[0]
        assert self._otherwise is not None, f"there is no script for {sent.request.url}"
        return self._otherwise(sent.request)

    def times(self, last: str) -> list[float]:
        """When requests whose address ends so began, in seconds since the test's start."""
        return [round(sent.at - EPOCH, 3) for sent in self.sent if sent.last == last]


# --- where requests come from -----------------------------------------------------------------------------------


class ScriptedSource:
    """`ports.Source`: batches that are pushed in; what was not acknowledged comes again after `open`."""

    def __init__(self) -> None:
        self.opened: list[tuple[float, bytes | None]] = []
        self.acknowledged: list[Batch] = []
        self.refused: list[Mapping[int, str]] = []
        self.returned: list[Batch] = []
        self.is_closed = False
        self._failures: deque[OSError] = deque()
        self._batches: list[Batch] = []
        self._next = 0
        self._ends = False
        self._news = asyncio.Event()

    def push(self, *batches: Batch) -> None:
        self._batches += batches
        self._news.set()

    def end(self) -> None:
        self._ends = True
        self._news.set()

    def fail(self, *failures: OSError) -> None:
        """Let the next calls raise, one after the other."""
        self._failures.extend(failures)
        self._news.set()

    async def open(self, position: bytes | None) -> None:
        self.opened.append((round(asyncio.get_running_loop().time() - EPOCH, 3), position))
        self._next = len(self.acknowledged)
        self._raise()

    async def receive(self) -> Batch | None:
        while True:
            self._raise()
            if self._next < len(self._batches):
                self._next += 1
                return self._batches[self._next - 1]
            if self._ends:
                return None
            self._news.clear()
            await self._news.wait()

    async def acknowledge(self, batch: Batch, *, refused: Mapping[int, str]) -> None:
        self.acknowledged.append(batch)
        self.refused.append(refused)

    async def give_back(self, batch: Batch) -> None:
        self.returned.append(batch)

    async def probe(self) -> None:
        self._raise()

    async def close(self) -> None:
        self.is_closed = True

    def _raise(self) -> None:
        if self._failures:
            raise self._failures.popleft()


# --- the store --------------------------------------------------------------------------------------------------


class SpiedStore:
    """`store.Store`: a real one. Time stands still while it works, unless a call is made slow or to fail."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failures: defaultdict[str, deque[Exception]] = defaultdict(deque)
        self.calls: Counter[str] = Counter()
        self.slow: dict[str, float] = {}

    def fail(self, name: str, *, times: int = 1, error: Exception | None = None) -> None:
        """Let the next calls fail, with nothing of them kept."""
        self._failures[name].extend([error or StoreError("the disk is full")] * times)

    async def _call(self, name: str, work: Coroutine[None, None, T]) -> T:
        self.calls[name] += 1
        if self._failures[name]:
            work.close()
            raise self._failures[name].popleft()
        result = await real(work)
        if name in self.slow:
            await anyio.sleep(self.slow[name])  # it is done; the answer is on its way
        return result

    async def lease(self) -> Lease:
        return await self._call("lease", self._store.lease())

    async def renew(self, *, is_leaving: bool = False) -> Lease:
        return await self._call("renew", self._store.renew(is_leaving=is_leaving))

    async def release(self, shards: Collection[int] | None = None) -> None:
        await self._call("release", self._store.release(shards))

    async def news(self) -> frozenset[News]:
        return await self._store.news()

    async def close(self) -> None:
        await self._call("close", self._store.close())

    async def add(
        self, arrivals: Sequence[Arrival], *, source: str | None = None, position: bytes | None = None
    ) -> list[Admission]:
        return await self._call("add", self._store.add(arrivals, source=source, position=position))

    async def position(self, source: str) -> bytes | None:
        return await self._call("position", self._store.position(source))

    async def load(
        self, *, after: int, limit: int, provider: str | None = None, shards: Collection[int] | None = None
    ) -> list[Opened]:
        loading = self._store.load(after=after, limit=limit, provider=provider, shards=shards)
        return await self._call("load", loading)

    async def watch(self, uid: str) -> Watch | None:
        return await self._call("watch", self._store.watch(uid))

    async def commit(self, steps: Sequence[Step]) -> list[Exception | None]:
        return await self._call("commit", self._store.commit(steps))

    async def conditions(self) -> list[Condition]:
        return await self._call("conditions", self._store.conditions())

    async def report(self, report: Report) -> None:
        await self._call("report", self._store.report(report))

    async def pause(self, condition: Condition) -> None:
        await self._call("pause", self._store.pause(condition))

    async def endpoints(self, *, after: int = -1) -> list[Endpoint]:
        return await self._call("endpoints", self._store.endpoints(after=after))

    async def endpoint(self, webhook: str, *, ordered: bool) -> Endpoint:
        return await self._call("endpoint", self._store.endpoint(webhook, ordered=ordered))

    async def arrange(self) -> bool:
        return await self._call("arrange", self._store.arrange())

    async def heads(
        self, webhook: str, *, again: bool, now: datetime, limit: int, but: Collection[int] = ()
    ) -> list[Delivery]:
        return await self._call("heads", self._store.heads(webhook, again=again, now=now, limit=limit, but=but))

    async def members(self, head: Delivery, *, limit: int) -> list[Delivery]:
        return await self._call("members", self._store.members(head, limit=limit))

    async def settle(
        self, settled: Sequence[Settled], *, endpoint: Endpoint | None = None, before: Endpoint | None = None
    ) -> Endpoint | None:
        return await self._call("settle", self._store.settle(settled, endpoint=endpoint, before=before))

    async def loosen(self, *, now: datetime) -> int:
        return await self._call("loosen", self._store.loosen(now=now))

    async def hasten(self, webhook: str, *, now: datetime, waits: Sequence[timedelta], order_wait: timedelta) -> None:
        await self._call("hasten", self._store.hasten(webhook, now=now, waits=waits, order_wait=order_wait))

    async def undelivered(self) -> list[str]:
        return await self._call("undelivered", self._store.undelivered())

    async def backlog(self) -> Mapping[str, Backlog]:
        return await self._call("backlog", self._store.backlog())

    async def want(self, intent: Intent) -> None:
        await self._call("want", self._store.want(intent))

    async def intents(self, *, limit: int = 1000) -> list[Intent]:
        return await self._call("intents", self._store.intents(limit=limit))

    async def done(self, intent: Switch, endpoint: Endpoint | None, *, now: datetime) -> bool:
        return await self._call("done", self._store.done(intent, endpoint, now=now))

    async def replay(self, intent: Replay, *, now: datetime, limit: int) -> int:
        return await self._call("replay", self._store.replay(intent, now=now, limit=limit))

    async def prune(self, *, before: datetime, ids_before: datetime, limit: int) -> Pruned:
        return await self._call("prune", self._store.prune(before=before, ids_before=ids_before, limit=limit))


async def real(work: Awaitable[T]) -> T:
    """Wait for what a thread does, while time stands still."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    with loop.waiting_for_a_thread():
        return await work
