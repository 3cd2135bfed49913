"""The loop: store → pollers. What was added, by a source or a command, is scheduled; what is wanted is passed on."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from watcher import metrics
from watcher.bell import Bell
from watcher.core.errors import StoreError
from watcher.core.lease import shard_of
from watcher.core.model import State, Watch
from watcher.core.rows import Opened
from watcher.hold import Hold
from watcher.outbox import Outbox
from watcher.poll import Poller
from watcher.ports import Clock
from watcher.record import Recorder
from watcher.store import Store
from watcher.wanted import Wanted

LOOK_EVERY = 0.5
BATCH = 1000
STALL = 30.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Feed:
    """Brings to the pollers what is new in the store; a ring of its bell makes it look at once."""

    def __init__(  # what a loop is wired to
        self,
        pollers: Mapping[str, Poller],
        *,
        store: Store,
        recorder: Recorder,
        outbox: Outbox,
        clock: Clock,
        hold: Hold | None = None,
    ) -> None:
        self._pollers = dict(pollers)
        self._expected: Collection[str] = pollers.keys()
        self._store = store
        self._clock = clock
        self._wanted = Wanted(store=store, recorder=recorder, outbox=outbox, clock=clock, ending=self._ending)
        self._hold = hold or Hold(clock)
        self._row = 0
        self._gains = 0
        self._coming: Collection[int] = frozenset()
        self._unpolled: defaultdict[str, Counter[State]] = defaultdict(Counter)
        self._told: set[str] = set()
        self._changes = self._counted = 0
        self._stopping = False
        self._is_slow = False
        self.bell = Bell()
        self._turned_at = clock.monotonic()

    @property
    def open(self) -> int:
        """How many open watches there are, those without a section included."""
        polled = [poller.open for poller in self._pollers.values()]
        return sum(counted.total() for counted in (*polled, *self._unpolled.values()))

    def expect(self, providers: Collection[str]) -> None:
        """Take these for configured: watches that have no poller yet will have one in a moment."""
        self._expected = providers
        self._told.difference_update(providers)

    async def load(self) -> int:
        """Schedule all open watches that are stored by now and not yet known; return how many.

        What comes meanwhile can wait for the next look, or where watches never cease to come it would never end.
        """
        number, is_all = 0, False
        while not is_all:
            rows = await self._page()
            self._turned_at = self._clock.monotonic()
            for opened in rows:
                self._add(opened)
                self._row = opened.row
            number += len(rows)
            is_all = len(rows) < BATCH
        return number

    async def _page(self) -> Sequence[Opened]:
        """Load the next watches; once more if shards came meanwhile, whose watches may be missing among them."""
        while True:
            gains = self._gains
            rows = await self._store.load(after=self._row, limit=BATCH)
            if gains == self._gains:
                return rows

    async def gain(self, shards: Collection[int]) -> None:
        """Schedule the open watches of shards that are ours since just now, and were others'; one lot at a time.

        Raises:
            StoreError: they cannot be loaded; some of them may be scheduled.

        """
        self._gains += 1
        self._coming = shards
        try:
            await self._schedule(shards, until=self._row)  # `load` brings those behind it
        finally:
            self._coming = frozenset()
            self._changes += 1  # who counted meanwhile may have counted some of them twice

    async def _schedule(self, shards: Collection[int], *, until: int) -> None:
        row = 0
        while row < until:
            loaded = await self._store.load(after=row, limit=BATCH, shards=shards)
            for opened in loaded:
                if opened.row <= until:
                    self._add(opened)
            row = loaded[-1].row if loaded else until

    def follow(self) -> None:
        """Count anew what waits for sections that are gone: some of it may be others' now."""
        self._changes += 1

    @property
    def leaving(self) -> frozenset[str]:
        """Nothing: what is carried out here for a watch that is not ours any more the store itself refuses."""
        return frozenset()

    @asynccontextmanager
    async def feeding(self, provider: str, poller: Poller) -> AsyncIterator[None]:
        """Bring a provider's watches to a poller for as long as the block lasts: first those that are known already.

        Raises:
            StoreError: they cannot be loaded.

        """
        await self._catch_up(provider, poller)
        self._pollers[provider] = poller
        self._unpolled.pop(provider, None)
        try:
            yield
        finally:
            del self._pollers[provider]
            self._unpolled[provider] = poller.open.copy()
            self._tell_waiting(provider)

    async def _catch_up(self, provider: str, poller: Poller) -> None:
        """Schedule what was loaded before the poller was there; what comes while that lasts, too."""
        row = 0
        while row < self._row:
            until = self._row
            loaded = await self._store.load(after=row, limit=BATCH, provider=provider)
            known = [opened for opened in loaded if opened.row <= until]
            for opened in known:
                poller.add(opened)
            row = known[-1].row if len(known) == BATCH else until

    async def run(self) -> None:
        """Look for new watches and intents until stopped."""
        while not self._stopping:
            self._turned_at = self._clock.monotonic()
            try:
                await self._look()
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
        intents = await self._store.intents(limit=BATCH + 1)
        await self.load()  # behind the intents, so that a poller knows each watch that is ended
        if self._counted < self._changes:
            await self._count()
        is_all = await self._wanted.carry_out_all(intents[:BATCH])
        if not is_all or len(intents) > BATCH:
            self.bell.ring()

    async def _count(self) -> None:
        """Count the watches that wait for sections that are gone, as far as `load` has come.

        A section may be back when they are counted, and its poller counts them itself.
        """
        changes = self._changes
        for provider, before in list(self._unpolled.items()):
            states = await self._waiting(provider)
            if self._unpolled.get(provider) is before:
                self._unpolled[provider] = states
        self._counted = changes

    async def _waiting(self, provider: str) -> Counter[State]:
        row, states = 0, Counter[State]()
        while row < self._row:
            loaded = await self._store.load(after=row, limit=BATCH, provider=provider)
            self._turned_at = self._clock.monotonic()
            states.update(opened.state or State.PENDING for opened in loaded if opened.row <= self._row)
            row = loaded[-1].row if len(loaded) == BATCH else self._row
        return states

    def readings(self) -> Iterator[metrics.Reading]:
        """Say how many watches wait for sections that are gone."""
        for counted in self._unpolled.values():
            for state, number in counted.items():
                yield metrics.Reading(metrics.WATCHES, (metrics.UNKNOWN, state), number)

    def _ending(self, watch: Watch) -> Callable[[], None]:
        """Return what forgets a watch once it has ended: from the poller that it has now.

        Another one that has come since sees that for itself. One that is not ours any more, or of a shard that is just
        coming, is on no schedule, nor counted.
        """
        poller = self._pollers.get(watch.provider)

        def forget() -> None:
            if not self._hold.has(watch.uid) or shard_of(watch.uid) in self._coming:
                return
            now = self._pollers.get(watch.provider)
            if now is None:
                self._unpolled[watch.provider][watch.state] -= 1
            elif now is poller:
                poller.end(watch)

        return forget

    def _add(self, opened: Opened) -> None:
        poller = self._pollers.get(opened.provider)
        if poller is not None:
            poller.add(opened)
            return
        self._unpolled[opened.provider][opened.state or State.PENDING] += 1
        self._tell_waiting(opened.provider)

    def _tell_waiting(self, provider: str) -> None:
        """Log that watches wait for a section that is gone, once until it is back."""
        if provider in self._expected or provider in self._told or not self._unpolled[provider].total():
            return
        self._told.add(provider)
        log.warning("provider.down", provider=provider, reason="no such section: its watches wait")
