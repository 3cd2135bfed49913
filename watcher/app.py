"""The daemon: opens what the configuration names, and lives until it is told to stop. Only it knows what is concrete.

A reload ends one crew of loops, in order, and starts the next: what is in flight is finished, the store stays open, and
the API goes on answering.
"""

import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic_ns

import anyio
import structlog
from anyio.to_thread import run_sync

from watcher import __version__, metrics
from watcher.bell import Bell
from watcher.clock import SystemClock
from watcher.config import Config, SourceSection, changes, literals
from watcher.core.callbacks import ANY_ORIGIN
from watcher.core.errors import ConfigError
from watcher.core.webhook_section import Terms
from watcher.crew import Crew, assemble
from watcher.errand import desk_of, own_of
from watcher.http.backing import Backing
from watcher.http.server import HttpServer
from watcher.ports import Source, Transport
from watcher.posting import open_posts
from watcher.stores.sqlite import SqliteStore
from watcher.stores.sqlite_records import SqliteRecords
from watcher.systemd import notify, watchdog_seconds
from watcher.transport import open_transport

STOP_WITHIN = 18.0
CHANGE_WITHIN = 5.0  # what is in flight longer, at a webhook that hangs, is sent again under the same id

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


async def run(config: Config, *, read_again: Callable[[], Config]) -> None:
    """Be the daemon until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    Every loop that ends by itself for a bug ends the process.

    Raises:
        StoreBusyError: another daemon owns the store.
        StoreError: it cannot be opened.
        WatcherError: it cannot listen where the configuration says.

    """
    written = literals(config)
    tell = log.warning if written else log.info
    tell("daemon.started", version=__version__, state=config.watcher.state, literal_secrets=written)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with anyio.open_signal_receiver(*numbers) as signals:
        async with _owned(config) as store, _records(config) as records:
            await Daemon(config, store=store, records=records, read_again=read_again).live(signals)
        log.info("daemon.stopped")


@asynccontextmanager
async def _owned(config: Config) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(config.watcher.database)
    try:
        await store.lease()
        yield store
    finally:
        with anyio.CancelScope(shield=True):
            await store.release()
            await store.close()


@asynccontextmanager
async def _records(config: Config) -> AsyncIterator[SqliteRecords]:
    records = await SqliteRecords.open(config.watcher.database)
    try:
        yield records
    finally:
        with anyio.CancelScope(shield=True):
            await records.close()


