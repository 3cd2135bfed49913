"""The loop: store → pollers. What was added, by a source or a command, is scheduled; what is wanted is carried out."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import anyio
import structlog

from watcher import metrics
from watcher.bell import Bell
from watcher.core.errors import LeaseLostError, StaleWatchError, StoreError
from watcher.core.intent import Cancel, Intent, Replay, Switch
from watcher.core.lifecycle import cancel
from watcher.core.model import State, Watch
from watcher.core.rows import Opened
from watcher.outbox import Outbox
from watcher.poll import Poller
from watcher.ports import Clock, Store
from watcher.record import Recorder

LOOK_EVERY = 0.5
BATCH = 1000
STALL = 30.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Feed:
    """Brings to the pollers what is new in the store; a ring of its bell makes it look at once."""

    def __init__(
        self, pollers: Mapping[str, Poller], *, store: Store, recorder: Recorder, outbox: Outbox, clock: Clock
    ) -> None:
        self._pollers = pollers
        self._outbox = outbox
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._row = 0
        self._waiting: set[str] = set()
        self._unpolled: Counter[State] = Counter()
        self._replayed_at: dict[int, float] = {}
        self._stopping = False
        self._is_slow = False
        self.bell = Bell()
        self._turned_at = clock.monotonic()

    @property
    def open(self) -> int:
        """How many open watches there are, those without a section included."""
        return self._unpolled.total() + sum(poller.open for poller in self._pollers.values())

    async def load(self) -> int:
        """Schedule all open watches that are stored and not yet known; return how many."""
        number = 0
        while rows := await self._store.load(after=self._row, limit=BATCH):
            for opened in rows:
                self._add(opened)
            self._row = rows[-1].row
            number += len(rows)
        return number

    async def run(self) -> None:
        """Look for new watches and intents until stopped."""
        while not self._stopping:
            self._turned_at = self._clock.monotonic()
            try:
                await self._look()
            except LeaseLostError as error:  # whoever owns the store now polls and delivers
                log.error("lease.lost", error=str(error))  # noqa: TRY400  # no bug of ours
                raise
            except StoreError as error:
                if not self._is_slow:
                    log.error("store.slow", error=str(error))  # noqa: TRY400  # no bug of ours
                self._is_slow = True
            else:
                self._is_slow = False
            await self.bell.wait(at_most=LOOK_EVERY)

    @property
    def is_turning(self) -> bool:
        """Has it come round lately, as far as what is in flight lets it?"""
        return self._clock.monotonic() - self._turned_at < STALL

    def stop(self) -> None:
        """Look no more."""
        self._stopping = True
        self.bell.ring()

    async def _look(self) -> None:
        await self._store.renew()
        intents = await self._store.intents()  # before the load, so that a poller knows each watch that is ended
        await self.load()
        await self._carry_out(intents[:BATCH])
        if len(intents) > BATCH:
            self.bell.ring()

    async def _carry_out(self, intents: Sequence[Intent]) -> None:
        """Carry out all together, so that they share disk writes; what fails is carried out at the next look."""
        failures: list[StoreError] = []

        async def attempt(intent: Intent) -> None:
            try:
                await self.carry_out(intent)
            except StoreError as error:
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            for intent in intents:
                tasks.start_soon(attempt, intent)
        if failures:
            raise failures[0]

    async def carry_out(self, intent: Intent) -> None:
        """Do what is wanted, or the next part of it.

        Raises:
            StoreError: it is not done, and still wanted.

        """
        match intent:
            case Cancel():
                await self._cancel(intent)
            case Switch():
                await self._outbox.switch(intent)
            case Replay():
                await self._replay(intent)

    async def _replay(self, intent: Replay) -> None:
        """Send as many events again as are due since the last look."""
        now = self._clock.monotonic()
        since = self._replayed_at.setdefault(intent.id, now - LOOK_EVERY)
        number = int(intent.rate * min(now - since, max(2.0, 2 / intent.rate)))  # the most that is made up for
        if number < 1:
            return
        self._replayed_at[intent.id] = now
        if await self._store.replay(intent, limit=number):
            self._outbox.wake_all()
        else:
            self._replayed_at.pop(intent.id)

    async def _cancel(self, intent: Cancel) -> None:
        """End a watch; one that moved meanwhile is ended at the next look, at once."""
        watch = await self._store.watch(intent.uid)
        if watch is None or watch.ending is not None:
            return
        step = cancel(watch, now=self._clock.now(), intent=intent.id)
        try:
            await self._recorder.commit(watch, step)
        except StaleWatchError:
            self.bell.ring()
            return
        self._end(watch)

    def readings(self) -> Iterator[metrics.Reading]:
        """Say how many watches wait for sections that are gone."""
        for state, number in self._unpolled.items():
            yield metrics.Reading(metrics.WATCHES, (metrics.UNKNOWN, state), number)

    def _end(self, watch: Watch) -> None:
        poller = self._pollers.get(watch.provider)
        if poller is not None:
            poller.end(watch)
        else:
            self._unpolled[watch.state] -= 1

    def _add(self, opened: Opened) -> None:
        poller = self._pollers.get(opened.provider)
        if poller is not None:
            poller.add(opened)
            return
        self._unpolled[opened.state or State.PENDING] += 1
        if opened.provider not in self._waiting:
            self._waiting.add(opened.provider)
            log.warning("provider.down", provider=opened.provider, reason="no such section: its watches wait")
