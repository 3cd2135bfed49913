"""The loop: outbox → webhook → store. One `Pump` for each webhook. No decision is made here.

What may be sent next is said in `core/outlet.py`, what an answer means in `core/webhook.py`.
"""

import random
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import TypeAlias

import anyio
import structlog
from anyio.abc import TaskGroup

from watcher import attempt, metrics
from watcher.at_hand import LONGEST_NAP, PATIENCE, STALL, AtHand
from watcher.bell import Bell
from watcher.budget import Budget
from watcher.core.delivery import Delivery, Settled
from watcher.core.endpoint import Endpoint, merged, rewound
from watcher.core.errors import StoreError
from watcher.core.intent import Switch
from watcher.core.outlet import Outlet
from watcher.core.webhook import Kind, meaning, parcel_id, settle
from watcher.core.webhook_section import Terms
from watcher.hold import Hold
from watcher.ports import Clock, Transport
from watcher.pulse import Pulse
from watcher.store import Store

A_MOMENT = 0.5  # until a lease may be renewed that was not in time
AFTER_A_FAULT = timedelta(seconds=10)
MOST_UNSETTLED = 2000

Taken: TypeAlias = tuple[Delivery, bool]  # what goes next, and whether it goes again
Posted: TypeAlias = tuple[str, bool, Sequence[Settled]]  # under which id, whether it went again, what became of it

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Pump:
    """Sends the deliveries of one webhook, within what its outlet allows; of one watch never two, and in order.

    Only the first waiting delivery of each watch is ever taken (`Store.heads`); the next becomes the first in the
    transaction that settles it. Whatever is not settled when the process ends is sent again, under the same id.
    `known` is what the store knows of the webhook. Who shares a `budget` has together no more at hand than that.
    """

    def __init__(  # noqa: PLR0913  # what a loop is wired to
        self,
        webhook: Terms,
        *,
        endpoint: Endpoint,
        store: Store,
        transport: Transport,
        clock: Clock,
        agent: str,
        hold: Hold | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._webhook = webhook
        self._store = store
        self._transport = transport
        self._clock = clock
        self._agent = agent
        self._zero = clock.now() - timedelta(seconds=clock.monotonic())
        self._hold = hold or Hold(clock)
        before, endpoint = endpoint, rewound(endpoint, now=self._now())
        self.known = endpoint if self._hold.is_shared else before  # others' clocks may be the right ones
        self._meter = metrics.WebhookMeter(endpoint.name)
        self._outlet = Outlet(endpoint, terms=webhook, now=self._now(), share=self._hold.share)
        self._outlet.adopt(webhook.fingerprint)
        self._bell = Bell()
        self._at_hand = AtHand(
            endpoint.name,
            terms=webhook,
            store=store,
            clock=clock,
            bell=self._bell,
            hold=self._hold,
            complain=self._complain,
            budget=budget,
        )
        self._outlet.divide(self._hold.share, now=self._now())
        self._posted: list[Posted] = []
        self._news = Bell()
        self._is_sending = True
        self._stopping = False
        self._is_slow = False
        self._is_cut_off = False
        self._turned_at = clock.monotonic()
        self._pulse = Pulse(clock, patience=STALL + 2 * webhook.timeout.total_seconds())

    async def run(self) -> None:
        """Send until stopped; what is in flight then is finished, and recorded."""
        with closing(self._at_hand):
            async with anyio.create_task_group() as recording:
                recording.start_soon(self._record, name=f"record {self.known.name}")
                async with anyio.create_task_group() as sending:
                    while not self._stopping:
                        self._turned_at = self._clock.monotonic()
                        await self._bell.wait(at_most=self._begin(sending))
                self._is_sending = False
                self._news.ring()

    @property
    def is_turning(self) -> bool:
        """Has it come round lately, and is it stuck in no POST, no recording and no looking for more?"""
        has_turned = self._clock.monotonic() - self._turned_at < STALL
        return has_turned and self._pulse.is_steady and self._at_hand.is_steady

    def stop(self) -> None:
        """Begin no attempt any more."""
        self._stopping = True
        self._bell.ring()

    def wake(self) -> None:
        """Look for deliveries that were made just now."""
        self._at_hand.look_soon(self._now())
        self._bell.ring()

    async def switch(self, intent: Switch, *, is_begun: bool = False) -> bool:
        """Enable the webhook, unless that `is_begun`, and some more of what waits goes now; or disable it.

        Returns:
            False if there may be more that waits.

        Raises:
            StoreError: that is not on disk; the intent stays.

        """
        endpoint = None
        if not is_begun:
            self._outlet.switch(on=intent.on, now=self._now())
            endpoint = self._outlet.endpoint
        is_done = await self._store.done(intent, endpoint, now=self._now())
        if endpoint is not None:
            self._keep(endpoint)
        self.wake()
        return is_done

    # --- together with other workers ------------------------------------------------------------------------------

    def follow(self) -> None:
        """Go by what is held now: send nothing of others, and use our part of the rate."""
        self._at_hand.follow()
        self._outlet.divide(self._hold.share, now=self._now())
        self._bell.ring()

    @property
    def leaving(self) -> set[str]:
        """Of which watches is something on its way that is not ours any more?"""
        return self._at_hand.leaving

    def learn(self, endpoint: Endpoint) -> None:
        """Go by what another worker found out, or made wait; what is here and not yet written stays."""
        if endpoint.version > self.known.version:
            theirs = rewound(endpoint, now=self._now())
            self._outlet.endpoint = merged(self._outlet.endpoint, since=self.known, theirs=theirs)
            self.known = theirs
            self._at_hand.doubt(now=self._now())
            self.wake()

    # --- sending ----------------------------------------------------------------------------------------------

    def _begin(self, sending: TaskGroup) -> float:
        """Send what may be sent now; return in how many seconds there may be more, if no bell rings before."""
        while not isinstance(taken := self._next(), float):
            sending.start_soon(self._send, *taken, name=f"deliver {self.known.name}")
        now = self._now()
        if self._outlet.wait(now=now) <= 0 and self._at_hand.wait(now=now) <= 0:
            sending.start_soon(self._at_hand.look, now, name=f"look for {self.known.name}")
        return min(taken, LONGEST_NAP) or LONGEST_NAP

    def _next(self) -> Taken | float:
        """Take what is sent now, or return in how many seconds there may be something."""
        now = self._now()
        if self._stopping or len(self._posted) >= MOST_UNSETTLED:
            return LONGEST_NAP
        if not self._hold.is_valid:
            return A_MOMENT
        if (wait := self._outlet.wait(now=now)) > 0:
            self._at_hand.rest()
            return wait
        self._at_hand.freshen(now=now)
        first, again = self._at_hand.offers(now=now)
        if (chosen := self._outlet.choose(first=first, again=again)) is None:
            return self._at_hand.wait(now=now)
        if (wait := self._outlet.take(now=now)) > 0:
            return wait
        head = self._at_hand.take(again=chosen, avoid=self._outlet.is_probed)
        self._outlet.begin(head.event.uid, again=chosen)
        return head, chosen

    async def _send(self, head: Delivery, again: bool) -> None:  # noqa: FBT001  # start_soon has no keywords
        """Make one POST after the other, as long as there is a next; a bug in one stays with that one."""
        taken: Taken | float = head, again
        while not isinstance(taken, float):
            head, again = taken
            parcel: Sequence[Delivery] = (head,)
            try:
                with self._pulse.at_work():
                    if parcel := await self._at_hand.gather(head, again=again, now=self._now()):
                        await self._attempt(parcel, again=again)
                    else:
                        self._outlet.abandon(again=again)
            except Exception:
                log.exception("daemon.fault", webhook=self.known.name, event_id=parcel_id(parcel))
                self._outlet.abandon(again=again)
                self._at_hand.shun(parcel, until=self._now() + AFTER_A_FAULT)
            taken = self._next()
        self._bell.ring()

    async def _attempt(self, parcel: Sequence[Delivery], *, again: bool) -> None:
        head, sent_at, began_at = parcel[0], self._clock.now(), self._now()
        answer = await attempt.make(parcel, self._webhook, transport=self._transport, agent=self._agent, now=sent_at)
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
                with self._pulse.at_work(), anyio.CancelScope(shield=True):  # also while we stop
                    rows = [one for _, _, settled in posted for one in settled]
                    changed = None if endpoint == self.known else endpoint
                    after = await self._store.settle(rows, endpoint=changed, before=self.known)
            except StoreError as error:
                self._complain(error)
                await anyio.sleep(PATIENCE.total_seconds())
                self._news.ring()
                continue
            del self._posted[: len(posted)]
            self._is_slow = False
            if after is not None:
                self._outlet.endpoint = merged(self._outlet.endpoint, since=endpoint, theirs=after)
                self._keep(after)
            bound, wall_clock, now = log.bind(), self._clock.now(), self._now()
            for name, again, settled in posted:
                attempt.tell(settled, name=name, to=bound)
                self._meter.settled(settled, now=wall_clock)
                self._at_hand.settle(settled, again=again, now=now)
            self._bell.ring()

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
