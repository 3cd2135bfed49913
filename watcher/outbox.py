"""All webhooks together: a `Pump` for each, woken by name. What one of them does is its own affair."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import anyio
import structlog

from watcher import metrics
from watcher.core.callbacks import ANY_ORIGIN, Callbacks
from watcher.core.endpoint import Disabled, Endpoint, disabled, enabled
from watcher.core.errors import ConfigError
from watcher.core.intent import Switch
from watcher.core.webhook_section import Terms, Webhook
from watcher.deliver import Pump
from watcher.hold import Hold
from watcher.origins import Origins
from watcher.ports import Clock, Transport
from watcher.roster import Roster, patiently
from watcher.store import Store

Posts: TypeAlias = Callable[[Terms], AbstractAsyncContextManager[Transport]]

FEW = 10  # names in one line of the log

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Outbox:
    """The pumps of one daemon: of its webhooks, and of the origins that callbacks go to; none before a `change`.

    `posts` opens the connections of a section.
    """

    def __init__(
        self,
        webhooks: Mapping[str, Webhook],
        *,
        callbacks: Callbacks | None = None,
        store: Store,
        clock: Clock,
        agent: str,
        posts: Posts,
        hold: Hold | None = None,
    ) -> None:
        self._webhooks = webhooks
        self._callbacks = callbacks
        self._store = store
        self._clock = clock
        self._agent = agent
        self._posts = posts
        self._hold = hold or Hold(clock)
        self._pumps: dict[str, Pump] = {}
        self._origins: Origins | None = None
        self._roster = Roster[Terms, Pump | Origins]("deliver", self._opened, forget=self._forget)
        self._changing = anyio.Lock()
        self._begun: dict[str, int] = {}  # which intent each webhook is being enabled by
        self._switching: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)
        self._backlog: dict[str, tuple[int, float]] = {}
        self._lost: set[str] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Let pumps deliver while the block lasts; what is in flight then is finished."""
        async with self._roster.open():
            yield

    async def change(self, webhooks: Mapping[str, Webhook], *, callbacks: Callbacks | None) -> None:
        """Deliver to these from now on; the pumps of sections that stay are not touched.

        What waits for sections that are gone is told.
        """
        async with self._changing:
            self._webhooks, self._callbacks = webhooks, callbacks
            await self._roster.change(self._sections)
            await patiently(self._tell_lost)

    async def renew(self) -> None:
        """Make all pumps anew: each goes by the wall clock as it was when it began.

        One whose TLS files cannot be read just now goes on as it is, until the next time.
        """
        async with self._changing, anyio.create_task_group() as renewing:
            for name, terms in self._sections.items():
                renewing.start_soon(self._renew, name, terms, name=f"renew {name}")

    async def _renew(self, name: str, terms: Terms) -> None:
        try:
            async with self._posts(terms):
                pass  # it can be opened, and so the pump that there is may end
        except ConfigError as error:
            section = "callbacks" if name == ANY_ORIGIN else f"webhooks.{name}"
            log.error("config.rejected", error=f"{section}.{error}")  # noqa: TRY400  # no bug of ours
        else:
            await self._roster.renew(name)

    @property
    def _sections(self) -> dict[str, Terms]:
        return {**self._webhooks, **({ANY_ORIGIN: self._callbacks} if self._callbacks else {})}

    @asynccontextmanager
    async def _opened(self, name: str, terms: Terms) -> AsyncIterator[Pump | Origins]:
        """Make the pump of a section, or the one that has those of all callbacks, with what is known of it."""
        async with self._posts(terms) as transport:
            if isinstance(terms, Callbacks):
                async with self._switching[name]:
                    self._origins = Origins(
                        terms,
                        store=self._store,
                        transport=transport,
                        clock=self._clock,
                        agent=self._agent,
                        hold=self._hold,
                    )
                yield self._origins
                self._origins = None
            else:
                async with self._switching[name]:
                    self._pumps[name] = await self._pump(name, terms, transport=transport)
                yield self._pumps[name]
                del self._pumps[name]

    async def _pump(self, name: str, terms: Terms, *, transport: Transport) -> Pump:
        endpoint = await self._store.endpoint(name, ordered=terms.order == "watch")
        return Pump(
            terms,
            endpoint=endpoint,
            store=self._store,
            transport=transport,
            clock=self._clock,
            agent=self._agent,
            hold=self._hold,
        )

    def _forget(self, name: str) -> None:
        metrics.forget_webhook(name)
        self._backlog.pop(metrics.label_of(name), None)

    async def _tell_lost(self) -> None:
        """Log what waits for sections that are gone, once until they are back."""
        names = await self._store.undelivered()
        origins = [] if self._callbacks else [name for name in names if name.startswith(ANY_ORIGIN)]
        lost = {name for name in names if name not in self._webhooks and not name.startswith(ANY_ORIGIN)}
        for name in sorted(lost - self._lost):
            log.warning("endpoint.paused", webhook=name, reason="no such section: its deliveries wait")
        if origins and ANY_ORIGIN not in self._lost:
            why = f"no [callbacks] section: the deliveries of {len(origins)} origins wait"
            log.warning("endpoint.paused", webhook="callbacks", reason=why, origins=origins[:FEW])
        self._lost = lost | ({ANY_ORIGIN} if origins else set())

    @property
    def stuck(self) -> list[str]:
        """Which pumps have not come round lately?"""
        return self._roster.stuck

    def stop(self) -> None:
        """Begin no attempt any more."""
        self._roster.stop()

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

    # --- together with other workers ------------------------------------------------------------------------------

    def follow(self) -> None:
        """Go by what is held now."""
        for one in self._all:
            one.follow()

    @property
    def leaving(self) -> set[str]:
        """Of which watches is something on its way that is not ours any more?"""
        return {uid for one in self._all for uid in one.leaving}

    def learn(self, endpoints: Iterable[Endpoint]) -> None:
        """Go by what other workers found out about webhooks."""
        for endpoint in endpoints:
            if endpoint.name in self._pumps:
                self._pumps[endpoint.name].learn(endpoint)
            elif self._origins and endpoint.name.startswith(ANY_ORIGIN):
                self._origins.learn(endpoint)

    @property
    def _all(self) -> list[Pump | Origins]:
        return [*self._pumps.values(), *([self._origins] if self._origins else [])]

    # --- what is wanted, and what is told -------------------------------------------------------------------------

    async def switch(self, intent: Switch) -> bool:
        """Enable or disable a webhook, also one that is not opened here. False: more of what waits is to go now.

        What it finds out meanwhile stays: it is enabled once.

        Raises:
            StoreError: it is not done, and still wanted.

        """
        is_begun = self._begun.get(intent.webhook) == intent.id
        async with self._held(intent.webhook) as pump:
            if pump is not None:
                is_done = await pump.switch(intent, is_begun=is_begun)
            else:
                after = None if is_begun else await self._switched(intent)
                is_done = await self._store.done(intent, after, now=self._clock.now())
        if is_done:
            self._begun.pop(intent.webhook, None)
        else:
            self._begun[intent.webhook] = intent.id
        self.wake(intent.webhook)
        return is_done

    async def _switched(self, intent: Switch) -> Endpoint:
        known = await self._store.endpoint(intent.webhook, ordered=self._is_ordered(intent.webhook))
        return enabled(known) if intent.on else disabled(known, Disabled.COMMAND, now=self._clock.now())

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

    @asynccontextmanager
    async def _held(self, name: str) -> AsyncIterator[Pump | None]:
        """Give the pump of a webhook, if it has one; none is made while the block lasts."""
        is_origin = name.startswith(ANY_ORIGIN)
        async with self._switching[ANY_ORIGIN if is_origin else name]:
            if is_origin and self._origins:
                async with self._origins.held(name) as pump:
                    yield pump
            else:
                yield self._pumps.get(name)

    def _is_ordered(self, name: str) -> bool:
        section = self._callbacks if name.startswith(ANY_ORIGIN) else self._webhooks.get(name)
        return section is None or section.order == "watch"
