"""The loops of one daemon under one configuration: made, started together, stopped in order."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio

from watcher import metrics
from watcher.config import Config
from watcher.core.model import Condition, Watch
from watcher.errand import AGENT
from watcher.feed import Feed
from watcher.intake import Desk, Intake
from watcher.keep import Keeper
from watcher.lately import Outlook
from watcher.outbox import Outbox
from watcher.poll import Poller
from watcher.ports import Clock, Source, Store, Transport
from watcher.record import Recorder
from watcher.room import Room


class Loop(Protocol):
    """What is started, stopped, and watched over."""

    async def run(self) -> None:
        """Turn until stopped."""

    def stop(self) -> None:
        """Begin nothing new; `run` ends when what is in flight is finished."""

    @property
    def is_turning(self) -> bool:
        """Has it turned lately, or is it rightly busy?"""


@dataclass(frozen=True, slots=True)
class Crew:
    """The loops: those that take work in, and those that deliver what came of it."""

    feed: Feed
    keeper: Keeper
    room: Room
    pollers: Mapping[str, Poller]
    intakes: Sequence[Intake]
    outbox: Outbox

    @property
    def taking(self) -> list[Loop]:
        """The loops that stop first."""
        return [*self.intakes, self.feed, self.keeper, self.room, *self.pollers.values()]

    @property
    def is_turning(self) -> bool:
        """Does every loop turn?"""
        return all(loop.is_turning for loop in (*self.taking, self.outbox))

    def metrics(self) -> bytes:
        """Return what `GET /metrics` shows."""
        return metrics.text([self.feed, *self.pollers.values(), self.outbox])

    def outlook(self, watch: Watch) -> Outlook | None:
        """Say when a watch is asked next; None where nobody asks."""
        poller = self.pollers.get(watch.provider)
        return None if poller is None else poller.outlook(watch.uid)

    async def work(self, stopping: anyio.Event) -> None:
        """Turn all loops; then stop them in order: first what takes work in, then what delivers."""
        async with anyio.create_task_group() as delivering:
            delivering.start_soon(self.outbox.run, name="deliver")
            async with anyio.create_task_group() as taking:
                for loop in self.taking:
                    taking.start_soon(loop.run, name=type(loop).__name__.lower())
                await stopping.wait()
                for loop in self.taking:
                    loop.stop()
            self.outbox.stop()


async def assemble(  # noqa: PLR0913  # all that the loops are wired to
    config: Config,
    *,
    desk: Desk,
    sources: Mapping[str, Source],
    store: Store,
    polls: Transport,
    posts: Callable[[str], Transport],
    clock: Clock,
    told: Callable[[], None],
) -> Crew:
    """Make the loops that a configuration asks for.

    `posts` gives each webhook, by name, its connections; `told` is called when there is a new event.

    Raises:
        StoreError: what is known of providers and webhooks cannot be read.

    """
    conditions = {condition.provider: condition for condition in await store.conditions()}
    outbox = Outbox(config.webhooks, callbacks=config.callbacks, store=store, clock=clock, agent=AGENT)
    await outbox.open(posts)
    recorder = Recorder(store=store, webhooks=config.webhooks, callbacks=config.callbacks, wake=outbox.wake, told=told)
    pollers = {
        name: Poller(
            name,
            provider,
            condition=conditions.get(name) or Condition(name, uid=secrets.token_hex(16)),
            store=store,
            recorder=recorder,
            transport=polls,
            clock=clock,
        )
        for name, provider in config.providers.items()
    }
    feed = Feed(pollers, store=store, recorder=recorder, outbox=outbox, clock=clock)
    room = Room(most=config.watcher.max_watches, count=lambda: feed.open, folder=config.watcher.database.parent)
    intakes = [
        Intake(name, source, desk=desk, store=store, feed=feed.bell, room=room) for name, source in sources.items()
    ]
    keeper = Keeper(keep=config.watcher.keep, store=store, outbox=outbox, clock=clock)
    return Crew(feed, keeper, room, pollers, intakes, outbox)
