"""All webhooks together: a `Pump` for each, woken by name. What one of them does is its own affair."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager

import anyio
import structlog

from watcher import metrics
from watcher.core.callbacks import ANY_ORIGIN, Callbacks
from watcher.core.endpoint import Disabled, disabled, enabled
from watcher.core.intent import Switch
from watcher.core.webhook_section import Webhook
from watcher.deliver import Pump
from watcher.origins import Origins
from watcher.ports import Clock, Store, Transport

FEW = 10  # names in one line of the log

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Outbox:
    """The pumps of one daemon, once they are opened: of its webhooks, and of the origins that callbacks go to."""

    def __init__(
        self,
        webhooks: Mapping[str, Webhook],
        *,
        callbacks: Callbacks | None = None,
        store: Store,
        clock: Clock,
        agent: str,
    ) -> None:
        self._webhooks = webhooks
        self._callbacks = callbacks
        self._store = store
        self._clock = clock
        self._agent = agent
        self._pumps: dict[str, Pump] = {}
        self._origins: Origins | None = None
        self._backlog: dict[str, tuple[int, float]] = {}

    async def open(self, transport: Callable[[str], Transport]) -> None:
        """Make the pumps, with what is known of their webhooks.

        `transport` gives each webhook its connections; those of all callbacks have the name `ANY_ORIGIN`.

        Raises:
            StoreError: that cannot be read.

        """
        for name, webhook in self._webhooks.items():
            endpoint = await self._store.endpoint(name, ordered=webhook.order == "watch")
            self._pumps[name] = Pump(
                webhook,
                endpoint=endpoint,
                store=self._store,
                transport=transport(name),
                clock=self._clock,
                agent=self._agent,
            )
        if self._callbacks:
            self._origins = Origins(
                self._callbacks,
                store=self._store,
                transport=transport(ANY_ORIGIN),
                clock=self._clock,
                agent=self._agent,
            )
        await self._tell_lost()

    async def _tell_lost(self) -> None:
        """Log what waits for sections that are gone."""
        names = await self._store.undelivered()
        for name in names:
            if name not in self._pumps and not name.startswith(ANY_ORIGIN):
                log.warning("endpoint.paused", webhook=name, reason="no such section: its deliveries wait")
        origins = [name for name in names if name.startswith(ANY_ORIGIN)]
        if origins and not self._callbacks:
            why = f"no [callbacks] section: the deliveries of {len(origins)} origins wait"
            log.warning("endpoint.paused", webhook="callbacks", reason=why, origins=origins[:FEW])

    async def run(self) -> None:
        """Deliver until stopped; what is in flight then is finished."""
        async with anyio.create_task_group() as tasks:
            for name, pump in self._pumps.items():
                tasks.start_soon(pump.run, name=f"deliver {name}")
            if self._origins:
                tasks.start_soon(self._origins.run, name="deliver callbacks")

    @property
    def is_turning(self) -> bool:
        """Have all pumps come round lately?"""
        return all(one.is_turning for one in self._all)

    def stop(self) -> None:
        """Begin no attempt any more."""
        for one in self._all:
            one.stop()

    def wake(self, webhook: str) -> None:
        """Say that something waits for a webhook since just now."""
        if webhook in self._pumps:
            self._pumps[webhook].wake()
        elif self._origins and webhook.startswith(ANY_ORIGIN):
            self._origins.wake(webhook)

    def wake_all(self) -> None:
        """Say that something may wait for any of them."""
        for pump in self._pumps.values():
            pump.wake()
        if self._origins:
            self._origins.wake_all()

    async def switch(self, intent: Switch) -> None:
        """Enable or disable a webhook, also one that is not opened here.

        Raises:
            StoreError: it is not done, and still wanted.

        """
        async with self._held(intent.webhook) as pump:
            if pump is not None:
                await pump.switch(intent)
                return
            known = await self._store.endpoint(intent.webhook, ordered=self._is_ordered(intent.webhook))
            after = enabled(known) if intent.on else disabled(known, Disabled.COMMAND, now=self._clock.now())
            await self._store.done(intent, after)
        self.wake(intent.webhook)

    async def count(self) -> None:
        """Count what waits, for those who ask for it.

        Raises:
            StoreError: it cannot be counted now.

        """
        backlog, now = await self._store.backlog(), self._clock.now()
        self._backlog = dict.fromkeys(self._pumps, (0, 0.0))
        for name, waits in backlog.items():
            number, age = self._backlog.get(self.label(name), (0, 0.0))
            since = waits.since or now
            self._backlog[self.label(name)] = number + waits.waiting, max(age, (now - since).total_seconds())

    def readings(self) -> Iterator[metrics.Reading]:
        """Say what waits, as last counted, and whose breaker is open; not those of origins, which callers choose."""
        for label, (number, age) in self._backlog.items():
            yield metrics.Reading(metrics.OUTBOX, (label,), number)
            yield metrics.Reading(metrics.OLDEST_UNDELIVERED, (label,), age)
        for name, pump in self._pumps.items():
            yield metrics.Reading(metrics.BREAKER_OPEN, (name,), pump.known.is_open)

    def label(self, name: str) -> str:
        """Return under which label a webhook is counted."""
        if name.startswith(ANY_ORIGIN):
            return metrics.CALLBACKS
        return name if name in self._pumps else metrics.UNKNOWN

    @property
    def _all(self) -> list[Pump | Origins]:
        return [*self._pumps.values(), *([self._origins] if self._origins else [])]

    @asynccontextmanager
    async def _held(self, name: str) -> AsyncIterator[Pump | None]:
        """Give the pump of a webhook, if it has one; none is made while the block lasts."""
        if self._origins and name.startswith(ANY_ORIGIN):
            async with self._origins.held(name) as pump:
                yield pump
        else:
            yield self._pumps.get(name)

    def _is_ordered(self, name: str) -> bool:
        section = self._callbacks if name.startswith(ANY_ORIGIN) else self._webhooks.get(name)
        return section is None or section.order == "watch"
