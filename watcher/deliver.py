"""The loop: outbox → webhook → store. One `Pump` for each webhook; what an answer means stands in `core/webhook.py`."""

import random
from collections import deque
from datetime import datetime, timedelta
from math import inf

import anyio
import structlog

from watcher.bell import Bell
from watcher.core.delivery import Attempt, Decision, Delivery, Settled
from watcher.core.errors import StoreError
from watcher.core.moment import rfc3339
from watcher.core.webhook import Webhook, post, verdict
from watcher.core.wire import NoAnswer, Response
from watcher.ports import Clock, Store, Transport

LONGEST_NAP = 2.0
AFTER_A_FAULT = 10.0
MOST_BODY = 2048
MOST_HEADERS = 8192
STALL = 30.0
SECRETIVE = {"authorization", "cookie", "proxy-authorization", "set-cookie", "webhook-signature"}

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Pump:
    """Sends the deliveries of one webhook, `concurrency` at a time; of one watch never two, and in order.

    Only the first waiting delivery of each watch is ever taken (`Store.heads`); the next becomes the first in the
    transaction that settles it. Whatever is not settled when the process ends is sent again, under the same id.
    """

    def __init__(
        self, name: str, webhook: Webhook, *, store: Store, transport: Transport, clock: Clock, agent: str
    ) -> None:
        self._name = name
        self._webhook = webhook
        self._store = store
        self._transport = transport
        self._clock = clock
        self._agent = agent
        self._turn = anyio.Lock()
        self._ready: deque[Delivery] = deque()
        self._held: dict[int, float] = {}
        self._stopping = False
        self._is_slow = False
        self.bell = Bell()
        self._turned_at = clock.monotonic()
        self._zero = clock.now() - timedelta(seconds=clock.monotonic())

    async def run(self) -> None:
        """Send until stopped; what is in flight then is finished."""
        async with anyio.create_task_group() as tasks:
            for number in range(self._webhook.concurrency):
                tasks.start_soon(self._work, name=f"deliver {self._name} {number}")

    @property
    def is_turning(self) -> bool:
        """Has it come round lately, as far as what is in flight lets it?"""
        return self._clock.monotonic() - self._turned_at < STALL + self._webhook.timeout.total_seconds()

    def stop(self) -> None:
        """Begin no attempt any more."""
        self._stopping = True
        self.bell.ring()

    async def _work(self) -> None:
        while (delivery := await self._next()) is not None:
            try:
                await self._attempt(delivery)
            except StoreError as error:  # it was sent, but that is not on disk: it is sent again, with the same id
                self._complain(error)
                self._held[delivery.id] = self._clock.monotonic() + AFTER_A_FAULT
            except Exception:  # a bug in one delivery stays with that delivery
                log.exception("daemon.fault", webhook=self._name, event_id=delivery.event.id)
                self._held[delivery.id] = self._clock.monotonic() + AFTER_A_FAULT
            else:
                self._is_slow = False
                del self._held[delivery.id]
            self.bell.ring()

    async def _next(self) -> Delivery | None:
        """Wait for a delivery that may be sent now; None to stop."""
        async with self._turn:
            while not self._stopping:
                self._turned_at = self._clock.monotonic()
                if self._ready:
                    return self._ready.popleft()
                nap = await self._look()
                if not self._ready:
                    await self.bell.wait(at_most=nap)
        return None

    async def _look(self) -> float:
        """Fetch what may be sent; return in how many seconds there may be more, if no bell rings before."""
        now, monotonic = self._steady_now(), self._clock.monotonic()
        self._held = {one: until for one, until in self._held.items() if until > monotonic}
        held = frozenset(self._held)  # also what is settled while we look, of which the answer may not know
        soon = now + timedelta(seconds=LONGEST_NAP)
        try:
            heads = await self._store.heads(self._name, now=soon, limit=2 * self._webhook.concurrency + len(held))
        except StoreError as error:
            self._complain(error)
            return LONGEST_NAP
        free = [head for head in heads if head.id not in held]
        due = [head for head in free if head.due_at <= now]
        self._held.update((head.id, inf) for head in due)
        self._ready.extend(due)
        return min([LONGEST_NAP, *((head.due_at - now).total_seconds() for head in free[len(due) :])])

    def _complain(self, error: StoreError) -> None:
        """Log that nothing can be recorded, once until something can."""
        if not self._is_slow:
            log.error("store.slow", webhook=self._name, error=str(error))  # no bug of ours
        self._is_slow = True

    def _steady_now(self) -> datetime:
        """Return the wall clock, but one that never goes back: what is due must not wait for it to come round again."""
        monotonic = timedelta(seconds=self._clock.monotonic())
        self._zero = max(self._zero, self._clock.now() - monotonic)
        return self._zero + monotonic

    async def _attempt(self, delivery: Delivery) -> None:
        """Make one POST and record what came of it."""
        began_at, began = self._clock.now(), self._clock.monotonic()
        request = post(delivery, self._webhook, now=began_at, agent=self._agent)
        answer = await self._transport.send(request, within=self._webhook.timeout)
        attempt = _attempt(delivery, answer, began_at=began_at, duration=self._clock.monotonic() - began)
        decided = verdict(
            answer,
            attempts=attempt.number,
            retry=self._webhook.retry,
            now=self._steady_now(),
            dice=random.random(),  # noqa: S311  # spreads attempts
        )
        settled = Settled(delivery, attempt, decided)
        with anyio.CancelScope(shield=True):  # what happened is recorded, also while we stop
            await self._store.settle([settled])
        _tell(settled)


def _attempt(delivery: Delivery, answer: Response | NoAnswer, *, began_at: datetime, duration: float) -> Attempt:
    """Keep of an answer what explains it later."""
    number = delivery.attempts + 1
    if isinstance(answer, NoAnswer):
        return Attempt(number, began_at, duration, error=f"{answer.fault}: {answer.detail}")
    size = 0
    headers = {}
    for name, value in answer.headers.items():
        size += len(name) + len(value)
        if size <= MOST_HEADERS and name not in SECRETIVE:
            headers[name] = value
    return Attempt(number, began_at, duration, answer.status, answer.address, headers, answer.body[:MOST_BODY])


def _tell(settled: Settled) -> None:
    """Log one attempt in one line, and the end of a delivery that is given up."""
    delivery, attempt, decided = settled.delivery, settled.attempt, settled.verdict
    bound = log.bind(
        webhook=delivery.webhook,
        watch=delivery.event.watch,
        event_id=delivery.event.id,
        type=delivery.event.type,
        sequence=delivery.event.sequence,
        attempt=attempt.number,
    )
    tell = bound.info if decided.decision is Decision.DELIVERED else bound.warning
    tell(
        "delivery.attempted",
        outcome=decided.decision,
        status=attempt.status,
        error=attempt.error,
        duration_ms=round(attempt.duration * 1000, 1),
        next_at=rfc3339(decided.next_at) if decided.next_at else None,
    )
    if decided.decision is Decision.EXHAUSTED:
        bound.error("delivery.exhausted")
