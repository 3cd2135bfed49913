"""The daemon: opens what the configuration names, and lives until it is told to stop. Only it knows what is concrete.

A reload changes the crew of loops: the store, the API and all loops whose sections stay never notice.
"""

import gc
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from time import monotonic_ns

import anyio
import structlog
from anyio.to_thread import run_sync

from watcher import __version__, metrics
from watcher.bell import Bell
from watcher.clock import SystemClock
from watcher.config import Config, changes
from watcher.core.errors import ConfigError
from watcher.core.lease import Lease
from watcher.crew import Crew
from watcher.errand import desk_of, own_of
from watcher.http.backing import Backing
from watcher.http.news import News
from watcher.http.server import HttpServer
from watcher.masking import literals
from watcher.opening import open_records, open_store
from watcher.ports import Records, Transport
from watcher.posting import open_posts
from watcher.store import Store
from watcher.systemd import Standing, extend, keep_told, notify
from watcher.transport import open_transport

STOP_WITHIN = 18.0
SELDOM = (10_000, 20, 100)  # looks of the garbage collector: polls and deliveries make no cycles

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


async def run(config: Config, *, read_again: Callable[[], Config]) -> None:
    """Be the daemon until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    Every loop that ends by itself for a bug ends the process.

    Raises:
        StoreBusyError: another daemon owns the store.
        StoreError: it cannot be opened.
        WatcherError: it cannot listen where the configuration says.

    """
    gc.set_threshold(*SELDOM)
    written = literals(config)
    tell = log.warning if written else log.info
    tell("daemon.started", version=__version__, state=config.watcher.state, literal_secrets=written)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with anyio.open_signal_receiver(*numbers) as signals:
        async with _owned(config) as (store, lease), _records(config) as records, open_transport() as polls:
            daemon = Daemon(config, store=store, lease=lease, records=records, polls=polls, read_again=read_again)
            await daemon.live(signals)
        log.info("daemon.stopped")


@asynccontextmanager
async def _owned(config: Config) -> AsyncIterator[tuple[Store, Lease]]:
    store = await open_store(config)
    try:
        yield store, await store.lease()
    finally:
        with anyio.CancelScope(shield=True):
            await store.close()


@asynccontextmanager
async def _records(config: Config) -> AsyncIterator[Records]:
    records = await open_records(config)
    try:
        yield records
    finally:
        with anyio.CancelScope(shield=True):
            await records.close()


class Daemon:
    """One daemon, over the changes of its configuration."""

    def __init__(
        self,
        config: Config,
        *,
        store: Store,
        lease: Lease,
        records: Records,
        polls: Transport,
        read_again: Callable[[], Config],
    ) -> None:
        self._config = config
        self._read_again = read_again
        self._clock = SystemClock()
        self._asked = Bell()
        self._following = anyio.CancelScope()
        self._work = anyio.CancelScope()
        self._is_stopping = False
        self._is_ready = False
        desk, news = desk_of(config, clock=self._clock), News()
        self._crew = crew = Crew(
            config,
            desk=desk,
            store=store,
            polls=polls,
            posts=partial(open_posts, own=own_of(config)),
            clock=self._clock,
            told=news.ring,
            lease=lease,
        )
        self._backing = Backing(
            store=store,
            records=records,
            desk=desk,
            webhooks=config.webhooks,
            feed=crew.feed.bell,
            metrics=lambda: metrics.text([crew]),
            lack=lambda: crew.room.lack,
            is_well=lambda: not crew.stuck,
            is_ready=lambda: self._is_ready,
            outlook=crew.outlook,
            news=news,
            readings=crew.readings,
            down=crew.down,
        )

    async def live(self, signals: AsyncIterator[signal.Signals]) -> None:
        """Follow the configuration until told to stop, with somebody to heed signals and to feed the watchdog."""
        async with self._serving(), anyio.create_task_group() as tending:
            tending.start_soon(metrics.measure_loop_lag, self._clock, name="loop lag")
            tending.start_soon(self._heed, signals, name="signals")
            tending.start_soon(keep_told, self._standing, name="systemd")
            with self._work:
                async with self._crew.at_work():
                    with self._following:
                        await self._follow()
            tending.cancel_scope.cancel()

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

    # --- one configuration after the other ----------------------------------------------------------------------

    async def _follow(self) -> None:
        """Turn the loops of the configuration, and change them as often as we are asked to."""
        await self._crew.begin(self._config)
        self._is_ready = True
        self._tell_ready()
        while True:
            await self._asked.wait(at_most=inf)
            notify("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")
            await self._reload()

    async def _reload(self) -> None:
        """Go on with the configuration as it is now; with the old one if it cannot be used."""
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
        self._config = config = config.pinned(self._config)
        self._backing.desk, self._backing.webhooks = desk_of(config, clock=self._clock), config.webhooks
        await self._crew.change(config, desk=self._backing.desk)
        self._tell_ready()

    def _tell_ready(self) -> None:
        watches = self._crew.feed.open
        notify("READY=1", f"STATUS={watches} open watches")
        log.info("daemon.ready", watches=watches)

    # --- what we are told, and whom we tell ---------------------------------------------------------------------

    async def _heed(self, signals: AsyncIterator[signal.Signals]) -> None:
        """Stop on the first signal, and soon; a second SIGINT is somebody who does not want to wait."""
        async for number in signals:
            if number is signal.SIGHUP:
                self._asked.ring()
            elif not self._is_stopping:
                log.info("daemon.stopping", signal=number.name)
                notify("STOPPING=1", extend(STOP_WITHIN + 2))
                self._is_stopping, self._is_ready = True, False
                self._work.deadline = anyio.current_time() + STOP_WITHIN
                self._following.cancel()
            elif number is signal.SIGINT:
                self._work.cancel()

    def _standing(self) -> Standing | None:
        """Say how things stand, once all is loaded."""
        if not (self._is_ready or self._is_stopping):
            return None
        return Standing(self._crew.readings(), self._crew.stuck)
