"""The loop: outbox → webhook → store. One `Pump` for each webhook. No decision is made here.

What may be sent next is said in `core/outlet.py`, what an answer means in `core/webhook.py`.
"""

import random
from collections import deque
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

import anyio
import structlog
from anyio.abc import TaskGroup

from watcher import attempt, metrics
from watcher.bell import Bell
from watcher.core.delivery import Decision, Delivery, Settled
from watcher.core.endpoint import Endpoint
from watcher.core.errors import StoreError
from watcher.core.intent import Switch
from watcher.core.model import END_OF_TIME
from watcher.core.outlet import Outlet
from watcher.core.webhook import Kind, meaning, parcel_id, post, settle, unechoed
from watcher.core.webhook_section import Terms
from watcher.core.wire import NoAnswer, Response
from watcher.ports import Clock, Store, Transport

LONGEST_NAP = 15.0
PATIENCE = 1.0  # with a store that does not answer
AFTER_A_FAULT = timedelta(seconds=10)
AT_HAND = 8  # so many deliveries are kept at hand for each POST that may be in flight
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
        self._ready: dict[bool, deque[Delivery]] = {False: deque(), True: deque()}
        self._look_at = {False: self._now(), True: self._now()}
        self._held: set[int] = set()
        self._faulty: dict[int, datetime] = {}
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
        self._look_at = dict.fromkeys(self._look_at, self._now())
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
            nap = await self._look()
            again = self._outlet.choose(first=bool(self._ready[False]), again=bool(self._ready[True]))
            if again is None:
                return nap
            if (wait := self._outlet.wait(now=self._now()) or self._outlet.take(now=self._now())) > 0:
                return min(wait, LONGEST_NAP)
            head = self._pick(self._ready[again])
            self._outlet.begin(head.event.uid, again=again)
            sending.start_soon(self._send, head, again, name=f"deliver {head.id}")
        return LONGEST_NAP

    def _pick(self, ready: deque[Delivery]) -> Delivery:
        """Take the next one at hand; a probe of a watch that was none before, if there is one."""
        for place, delivery in enumerate(ready):
            if not self._outlet.is_probed(delivery.event.uid):
                del ready[place]
                return delivery
        return ready.popleft()

    async def _look(self) -> float:
        """Fetch what may be sent, where little is at hand; return in how many seconds there may be more."""
        few, now = max(self._webhook.concurrency, self._webhook.batch), self._now()
        for again, ready in self._ready.items():
            if len(ready) < few and self._look_at[again] <= now:
                self._look_at[again] = now + timedelta(seconds=LONGEST_NAP)
                try:
                    await self._fetch(again=again, now=now, limit=few * AT_HAND)
                except StoreError as error:
                    self._complain(error)
                    self._look_soon(now + timedelta(seconds=PATIENCE), again=again)
        return max((min(self._look_at.values()) - now).total_seconds(), 0.0) or LONGEST_NAP

    async def _fetch(self, *, again: bool, now: datetime, limit: int) -> None:
        # What was never sent is due, whatever the wall clock was when it was made.
        soon = now + timedelta(seconds=LONGEST_NAP) if again else END_OF_TIME
        self._faulty = {one: until for one, until in self._faulty.items() if until > now}
        held = self._held | self._faulty.keys()
        heads = await self._store.heads(self.known.name, again=again, now=soon, limit=limit, but=held)
        due = [head for head in heads if head.due_at <= now] if again else heads
        self._ready[again].extend(due)
        self._held.update(head.id for head in due)
        if len(due) < len(heads):
            self._look_soon(heads[len(due)].due_at, again=again)
        elif len(heads) == limit:
            self._look_soon(now, again=again)
        for until in self._faulty.values():
            self._look_soon(until, again=again)

    def _look_soon(self, at: datetime, *, again: bool) -> None:
        self._look_at[again] = min(self._look_at[again], at)

    async def _send(self, head: Delivery, again: bool) -> None:  # noqa: FBT001  # start_soon takes no keywords
        """Make one POST; a bug in one delivery stays with that delivery."""
        parcel: Sequence[Delivery] = (head,)
        try:
            parcel = await self._parcel(head, again=again)
            await self._attempt(parcel, again=again)
        except Exception as error:
            self._outlet.abandon(again=again)
            if isinstance(error, StoreError):
                self._complain(error)
            else:
                log.exception("daemon.fault", webhook=head.webhook, event_id=head.event.id)
            until = self._now() + AFTER_A_FAULT
            self._faulty |= dict.fromkeys((one.id for one in parcel), until)
            self._let_go(parcel, at=until)
        self._bell.ring()

    async def _parcel(self, head: Delivery, *, again: bool) -> Sequence[Delivery]:
        """Return what goes with a head in one POST."""
        most = self._webhook.batch
        if most <= 1 and head.batch is None:
            return (head,)
        if head.batch is not None or self._webhook.order == "watch":
            parcel: Sequence[Delivery] = await self._store.members(head, limit=max(most, 1))
        else:
            ready = self._ready[again]
            alone = [one for one in ready if one.batch is None and one.callback == head.callback][: most - 1]
            parcel = [head, *alone]
        ids = {one.id for one in parcel}
        self._held |= ids
        for again_, ready in self._ready.items():
            self._ready[again_] = deque(one for one in ready if one.id not in ids)
        return parcel

    async def _attempt(self, parcel: Sequence[Delivery], *, again: bool) -> None:
        head, began_at, sent_at = parcel[0], self._now(), self._clock.now()
        answer = await self._post(parcel, now=sent_at)
        now, dice, is_spared = self._now(), random.random(), self._outlet.spares(began_at)  # noqa: S311  # spreads
        took = (now - began_at).total_seconds()
        made = attempt.record(answer, number=head.attempts + 1, began_at=sent_at, duration=took)
        means = meaning(answer, webhook=self._webhook, now=now)
        settled = settle(parcel, means, webhook=self._webhook, attempt=made, now=now, dice=dice, is_spared=is_spared)
        self._outlet.end(head.event.uid, means, again=again, attempt=made, began_at=began_at)
        if means.kind is Kind.NOT_SENT:
            self._meter.not_sent(len(parcel))
            self._let_go(parcel, at=now)
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

    def _let_go(self, parcel: Collection[Delivery], *, at: datetime) -> None:
        """Look for these again, then."""
        self._held.difference_update(one.id for one in parcel)
        for again in self._look_at:
            self._look_soon(at, again=again)

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
                await anyio.sleep(PATIENCE)
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
        self._held.difference_update(one.delivery.id for one in settled)
        head = settled[0]
        self._look_soon(self._now(), again=False)
        if again or head.decision is Decision.RETRY:  # behind a replay there is often another
            self._look_soon(head.delivery.due_at if head.decision is Decision.RETRY else self._now(), again=True)

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
