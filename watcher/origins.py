"""The pumps of callbacks: one for each origin, as long as it has something to send. What they do is `deliver.py`'s."""

import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from math import inf

import anyio
import structlog
from anyio.abc import TaskGroup

from watcher.bell import Bell
from watcher.budget import Budget
from watcher.core.callbacks import ANY_ORIGIN, Callbacks
from watcher.core.endpoint import Endpoint, rewound
from watcher.core.errors import StoreError
from watcher.core.model import END_OF_TIME
from watcher.core.outlet import Outlet
from watcher.core.webhook import longest_waits
from watcher.core.wire import NoAnswer, Request, Response
from watcher.deliver import Pump
from watcher.hold import Hold
from watcher.ports import Clock, Transport
from watcher.store import Store

MOST = 1000  # pumps at once
IDLE = 600.0  # seconds, after which a pump ends that nobody waits for
MOMENT = 1.0  # and one that others wait for
TURN = 30.0  # after which a busy pump gives way to others
LONGEST_NAP = 15.0
STALL = 30.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class _Line:
    """A transport that knows how long nothing has gone over it."""

    def __init__(self, transport: Transport, *, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._in_flight = 0
        self._used_at = clock.monotonic()

    async def send(self, request: Request, *, within: timedelta) -> Response | NoAnswer:
        """Send one request; see `ports.Transport`."""
        self._in_flight += 1
        try:
            return await self._transport.send(request, within=within)
        finally:
            self._in_flight -= 1
            self._used_at = self._clock.monotonic()

    @property
    def idle(self) -> float:
        """For how many seconds?"""
        return 0.0 if self._in_flight else self._clock.monotonic() - self._used_at


@dataclass(slots=True)
class _Turn:
    """A pump at work: over which line, since when, and whether it was told to give way."""

    pump: Pump
    line: _Line
    began_at: float
    is_over: bool = False


class Origins:
    """At most `most` origins have a pump at a time; those beyond queue.

    While any do, a pump that has sent nothing for a moment gives way, and so does one that has been busy for a whole
    turn: it goes to the end of the queue. Nobody has a pump whose deliveries all wait for a much later time.
    """

    def __init__(  # what pumps are wired to
        self,
        callbacks: Callbacks,
        *,
        store: Store,
        transport: Transport,
        clock: Clock,
        agent: str,
        hold: Hold | None = None,
        most: int = MOST,
    ) -> None:
        self._callbacks, self._store = callbacks, store
        self._transport, self._agent = transport, agent
        self._clock = clock
        self._hold = hold or Hold(clock)
        self._most, self._budget = most, Budget()
        self._turns: dict[str, _Turn] = {}
        self._queue: dict[str, None] = {}
        self._later: dict[str, float] = {}  # until when
        self._alarms: list[tuple[float, str]] = []
        self._rings_at: dict[str, float] = {}  # when the first alarm of each does
        self._opening = anyio.Lock()
        self._is_news = True  # something may wait for whomever
        self._must_ask_all = False  # also those that wait for a later time
        self._learnt: set[str] = set()  # of whom others have found something out
        self._look_at = clock.monotonic()
        self._bell = Bell()
        self._stopping = self._is_slow = False
        self._turned_at = clock.monotonic()

    async def run(self) -> None:
        """Give turns until stopped; what is in flight then is finished."""
        async with anyio.create_task_group() as pumping:
            while not self._stopping:
                self._turned_at = self._clock.monotonic()
                self._call_late()
                if self._is_news and self._look_at <= self._turned_at:
                    self._is_news, self._look_at = False, self._turned_at + LONGEST_NAP
                    pumping.start_soon(self._look, name="look for callbacks")
                self._make_room()
                await self._open(pumping)
                await self._bell.wait(at_most=self._nap())

    @property
    def is_turning(self) -> bool:
        """Have they all come round lately?"""
        is_round = self._clock.monotonic() - self._turned_at < STALL
        return is_round and all(turn.pump.is_turning for turn in self._turns.values())

    def stop(self) -> None:
        """Begin no attempt any more."""
        self._stopping = True
        for turn in self._turns.values():
            turn.pump.stop()
        self._bell.ring()

    def wake(self, name: str) -> None:
        """Say that something may wait for an origin since just now."""
        self._later.pop(name, None)
        if name in self._turns:
            self._turns[name].pump.wake()
        else:
            self._queue[name] = None
            self._bell.ring()

    def wake_all(self) -> None:
        """Say that something may wait for any of them."""
        self._is_news = self._must_ask_all = True
        self._bell.ring()

    def follow(self) -> None:
        """Go by what is held now."""
        for turn in self._turns.values():
            turn.pump.follow()
        self.wake_all()

    @property
    def leaving(self) -> set[str]:
        """Of which watches is something on its way that is not ours any more?"""
        return {uid for turn in self._turns.values() for uid in turn.pump.leaving}

    def learn(self, endpoint: Endpoint) -> None:
        """Go by what another worker found out about an origin, or made wait for it."""
        if endpoint.name in self._turns:
            self._turns[endpoint.name].pump.learn(endpoint)
        else:
            self._learnt.add(endpoint.name)
            self._is_news = True
            self._bell.ring()

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[Pump | None]:
        """Give the pump of an origin, if it has one; none is made while the block lasts."""
        async with self._opening:
            yield self._turns[name].pump if name in self._turns else None

    # --- whose turn it is -------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Wake all that anything waits for; those that wait for a later time only if it is another one now."""
        all_of_them, self._must_ask_all = self._must_ask_all, False
        learnt, self._learnt = self._learnt, set()
        try:
            for name in await self._store.undelivered():
                if name in self._later and not self._stopping:
                    if all_of_them or name in learnt:
                        await self._rest(name)
                elif name.startswith(ANY_ORIGIN):
                    self.wake(name)
        except StoreError as error:
            self._complain(error)
            self._is_news = True
            self._must_ask_all |= all_of_them
            self._learnt |= learnt
        self._bell.ring()

    def _call_late(self) -> None:
        """Wake those whose time has come."""
        while self._alarms and self._alarms[0][0] <= self._turned_at:
            _, name = heapq.heappop(self._alarms)
            self._rings_at.pop(name, None)
            if self._later.get(name, inf) <= self._turned_at:
                self.wake(name)
            elif name in self._later:  # it was put off once more
                self._set_alarm(name)

    def _make_room(self) -> None:
        """Tell pumps to give way: those that were idle for long, and as many as others wait for, the oldest first."""
        ending = sum(turn.is_over for turn in self._turns.values())
        wanted = len(self._queue) - (self._most - len(self._turns)) - ending
        for turn in self._turns.values():
            had_enough = turn.line.idle >= MOMENT or self._turned_at - turn.began_at >= TURN
            if not turn.is_over and (turn.line.idle >= IDLE or (wanted > 0 and had_enough)):
                turn.is_over = True
                turn.pump.stop()
                wanted -= 1

    def _nap(self) -> float:
        """Say in how many seconds it is time to look again, if no bell rings before."""
        if self._queue:
            return MOMENT
        first = self._alarms[0][0] if self._alarms else inf
        at = min(first, self._look_at) if self._is_news else first
        return min(max(at - self._clock.monotonic(), 0.0), LONGEST_NAP)

    # --- from the first to the last POST of a turn --------------------------------------------------------------

    async def _open(self, pumping: TaskGroup) -> None:
        """Begin turns of those that have queued the longest, as far as there is room."""
        names = list(self._queue)[: max(self._most - len(self._turns), 0)]
        async with self._opening, anyio.create_task_group() as opening:  # together, so that they share disk writes
            for name in names:
                opening.start_soon(self._begin, name)
        for name in names:
            if name in self._turns and not self._stopping:
                del self._queue[name]
                pumping.start_soon(self._pump, name, name=f"deliver {name}")

    async def _begin(self, name: str) -> None:
        """Make a pump, or leave the origin where it is in the queue."""
        line = _Line(self._transport, clock=self._clock)
        try:
            endpoint = await self._endpoint(name)
        except StoreError as error:
            self._complain(error)
            return
        self._is_slow = False
        pump = Pump(
            self._callbacks,
            endpoint=endpoint,
            store=self._store,
            transport=line,
            clock=self._clock,
            agent=self._agent,
            hold=self._hold,
            budget=self._budget,
        )
        self._turns[name] = _Turn(pump, line, began_at=self._clock.monotonic())

    async def _pump(self, name: str) -> None:
        """Send for a turn, then see when there is more to send."""
        await self._turns[name].pump.run()
        del self._turns[name]
        if not self._stopping:
            try:
                await self._rest(name)
            except StoreError as error:
                self._complain(error)
                self._queue[name] = None
        self._bell.ring()

    async def _rest(self, name: str) -> None:
        """Put an origin off until something may be sent to it again."""
        wait = await self._wait(name)
        if wait is not None:
            self._later[name] = self._clock.monotonic() + wait
            self._set_alarm(name)

    def _set_alarm(self, name: str) -> None:
        """Be called when it is time, or a moment later; one that rings before that is enough."""
        at = self._later[name]
        if at < self._rings_at.get(name, inf) - MOMENT:
            self._rings_at[name] = at
            heapq.heappush(self._alarms, (at, name))

    async def _wait(self, name: str) -> float | None:
        """Return in how many seconds something may be sent to an origin; None if nothing waits, or it is disabled."""
        now, terms = self._clock.now(), self._callbacks
        await self._store.hasten(name, now=now, waits=longest_waits(terms), order_wait=terms.order_wait)
        heads = [await self._store.heads(name, again=again, now=END_OF_TIME, limit=1) for again in (False, True)]
        due_at = [now for _ in heads[0]] + [max(head.due_at, now) for head in heads[1]]
        rest = Outlet(rewound(await self._endpoint(name), now=now), terms=terms, now=now).wait(now=now)
        return None if not due_at or rest == inf else max((min(due_at) - now).total_seconds(), rest)

    async def _endpoint(self, name: str) -> Endpoint:
        return await self._store.endpoint(name, ordered=self._callbacks.order == "watch")

    def _complain(self, error: StoreError) -> None:
        """Log that nothing can be begun, once until something can."""
        if not self._is_slow:
            log.error("store.slow", webhook="callbacks", error=str(error))  # no bug of ours
        self._is_slow = True
