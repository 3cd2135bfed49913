"""The loop: outbox → webhook → store. One `Pump` for each webhook. No decision is made here.

What may be sent next is said in `core/outlet.py`, what an answer means in `core/webhook.py`.
"""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

import anyio
import structlog
from anyio.abc import TaskGroup

from watcher import attempt, metrics
from watcher.at_hand import LONGEST_NAP, PATIENCE, AtHand
from watcher.bell import Bell
from watcher.core.delivery import Decision, Delivery, Settled
from watcher.core.endpoint import Endpoint
from watcher.core.errors import StoreError
from watcher.core.intent import Switch
from watcher.core.outlet import Outlet
from watcher.core.webhook import Kind, meaning, parcel_id, post, settle, unechoed
from watcher.core.webhook_section import Terms
from watcher.core.wire import NoAnswer, Response
from watcher.ports import Clock, Store, Transport

AFTER_A_FAULT = timedelta(seconds=10)
MOST_UNSETTLED = 2000
STALL = 30.0

Posted: TypeAlias = tuple[str, bool, Sequence[Settled]]  # under which id, whether it went again, what became of it

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Pump:
    """Sends the deliveries of one webhook, within what its outlet allows; of one watch never two, and in order.

    Only the first waiting delivery of each watch is ever taken (`Store.heads`); the next becomes the first in the
    transaction that settles it. Whatever is not settled when the process ends is sent again, under the same id.
    `known` is what the store knows of the webhook.
    """

    def __init__(  # what a loop is wired to
        self,
        webhook: Terms,
        *,
        endpoint: Endpoint,
        store: Store,
        transport: Transport,
        clock: Clock,
        agent: str,
    ) -> None:
        self._webhook = webhook
        self._store = store
        self._transport = transport
        self._clock = clock
        self._agent = agent
        self._zero = clock.now() - timedelta(seconds=clock.monotonic())
        self.known = endpoint
        self._meter = metrics.WebhookMeter(endpoint.name)
        self._outlet = Outlet(endpoint, terms=webhook, now=self._now())
        self._outlet.adopt(webhook.fingerprint)
        self._at_hand = AtHand(endpoint.name, terms=webhook, store=store, now=self._now(), complain=self._complain)
        self._posted: list[Posted] = []
        self._news = Bell()
        self._is_sending = True
        self._stopping = False
        self._is_slow = False
        self._is_cut_off = False
        self._bell = Bell()
        self._turned_at = clock.monotonic()

    async def run(self) -> None:
        """Send until stopped; what is in flight then is finished, and recorded."""
        async with anyio.create_task_group() as recording:
            recording.start_soon(self._record, name=f"record {self.known.name}")
            async with anyio.create_task_group() as sending:
                while not self._stopping:
                    self._turned_at = self._clock.monotonic()
                    await self._bell.wait(at_most=await self._begin(sending))
            self._is_sending = False
            self._news.ring()

    @property
    def is_turning(self) -> bool:
        """Has it come round lately?"""
        return self._clock.monotonic() - self._turned_at < STALL

    def stop(self) -> None:
        """Begin no attempt any more."""
        self._stopping = True
        self._bell.ring()

    def wake(self) -> None:
        """Look for deliveries that were made just now."""
        self._at_hand.look_soon(self._now())
        self._bell.ring()

    async def switch(self, intent: Switch) -> None:
        """Enable the webhook, or disable it.

        Raises:
            StoreError: that is not on disk; the intent stays.

        """
        self._outlet.switch(on=intent.on, now=self._now())
        await self._store.done(intent, self._outlet.endpoint)
        self._keep(self._outlet.endpoint)
        self._bell.ring()

    # --- sending ----------------------------------------------------------------------------------------------

    async def _begin(self, sending: TaskGroup) -> float:
        """Send what may be sent now; return in how many seconds there may be more, if no bell rings before."""
        while not self._stopping and len(self._posted) < MOST_UNSETTLED:
            wait = self._outlet.wait(now=self._now())
            if wait > 0:
                return min(wait, LONGEST_NAP)
            nap = await self._at_hand.look(now=self._now())
            again = self._outlet.choose(first=self._at_hand.has(again=False), again=self._at_hand.has(again=True))
            if again is None:
                return nap
            if (wait := self._outlet.wait(now=self._now()) or self._outlet.take(now=self._now())) > 0:
                return min(wait, LONGEST_NAP)
            parcel = await self._at_hand.take(again=again, avoid=self._outlet.is_probed, now=self._now())
            if parcel:
                self._outlet.begin(parcel[0].event.uid, again=again)
                sending.start_soon(self._send, parcel, again, self._now(), name=f"deliver {parcel[0].id}")
        return LONGEST_NAP

    async def _send(self, parcel: Sequence[Delivery], again: bool, began_at: datetime) -> None:  # noqa: FBT001  # start_soon has no keywords
        """Make one POST; a bug in one delivery stays with that delivery."""
        try:
            await self._attempt(parcel, again=again, began_at=began_at)
        except Exception:
            log.exception("daemon.fault", webhook=self.known.name, event_id=parcel_id(parcel))
            self._outlet.abandon(again=again)
            self._at_hand.shun(parcel, until=self._now() + AFTER_A_FAULT)
        self._bell.ring()

    async def _attempt(self, parcel: Sequence[Delivery], *, again: bool, began_at: datetime) -> None:
        head, sent_at = parcel[0], self._clock.now()
        answer = await self._post(parcel, now=sent_at)
        now, dice, is_spared = self._now(), random.random(), self._outlet.spares(began_at)  # noqa: S311  # spreads
        took = (now - began_at).total_seconds()
        made = attempt.record(answer, number=head.attempts + 1, began_at=sent_at, duration=took)
        means = meaning(answer, webhook=self._webhook, now=now)
        settled = settle(parcel, means, webhook=self._webhook, attempt=made, now=now, dice=dice, is_spared=is_spared)
        self._outlet.end(head.event.uid, means, again=again, attempt=made, began_at=began_at)
        if means.kind is Kind.NOT_SENT:
            self._meter.not_sent(len(parcel))
            self._at_hand.shun(parcel, until=now)
        else:
            self._posted.append((parcel_id(parcel), again, settled))
            self._news.ring()
        self._tell_own_side(made.error if means.kind is Kind.NOT_SENT else None)

    async def _post(self, parcel: Sequence[Delivery], *, now: datetime) -> Response | NoAnswer:
        """Make one POST, unless what it is for leads nowhere."""
        webhook = self._webhook.towards(parcel[0].callback)
        if isinstance(webhook, NoAnswer):
            return webhook
        request = post(parcel, webhook, now=now, agent=self._agent)
        return unechoed(await self._transport.send(request, within=webhook.timeout), request, webhook=webhook)

    def _tell_own_side(self, error: str | None) -> None:
        """Log that nothing can be sent from here, once until something can."""
        if error is not None and not self._is_cut_off:
            log.error("delivery.attempted", webhook=self.known.name, outcome=Kind.NOT_SENT, error=error)
        self._is_cut_off = error is not None

    # --- recording --------------------------------------------------------------------------------------------

    async def _record(self) -> None:
        """Record what was posted, all that is there in one transaction, until nothing is sent any more."""
        while self._is_sending or self._posted:
            await self._news.wait(at_most=LONGEST_NAP)
            posted, endpoint = tuple(self._posted), self._outlet.endpoint
            if not posted and endpoint == self.known:
                continue
            try:
                with anyio.CancelScope(shield=True):  # what happened is recorded, also while we stop
                    rows = [one for _, _, settled in posted for one in settled]
                    await self._store.settle(rows, endpoint=None if endpoint == self.known else endpoint)
            except StoreError as error:
                self._complain(error)
                await anyio.sleep(PATIENCE.total_seconds())
                self._news.ring()
                continue
            del self._posted[: len(posted)]
            self._is_slow = False
            self._keep(endpoint)
            for name, again, settled in posted:
                self._settled(settled, name=name, again=again)
            self._bell.ring()

    def _settled(self, settled: Sequence[Settled], *, name: str, again: bool) -> None:
        """Tell what became of one POST that is on disk now, and look for what comes next when it is time."""
        attempt.tell(settled, name=name)
        self._meter.settled(settled, now=self._clock.now())
        head, now = settled[0], self._now()
        self._at_hand.let_go([one.delivery for one in settled])
        if head.decision is Decision.RETRY:
            self._at_hand.look_soon(head.delivery.due_at, again=True)
        else:  # behind one that goes again there is often another
            self._at_hand.look_soon(now, again=None if again else False)

    def _keep(self, endpoint: Endpoint) -> None:
        before, self.known = self.known, endpoint
        attempt.tell_endpoint(before, endpoint)

    def _complain(self, error: StoreError) -> None:
        """Log that nothing can be recorded, once until something can."""
        if not self._is_slow:
            log.error("store.slow", webhook=self.known.name, error=str(error))  # no bug of ours
        self._is_slow = True

    def _now(self) -> datetime:
        """Return the wall clock as it goes on from the start, whatever it is set to meanwhile."""
        return self._zero + timedelta(seconds=self._clock.monotonic())