class Daemon:
    """One daemon, over the changes of its configuration."""

    def __init__(
        self, config: Config, *, store: SqliteStore, records: SqliteRecords, read_again: Callable[[], Config]
    ) -> None:
        self._config = config
        self._store = store
        self._read_again = read_again
        self._clock = SystemClock()
        self._sources: dict[str, tuple[SourceSection, Source]] = {}
        self._crew: Crew | None = None
        self._turning = anyio.Event()
        self._work = anyio.CancelScope()
        self._is_stopping = False
        self._is_ready = False
        self._backing = Backing(
            store=store,
            records=records,
            desk=desk_of(config, clock=self._clock),
            webhooks=config.webhooks,
            feed=Bell(),
            metrics=lambda: self._crew.metrics() if self._crew else metrics.text(()),
            lack=lambda: self._crew.room.lack if self._crew else None,
            is_well=lambda: self._crew is None or self._crew.is_turning,
            is_ready=lambda: self._is_ready,
            outlook=lambda watch: self._crew.outlook(watch) if self._crew else None,
        )

    async def live(self, signals: AsyncIterator[signal.Signals]) -> None:
        """Live through one configuration after the other, with somebody to heed signals and to feed the watchdog."""
        async with self._serving(), anyio.create_task_group() as tending:
            tending.start_soon(metrics.measure_loop_lag, self._clock, name="loop lag")
            tending.start_soon(self._heed, signals, name="signals")
            tending.start_soon(self._feed_watchdog, name="watchdog")
            while not self._is_stopping:
                self._turning, self._work = anyio.Event(), anyio.CancelScope()
                await self._turn(self._config)
            tending.cancel_scope.cancel()

    async def _turn(self, config: Config) -> None:
        """Turn the loops of one configuration until it is over."""
        self._backing.desk, self._backing.webhooks = desk_of(config, clock=self._clock), config.webhooks
        async with open_transport() as polls, _posts(config) as posts:
            crew = await assemble(
                config,
                desk=self._backing.desk,
                sources=self._opened(config),
                store=self._store,
                polls=polls,
                posts=posts.__getitem__,
                clock=self._clock,
                told=self._backing.news.ring,
            )
            watches = await crew.feed.load()
            self._crew, self._backing.feed = crew, crew.feed.bell
            self._is_ready = not self._is_stopping
            notify("READY=1", f"STATUS={watches} open watches")
            log.info("daemon.ready", watches=watches)
            with self._work:
                await crew.work(self._turning)

    def _opened(self, config: Config) -> Mapping[str, Source]:
        """Return the sources; one whose section stays is the same, as it may hold what was read and not yet taken."""
        old, self._sources = self._sources, {}
        for name, section in config.sources.items():
            known = old.get(name)
            self._sources[name] = known if known and known[0] == section else (section, section.source())
        return {name: source for name, (_, source) in self._sources.items()}

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Answer the API from before everything is loaded until after all is delivered."""
        address = self._config.watcher.address
        if address is None:
            yield
            return
        server = HttpServer(self._backing, address=address, token=self._config.watcher.api_token)
        await server.open()
        async with anyio.create_task_group() as serving:
            serving.start_soon(server.run, name="http")
            yield
            server.stop()

    # --- what we are told, and whom we tell ---------------------------------------------------------------------

    async def _heed(self, signals: AsyncIterator[signal.Signals]) -> None:
        """Stop on the first signal, and soon; a second SIGINT is somebody who does not want to wait."""
        async for number in signals:
            if number is signal.SIGHUP:
                await self._reload()
            elif not self._is_stopping:
                log.info("daemon.stopping", signal=number.name)
                notify("STOPPING=1")
                self._is_stopping, self._is_ready = True, False
                self._end(within=STOP_WITHIN)
            elif number is signal.SIGINT:
                self._work.cancel()

    def _end(self, *, within: float) -> None:
        """End what turns now."""
        self._work.deadline = anyio.current_time() + within
        self._turning.set()

    async def _reload(self) -> None:
        """Go on with the configuration as it is now; with the old one if it cannot be used."""
        if self._is_stopping:
            return
        notify("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")
        try:
            config = await run_sync(self._read_again)
        except ConfigError as error:
            for problem in str(error).splitlines():
                log.error("config.rejected", error=problem)  # noqa: TRY400  # a user's mistake needs no traceback
            notify("READY=1")
            return
        changed, pinned = changes(self._config, config)
        log.info("config.reloaded", changed=changed, needs_restart=pinned)
        if not changed:
            notify("READY=1")
            return
        self._config = config.pinned(self._config)
        self._end(within=CHANGE_WITHIN)

    async def _feed_watchdog(self) -> None:
        """Tell systemd that we live, but only while each loop turns."""
        patience = watchdog_seconds()
        while patience is not None:
            if self._crew is not None and self._crew.is_turning:
                notify("WATCHDOG=1")
            await anyio.sleep(patience / 3)


@asynccontextmanager
async def _posts(config: Config) -> AsyncIterator[Mapping[str, Transport]]:
    """Open the connections of each webhook, by name, and those that all callbacks share."""
    own = own_of(config)
    async with AsyncExitStack() as opened:
        yield {name: await opened.enter_async_context(open_posts(terms, own=own)) for name, terms in _addressed(config)}


def _addressed(config: Config) -> Iterator[tuple[str, Terms]]:
    yield from config.webhooks.items()
    if config.callbacks:
        yield ANY_ORIGIN, config.callbacks
