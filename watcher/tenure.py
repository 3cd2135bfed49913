"""The loop: lease → what is polled and sent here. It keeps the lease, takes shards over, and hands them over.

On one file of SQLite everything is held, and it only looks whether that is still so.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

import anyio
import structlog
from anyio.abc import TaskGroup

from watcher.bell import Bell
from watcher.core.endpoint import Endpoint
from watcher.core.errors import LeaseLostError, StoreError
from watcher.core.lease import Lease, News, shard_of
from watcher.core.model import Condition
from watcher.hold import Hold
from watcher.ports import Clock
from watcher.store import Store

LOOK_EVERY = 0.5  # seconds; but at least four times while a lease lasts
LOOK_SOON = 0.05  # while something that others want is in flight
HAND_OVER = 5.0  # what is in flight longer is handed over all the same: nothing that comes of it can be written
CALM = 0.05  # seconds between two times that others wake us, however much they write
STALL = 30.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Follower(Protocol):
    """Who polls or sends what is held."""

    def follow(self) -> None:
        """Go by what is held now."""

    @property
    def leaving(self) -> Collection[str]:
        """Of which watches, by uid, is anything in flight that is not held any more?"""


class Tenure:
    """Renews the lease until stopped, and lets all followers go by what it brings.

    `load` schedules the open watches of shards that were taken over; `wake` is called when something new is wanted;
    `learn` takes what other workers found out about providers and webhooks, of these what has changed. Renewing waits
    for none of them, or a lease would end where the store has much to read.
    """

    def __init__(  # what a loop is wired to
        self,
        hold: Hold,
        *,
        store: Store,
        clock: Clock,
        followers: Callable[[], Iterable[Follower]],
        load: Callable[[Collection[int]], Awaitable[None]],
        wake: Callable[[], None],
        learn: Callable[[list[Condition], list[Endpoint]], None],
    ) -> None:
        self._hold = hold
        self._store = store
        self._clock = clock
        self._followers = followers
        self._load = load
        self._wake = wake
        self._learn = learn
        self._asked_back_at: float | None = None
        self._bringing = anyio.Semaphore(1)
        self._newest = -1  # version of what is known of webhooks
        self._slow: set[str] = set()
        self._is_leaving = False
        self._stopping = False
        self._bell = Bell()
        self._turned_at = clock.monotonic()

    async def run(self) -> None:
        """Keep the lease until stopped."""
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._listen, name="learn from others")
            while not self._stopping:
                await self._bell.wait(at_most=await self._turn(beside))
            beside.cancel_scope.cancel()

    @property
    def is_turning(self) -> bool:
        """Has it come round lately?"""
        return self._clock.monotonic() - self._turned_at < STALL

    def leave(self) -> None:
        """Hand everything over: at once but for what is in flight."""
        self._is_leaving = True
        self._bell.ring()

    def stop(self) -> None:
        """Renew no more; what is held stays so until the store is told, or the lease is over."""
        self._stopping = True
        self._bell.ring()

    @asynccontextmanager
    async def steady(self) -> AsyncIterator[None]:
        """Take nothing over while the block lasts: pollers that come in it find all that is here, and find it once."""
        async with self._bringing:
            yield

    async def _turn(self, beside: TaskGroup) -> float:
        """Go by the lease as it is now; return in how many seconds to look again."""
        self._turned_at = asked_at = self._clock.monotonic()
        every = LOOK_EVERY
        try:
            with self._complaining("renew"):
                lease = await self._store.renew(is_leaving=self._is_leaving)
                self._go_on(lease, asked_at=asked_at)
                self._let_go(lease)
                self._take(lease, beside)
                every = await self._hand_over(lease)
        except LeaseLostError as error:  # another process polls and delivers now
            log.error("lease.lost", error=str(error))  # noqa: TRY400  # no bug of ours
            raise
        return every

    def _go_on(self, lease: Lease, *, asked_at: float) -> None:
        """Poll and send for another lease; where it was over, or is shared with more or fewer, all must be told."""
        is_other = not self._hold.is_valid or self._hold.workers != lease.workers
        self._hold.extend(lease, asked_at=asked_at)
        if is_other:
            self._follow()

    def _let_go(self, lease: Lease) -> None:
        """Poll and send no more of what is not ours, or soon will not be."""
        lost = self._hold.shrink(lease)
        if taken := lost - lease.wanted:
            log.error("lease.lost", shards=len(taken), error="another worker has taken them over")
        if lost:
            self._follow()

    def _take(self, lease: Lease, beside: TaskGroup) -> None:
        """Begin to poll and send what is ours now; one lot after the other, or a watch might be scheduled twice."""
        if self._bringing.value and (new := self._hold.grow(lease)):
            self._bringing.acquire_nowait()
            self._follow()
            beside.start_soon(self._bring, new, name="load shards")

    async def _bring(self, shards: Collection[int]) -> None:
        with self._complaining("load"):
            try:
                await self._load(shards)
            except StoreError:
                self._hold.drop(shards)  # and they are taken once more at the next turn
                self._follow()
                raise
            finally:
                self._bringing.release()

    async def _listen(self) -> None:
        """Go by what others write as soon as they tell of it, and now and then if nobody tells of anything."""
        while True:
            news = frozenset({News.KNOWN})
            with anyio.move_on_after(LOOK_EVERY):
                news = await self._store.news()
            if News.SHARED in news:
                self._bell.ring()
            if News.WANTED in news:
                self._wake()
            if News.KNOWN in news and self._hold.is_shared:
                with self._complaining("learn"):
                    await self._ask_around()
            await anyio.sleep(CALM)

    async def _ask_around(self) -> None:
        """Learn what others have found out since the last time.

        Raises:
            StoreError: it cannot be read now.

        """
        endpoints = await self._store.endpoints(after=self._newest)
        self._learn(await self._store.conditions(), endpoints)
        self._newest = max((one.version for one in endpoints), default=self._newest)

    async def _hand_over(self, lease: Lease) -> float:
        """Let others have what they want as soon as nothing of it is in flight."""
        every = LOOK_EVERY if lease.lasts is None else min(LOOK_EVERY, lease.lasts.total_seconds() / 4)
        if not lease.wanted:
            self._asked_back_at = None
            return every
        now = self._clock.monotonic()
        self._asked_back_at = self._asked_back_at or now
        busy = frozenset[int]()
        if now < self._asked_back_at + HAND_OVER:
            busy = frozenset(shard_of(uid) for one in self._followers() for uid in one.leaving)
        if free := lease.wanted - busy:
            await self._store.release(free)
        if busy & lease.wanted:
            return LOOK_SOON
        self._asked_back_at = None
        return every

    @contextmanager
    def _complaining(self, what: str) -> Iterator[None]:
        """Log that the store does not answer, once until it does; what is left of the block is left out."""
        try:
            yield
        except LeaseLostError:
            raise
        except StoreError as error:
            if what not in self._slow:
                log.error("store.slow", error=str(error))  # noqa: TRY400  # no bug of ours
            self._slow.add(what)
        else:
            self._slow.discard(what)

    def _follow(self) -> None:
        for follower in self._followers():
            follower.follow()
