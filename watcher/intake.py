"""The loop: source → store, then acknowledge. One for each source; a request that is refused never stops the others."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import anyio
import structlog

from watcher import metrics
from watcher.bell import Bell
from watcher.core.addresses import Guard
from watcher.core.callbacks import Callbacks
from watcher.core.errors import RequestError, StoreError
from watcher.core.lifecycle import begin
from watcher.core.model import Callback, Watch
from watcher.core.request import CancelRequest, WatchRequest, masked, read_request
from watcher.core.rows import REFUSALS, Admission, Arrival
from watcher.core.seal import NONCE
from watcher.ports import Batch, Clock, Item, Provider, Source
from watcher.pulse import Pulse
from watcher.room import Room
from watcher.store import Store

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
STALL = 60.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Desk:
    """Checks requests against what is configured: the same for every source and for `watcher add`.

    `guard` judges callbacks as far as that needs no lookup.
    """

    providers: Mapping[str, Provider]
    webhooks: frozenset[str]
    clock: Clock
    callbacks: Callbacks | None = None
    guard: Guard | None = None

    def read(self, item: Item, *, source: str) -> Arrival:
        """Read one request; what cannot be accepted becomes a refusal with its reason."""
        raw = masked(item.raw)
        if item.refused is not None:
            return Arrival(source, item.where, raw, reason=item.refused)
        try:
            request = read_request(item.raw)
            if isinstance(request, CancelRequest):
                return Arrival(source, item.where, raw, cancel=request.cancel)
            watch = self._watch(request)
        except RequestError as error:
            return Arrival(source, item.where, raw, reason=str(error))
        return Arrival(source, item.where, raw, watch=watch)

    def _watch(self, request: WatchRequest) -> Watch:
        provider = self.providers.get(request.provider)
        if provider is None:
            raise RequestError(f"provider: {request.provider!r} is not configured; expected {_one_of(self.providers)}")
        provider.check(request.params)
        for name in request.webhooks or ():
            if name not in self.webhooks:
                raise RequestError(f"webhooks: {name!r} is not configured; expected some of {_one_of(self.webhooks)}")
        return begin(
            request,
            uid=secrets.token_hex(16),
            now=self.clock.now(),
            deadline=provider.deadline,
            callback=self._callback(request.callback_url, request.callback_secret),
        )

    def _callback(self, url: str | None, secret: str | None) -> Callback | None:
        if url is None:
            return None
        if self.callbacks is None:
            raise RequestError("callback_url: callbacks are off: the configuration has no [callbacks]")
        return self.callbacks.take(url, secret, nonce=secrets.token_bytes(NONCE), guard=self.guard)


def _one_of(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none, as there are none"


@dataclass(frozen=True, slots=True)
class Down:
    """Since when a source cannot be read, and why not, as it last was."""

    since: datetime
    error: str


class Intake:
    """Takes the requests of one source in, for as long as there are any; a source that breaks is opened again.

    A reload puts a new `desk` in. `down` says why the source cannot be read, None while it can.
    """

    def __init__(
        self, name: str, source: Source, *, desk: Desk, store: Store, feed: Bell, room: Room | None = None
    ) -> None:
        self._name = name
        self._room = room
        self._source = source
        self.desk = desk
        self._store = store
        self._feed = feed
        self.down: Down | None = None
        self._wait = FIRST_WAIT
        self._scope = anyio.CancelScope()
        self._pulse = Pulse(desk.clock, patience=STALL)
        metrics.begin_requests(name)

    async def run(self) -> None:
        """Read until stopped, or until the source ends."""
        with self._scope:
            while not await self._reaches_the_end():
                await anyio.sleep(self._wait)
                self._wait = min(2 * self._wait, LONGEST_WAIT)
        with anyio.CancelScope(shield=True):
            await self._source.close()

    @property
    def is_turning(self) -> bool:
        """Is it not stuck in the store? For others it may wait for ever: for requests, or for a disk of theirs."""
        return self._pulse.is_steady

    def stop(self) -> None:
        """Wait for no more requests; those at hand are stored and acknowledged first."""
        self._scope.cancel()

    async def _reaches_the_end(self) -> bool:
        """Follow the source until it ends; False if it, or the store, broke before."""
        try:
            await self._follow()
        except OSError as error:
            why = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            if self.down is None:
                log.warning("source.down", source=self._name, error=why)
            since = self.down.since if self.down else self.desk.clock.now()
            self.down = Down(since, why)
        except StoreError as error:  # what was not acknowledged comes again
            log.warning("store.slow", source=self._name, error=str(error))
        else:
            return True
        return False

    async def _follow(self) -> None:
        await self._source.open(await self._store.position(self._name))
        if self.down is not None:
            self.down = None
            log.info("source.up", source=self._name)
        # A source that always has more may never come to where a cancellation is felt.
        while not self._scope.cancel_called and (batch := await self._receive()) is not None:
            with anyio.CancelScope(shield=True):
                await self._take(batch)

    async def _receive(self) -> Batch | None:
        """Wait until there is room, then for the next requests."""
        if self._room is not None:
            await self._room.wait()
        return await self._source.receive()

    async def _take(self, batch: Batch) -> None:
        """Store a batch and its position in one transaction; only then let go of it."""
        arrivals = [self._read(item) for item in batch.items]
        try:
            with self._pulse.at_work():
                admissions = await self._store.add(arrivals, source=self._name, position=batch.position)
        except StoreError:
            await self._source.give_back(batch)
            raise
        self._feed.ring()
        if self._room is not None:
            self._room.take(admissions.count(Admission.NEW))
        self._wait = FIRST_WAIT
        reasons = list(map(refusal, arrivals, admissions))
        for arrival, admission in zip(arrivals, admissions, strict=True):
            tell(arrival, admission)
        refused = {place: reason for place, reason in enumerate(reasons) if reason is not None}
        await self._source.acknowledge(batch, refused=refused)

    def _read(self, item: Item) -> Arrival:
        try:
            return self.desk.read(item, source=self._name)
        except Exception:  # a bug that one request meets must not meet it again after each restart
            log.exception("daemon.fault", source=self._name, where=item.where)
            return Arrival(
                self._name, item.where, masked(item.raw), reason="a fault of ours: the log has its traceback"
            )


def refusal(arrival: Arrival, admission: Admission) -> str | None:
    """Say why a request was not accepted; None if it was."""
    return arrival.reason or REFUSALS.get(admission)


def tell(arrival: Arrival, admission: Admission) -> None:
    """Count what became of one request, and log it in one line."""
    metrics.REQUESTS.labels(arrival.source, admission).inc()
    place = log.bind(source=arrival.source, where=arrival.where)
    watch = arrival.watch.id if arrival.watch else arrival.cancel
    reason = refusal(arrival, admission)
    if reason is not None:
        place.warning("request.rejected", watch=watch, reason=reason)
    elif admission is Admission.KNOWN:
        place.info("request.accepted", watch=watch, result=admission, note="known already: nothing changed")
    else:
        place.info("request.accepted", watch=watch, result=admission)
