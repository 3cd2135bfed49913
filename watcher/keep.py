"""The loop: what only time changes in the store. Lanes that were held up go on; what is old is forgotten."""

from datetime import timedelta

import anyio
import structlog
from anyio.abc import TaskGroup

from watcher import metrics
from watcher.bell import Bell
from watcher.clock import DoubtfulClock
from watcher.core.delivery import Decision
from watcher.core.errors import StoreError
from watcher.outbox import Outbox
from watcher.ports import Clock
from watcher.store import Store

LOOK_EVERY = 1.0
COUNT_EVERY = 10.0
SHARE = 0.01  # of its time the store counts at most: a million that wait take 0.1 s, in which nobody else reads
PRUNE_EVERY = 60.0
ROWS = 500  # of one step, so that nobody waits long behind it
BREATH = 0.1  # between two steps
IDS_FOR = timedelta(days=365)
STALL = 60.0
BELIEVED_AFTER = 86400.0
STEP = timedelta(seconds=10)  # of the wall clock, that is more than being put right bit by bit

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Keeper:
    """Keeps the store in order and in bounds: nothing older than `keep`, but for the ids of watches, for a year.

    A clock that leaps ahead makes nothing old before that has lasted for a day. A reload puts a new `keep` in.
    """

    def __init__(self, *, keep: timedelta, store: Store, outbox: Outbox, clock: Clock) -> None:
        self.keep = keep
        self._store = store
        self._outbox = outbox
        self._clock = clock
        self._bell = Bell()
        self._sure = DoubtfulClock(clock, believed_after=BELIEVED_AFTER)
        self._zero = clock.now() - timedelta(seconds=clock.monotonic())
        self._is_renewing = self._is_arranging = False
        self._count_at = self._follow_at = clock.monotonic()
        self._prune_at = clock.monotonic() + PRUNE_EVERY
        self._stopping = False
        self._is_slow = False
        self._turned_at = clock.monotonic()

    async def run(self) -> None:
        """Look every second until stopped."""
        async with anyio.create_task_group() as beside:
            while not self._stopping:
                self._turned_at = self._clock.monotonic()
                self._follow_clock(beside)
                nap = LOOK_EVERY
                try:
                    nap = await self._look()
                    self._is_slow = False
                except StoreError as error:
                    if not self._is_slow:
                        log.error("store.slow", error=str(error))  # noqa: TRY400  # no bug of ours
                    self._is_slow = True
                await self._bell.wait(at_most=nap)
            beside.cancel_scope.cancel()

    async def _look(self) -> float:
        """Do what is due; return in how many seconds to look again: soon while `order` of many is being changed."""
        was_arranging, self._is_arranging = self._is_arranging, await self._store.arrange()
        if was_arranging and (not self._is_arranging or self._turned_at >= self._follow_at):
            self._follow_at = self._turned_at + LOOK_EVERY
            self._outbox.follow()  # what was fetched before may stand behind another now
        if await self._store.loosen(now=self._clock.now()):
            self._outbox.wake_all()
        if self._turned_at >= self._count_at:
            await self._count()
        if self._turned_at >= self._prune_at:
            await self._prune()
        return BREATH if self._is_arranging else LOOK_EVERY

    @property
    def is_turning(self) -> bool:
        """Has it come round lately?"""
        return self._clock.monotonic() - self._turned_at < STALL

    def stop(self) -> None:
        """Look no more."""
        self._stopping = True
        self._bell.ring()

    def _follow_clock(self, beside: TaskGroup) -> None:
        """Have deliveries go by the wall clock as it is, if somebody has put it back: what waits is bounded by that.

        Not if it leaps ahead, or waits would end before their time; they are counted by the other clock.
        """
        zero = self._clock.now() - timedelta(seconds=self._clock.monotonic())
        if zero <= self._zero - STEP and not self._is_renewing:
            self._zero = zero
            beside.start_soon(self._renew, name="follow the clock")

    async def _renew(self) -> None:
        self._is_renewing = True
        await self._outbox.renew()
        self._is_renewing = False

    async def _count(self) -> None:
        began = self._clock.monotonic()
        await self._outbox.count()
        took = self._clock.monotonic() - began
        self._count_at = began + max(COUNT_EVERY, took / SHARE)

    async def _prune(self) -> None:
        """Forget in small steps, with a breath between them, until nothing is left that is old."""
        now = self._sure.now()
        rows = ROWS
        while rows >= ROWS and not self._stopping:
            self._turned_at = self._clock.monotonic()
            pruned = await self._store.prune(before=now - self.keep, ids_before=now - IDS_FOR, limit=ROWS)
            for webhook, number in pruned.given_up.items():
                metrics.DELIVERIES.labels(self._outbox.label(webhook), Decision.EXHAUSTED).inc(number)
                log.error("delivery.exhausted", webhook=webhook, deliveries=number, reason="waited longer than `keep`")
            rows = pruned.rows
            await anyio.sleep(BREATH)
        self._prune_at = self._clock.monotonic() + PRUNE_EVERY
