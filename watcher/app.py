"""The wiring: opens what the configuration names, starts the loops, stops them in order. Only it knows them all."""

import secrets
import signal
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import anyio
import structlog

from watcher import __version__
from watcher.ask import Answered, Asker
from watcher.config import Config, literals
from watcher.core.errors import StoreBusyError
from watcher.core.model import Condition, Final, Params
from watcher.core.rows import Admission, Arrival
from watcher.core.wire import NoAnswer, Request, Response
from watcher.deliver import MOST_BODY, Pump
from watcher.feed import Feed
from watcher.intake import Desk, Intake
from watcher.poll import Poller
from watcher.ports import Clock, Item, Provider, Store, Transport
from watcher.record import Recorder
from watcher.stores.sqlite import SqliteStore
from watcher.systemd import notify, watchdog_seconds
from watcher.transport import open_transport

STOP_WITHIN = 18.0
AGENT = f"watcher/{__version__}"

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class SystemClock:
    """`ports.Clock` of the machine."""

    def now(self) -> datetime:
        """Return the wall clock, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


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
class Loops:
    """The loops of one daemon: those that take work in, and those that deliver what came of it."""

    feed: Feed
    pollers: Sequence[Poller]
    intakes: Sequence[Intake]
    pumps: Sequence[Pump]

    @property
    def taking(self) -> list[Loop]:
        """The loops that stop first."""
        return [*self.intakes, self.feed, *self.pollers]

    @property
    def all(self) -> list[Loop]:
        """Every loop."""
        return [*self.taking, *self.pumps]


async def assemble(config: Config, *, store: Store, polls: Transport, posts: Transport, clock: Clock) -> Loops:
    """Make the loops that a configuration asks for."""
    conditions = {condition.provider: condition for condition in await store.conditions()}
    pumps = [
        Pump(name, webhook, store=store, transport=posts, clock=clock, agent=AGENT)
        for name, webhook in config.webhooks.items()
    ]
    recorder = Recorder(store=store, webhooks=config.webhooks, outbox=[pump.bell for pump in pumps])
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
    feed = Feed(pollers, store=store, recorder=recorder, clock=clock)
    desk = Desk(config.providers, frozenset(config.webhooks), clock)
    intakes = [
        Intake(name, section.source(), desk=desk, store=store, feed=feed.bell)
        for name, section in config.sources.items()
    ]
    return Loops(feed, list(pollers.values()), intakes, pumps)


async def run(config: Config) -> None:
    """Be the daemon until SIGTERM or SIGINT; every loop that ends by itself for a bug ends the process.

    Raises:
        StoreBusyError: another daemon owns the store.
        StoreError: it cannot be opened.

    """
    written = literals(config)
    tell = log.warning if written else log.info
    tell("daemon.started", version=__version__, state=config.watcher.state, literal_secrets=written)
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        store = await SqliteStore.open(config.watcher.database)
        try:
            await store.lease()
            async with open_transport() as polls, open_transport(glance=MOST_BODY) as posts:
                loops = await assemble(config, store=store, polls=polls, posts=posts, clock=SystemClock())
                await _turn(loops, signals)
        finally:
            with anyio.CancelScope(shield=True):
                await store.release()
                await store.close()
        log.info("daemon.stopped")


async def _turn(loops: Loops, signals: AsyncIterator[signal.Signals]) -> None:
    """Turn all loops until a signal has stopped them, with somebody to heed it and somebody to feed the watchdog."""
    watches = await loops.feed.load()
    stopping, work = anyio.Event(), anyio.CancelScope()
    async with anyio.create_task_group() as tending:
        tending.start_soon(_heed, signals, stopping, work, name="signals")
        tending.start_soon(_feed_watchdog, loops, name="watchdog")
        notify("READY=1", f"STATUS={watches} open watches")
        log.info("daemon.ready", watches=watches)
        with work:
            await _work(loops, stopping)
        tending.cancel_scope.cancel()


async def _work(loops: Loops, stopping: anyio.Event) -> None:
    """Start the loops, and stop them in order: first what takes work in, then what delivers."""
    async with anyio.create_task_group() as delivering:
        for pump in loops.pumps:
            delivering.start_soon(pump.run, name="deliver")
        async with anyio.create_task_group() as taking:
            for loop in loops.taking:
                taking.start_soon(loop.run, name=type(loop).__name__.lower())
            await stopping.wait()
            for loop in loops.taking:
                loop.stop()
        for pump in loops.pumps:
            pump.stop()


async def _heed(signals: AsyncIterator[signal.Signals], stopping: anyio.Event, work: anyio.CancelScope) -> None:
    """Stop on the first signal, and soon; a second SIGINT is somebody who does not want to wait."""
    async for number in signals:
        if stopping.is_set() and number is signal.SIGINT:
            work.cancel()
        if not stopping.is_set():
            log.info("daemon.stopping", signal=number.name)
            notify("STOPPING=1")
            work.deadline = anyio.current_time() + STOP_WITHIN
            stopping.set()


async def _feed_watchdog(loops: Loops) -> None:
    """Tell systemd that we live, but only while each loop turns."""
    patience = watchdog_seconds()
    while patience is not None:
        if all(loop.is_turning for loop in loops.all):
            notify("WATCHDOG=1")
        await anyio.sleep(patience / 3)


async def add(config: Config, item: Item, *, source: str) -> tuple[Arrival, Admission]:
    """Take one request straight into the store, daemon running or not; a running one polls it within a second.

    Raises:
        StoreError: it is not in the store.

    """
    store = await SqliteStore.open(config.watcher.database)
    try:
        desk = Desk(config.providers, frozenset(config.webhooks), SystemClock())
        arrival = desk.read(item, source=source)
        (admission,) = await store.add([arrival])
        return arrival, admission
    finally:
        await store.close()


async def carry_out(config: Config) -> bool:
    """Carry out what is asked of the owner, if there is none: then this process is it for a moment.

    Returns:
        False if a daemon runs, which does it itself.

    """
    store = await SqliteStore.open(config.watcher.database)
    try:
        await store.lease()
        recorder = Recorder(store=store, webhooks=config.webhooks, outbox=[])
        feed = Feed({}, store=store, recorder=recorder, clock=SystemClock())
        for intent in await store.intents():
            await feed.carry_out(intent)
    except StoreBusyError:
        return False
    finally:
        await store.close()
    return True


class _Overheard:
    """A transport that keeps the HTTP status of the last answer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.status: int | None = None

    async def send(self, request: Request, *, within: timedelta) -> Response | NoAnswer:
        """Send one request; see `ports.Transport`."""
        answer = await self._transport.send(request, within=within)
        self.status = answer.status if isinstance(answer, Response) else None
        return answer


async def probe(provider: Provider, params: Params) -> tuple[int | None, Final]:
    """Ask once, as the daemon would; return the last answer's HTTP status and what it means. Nothing is kept.

    Raises:
        RequestError: the params name no operation there.

    """
    provider.check(params)
    async with open_transport() as opened:
        transport = _Overheard(opened)
        polled = await Asker(provider, transport=transport, clock=SystemClock()).poll(params, digest=None)
    if not isinstance(polled, Answered):
        raise TypeError("an answer cannot be unchanged where none was seen before")
    return transport.status, polled.outcome
