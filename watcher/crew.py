"""The loops of one daemon: made, started together, changed one by one as their sections change, stopped in order."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from math import inf

import anyio

from watcher import metrics
from watcher.config import Config, SourceSection
from watcher.core.endpoint import Endpoint
from watcher.core.lease import Lease
from watcher.core.model import Condition, Watch
from watcher.errand import AGENT
from watcher.feed import Feed
from watcher.hold import Hold
from watcher.intake import Desk, Down, Intake
from watcher.keep import Keeper
from watcher.lately import Outlook
from watcher.outbox import Outbox, Posts
from watcher.poll import Poller
from watcher.ports import Clock, Provider, Transport
from watcher.record import Recorder
from watcher.room import Room
from watcher.roster import Loop, Roster, patiently
from watcher.store import Store
from watcher.tenure import Tenure


class Crew:
    """The loops: those that take work in, and those that deliver what came of it. They live as long as the daemon does.

    `posts` opens the connections of a webhook; `told` is called when there is a new event.
    """

    def __init__(  # noqa: PLR0913  # all that the loops are wired to
        self,
        config: Config,
        *,
        desk: Desk,
        store: Store,
        polls: Transport,
        posts: Posts,
        clock: Clock,
        told: Callable[[], None],
        lease: Lease,
    ) -> None:
        """Make the loops that are there whatever the configuration says; `lease` is just taken."""
        self._desk = desk
        self._hold = Hold(clock)
        self._hold.extend(lease, asked_at=-inf)  # one that can end is renewed before anything is polled
        self._hold.grow(lease)
        self._store = store
        self._polls = polls
        self._clock = clock
        self._outbox = Outbox({}, store=store, clock=clock, agent=AGENT, posts=posts, hold=self._hold)
        self._recorder = Recorder(store=store, webhooks={}, wake=self._outbox.wake, told=told)
        self.feed = Feed({}, store=store, recorder=self._recorder, outbox=self._outbox, clock=clock, hold=self._hold)
        self.room = Room(most=config.watcher.max_watches, count=lambda: self.feed.open, folder=config.watcher.folder)
        self._tenure = Tenure(
            self._hold,
            store=store,
            clock=clock,
            followers=lambda: (self.feed, *self._pollers.loops.values(), self._outbox),
            load=self.feed.gain,
            wake=self.feed.bell.ring,
            learn=self._learn,
        )
        self._keeper = Keeper(keep=config.watcher.keep, store=store, outbox=self._outbox, clock=clock)
        self._tending = anyio.create_task_group()
        self._tended: dict[str, Loop] = {}
        self._pollers = Roster[Provider, Poller]("poll", self._polling, forget=metrics.forget_provider)
        self._intakes = Roster[SourceSection, Intake]("take", self._taking, forget=metrics.forget_source)

    # --- from the first loop to the last -------------------------------------------------------------------------

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Let loops turn while the block lasts; then stop first what takes work in, then what delivers.

        The lease is kept to the last, so that what is on its way can be settled.
        """
        async with anyio.create_task_group() as leasing:
            leasing.start_soon(self._tenure.run, name="lease")
            async with self._outbox.open(), self._pollers.open(), self._intakes.open(), self._tending:
                yield
                self._tenure.leave()
                for loop in (*self._intakes.loops.values(), *self._tended.values(), *self._pollers.loops.values()):
                    loop.stop()
            self._tenure.stop()

    async def begin(self, config: Config) -> None:
        """Start all loops; the sources last: how much room there is shows once every open watch is known."""
        await self.change(config.model_copy(update={"sources": {}}), desk=self._desk)
        await patiently(self.feed.load)
        self._tended = {"feed": self.feed, "keep": self._keeper, "room": self.room}
        for name, loop in self._tended.items():
            self._tending.start_soon(loop.run, name=name)
        await self._intakes.change(config.sources)

    async def change(self, config: Config, *, desk: Desk) -> None:
        """Go on by another configuration; return when its loops turn.

        What is addressed, taken and kept follows it at once. Loops whose sections stay as they are turn on and never
        notice; those whose sections are gone, or changed, end within seconds, while all others go on.
        """
        self._desk = desk
        for intake in self._intakes.loops.values():
            intake.desk = desk
        self._recorder.address(config.webhooks, callbacks=config.callbacks)
        self.feed.expect(config.providers.keys())
        self._keeper.keep, self.room.most = config.watcher.keep, config.watcher.max_watches
        async with anyio.create_task_group() as changing:
            changing.start_soon(partial(self._outbox.change, config.webhooks, callbacks=config.callbacks))
            changing.start_soon(self._change_pollers, config.providers)
            changing.start_soon(self._intakes.change, config.sources)

    async def _change_pollers(self, providers: Mapping[str, Provider]) -> None:
        async with self._tenure.steady():
            await self._pollers.change(providers)

    def _learn(self, conditions: Iterable[Condition], endpoints: Iterable[Endpoint]) -> None:
        for condition in conditions:
            if condition.provider in self._pollers.loops:
                self._pollers.loops[condition.provider].learn(condition)
        self._outbox.learn(endpoints)

    @asynccontextmanager
    async def _polling(self, name: str, provider: Provider) -> AsyncIterator[Poller]:
        """Make the poller of a section, with what is known of its account, and all its watches."""
        poller = Poller(
            name,
            provider,
            condition=await self._condition(name),
            store=self._store,
            recorder=self._recorder,
            transport=self._polls,
            clock=self._clock,
            hold=self._hold,
        )
        async with self.feed.feeding(name, poller):
            poller.follow()  # only now: shards may have changed hands while its watches were loaded
            yield poller

    async def _condition(self, name: str) -> Condition:
        """Return what is known of an account; a pause that a clock ahead has told of is shortened, once."""
        conditions = {condition.provider: condition for condition in await self._store.conditions()}
        known = conditions.get(name) or Condition(name, uid=secrets.token_hex(16))
        after = known.rewound(now=self._clock.now())
        if after != known and not self._hold.is_shared:  # or others' clocks may be the right ones
            await self._store.pause(after)
        return after

    @asynccontextmanager
    async def _taking(self, name: str, section: SourceSection) -> AsyncIterator[Intake]:
        """Make the intake of a section; it lets go of its source by itself."""
        yield Intake(name, section.source(), desk=self._desk, store=self._store, feed=self.feed.bell, room=self.room)

    # --- what is asked of them -----------------------------------------------------------------------------------

    @property
    def stuck(self) -> list[str]:
        """Which loops do not turn, by what they do."""
        tended = [name for name, loop in {"lease": self._tenure, **self._tended}.items() if not loop.is_turning]
        return [*self._intakes.stuck, *tended, *self._pollers.stuck, *self._outbox.stuck]

    def readings(self) -> Iterator[metrics.Reading]:
        """Say how things stand, for `GET /metrics`."""
        instruments: list[metrics.Instrument] = [self.feed, *self._pollers.loops.values(), self._outbox]
        for instrument in instruments:
            yield from instrument.readings()

    def down(self) -> dict[str, Down]:
        """Say which sources cannot be read."""
        return {name: intake.down for name, intake in self._intakes.loops.items() if intake.down}

    def outlook(self, watch: Watch) -> Outlook | None:
        """Say when a watch is asked next; None where nobody asks."""
        poller = self._pollers.loops.get(watch.provider)
        return None if poller is None else poller.outlook(watch.uid)
