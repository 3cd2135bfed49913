"""The deliveries of one webhook that were fetched and not yet settled: few, whatever waits. It decides nothing."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta

from watcher.bell import Bell
from watcher.budget import AROUND, Budget, size
from watcher.core.delivery import Decision, Delivery, Settled
from watcher.core.errors import StoreError
from watcher.core.model import END_OF_TIME
from watcher.core.webhook import longest_waits
from watcher.core.webhook_section import Terms
from watcher.hold import Hold
from watcher.ports import Clock
from watcher.pulse import Pulse
from watcher.store import Store

LONGEST_NAP = 15.0
STALL = 30.0
PATIENCE = timedelta(seconds=1)  # with a store that does not answer
AT_ONCE = datetime.min.replace(tzinfo=UTC)
FOR_EACH = 16  # so many are kept at hand for each POST that may be in flight
FEW = 2  # and so many until it is seen that they arrive, or where the budget is spent
FRESH = timedelta(minutes=1)  # for longer it is not believed that what was fetched still waits


class AtHand:
    """Fetches heads of lanes in time, and gives them out once; those that go `again` apart from those that never went.

    A delivery is held from when it is fetched until it is settled; what is held is not fetched. It is few until some
    arrive, and more as far as the `budget` goes. What others may have given up meanwhile is let go of, and found again
    if it waits. The `bell` rings when there may be more to take; `complain` is told each failure of the store. Every
    `now` is on a clock that never steps.
    """

    def __init__(  # noqa: PLR0913  # what it is wired to
        self,
        webhook: str,
        *,
        terms: Terms,
        store: Store,
        clock: Clock,
        bell: Bell,
        hold: Hold,
        complain: Callable[[StoreError], None],
        budget: Budget | None = None,
    ) -> None:
        self._webhook = webhook
        self._store = store
        self._clock = clock
        self._bell = bell
        self._hold = hold
        self._complain = complain
        self._budget = budget or Budget()
        self._batch = terms.batch
        self._is_ordered = terms.order == "watch"
        self._waits, self._order_wait = longest_waits(terms), terms.order_wait
        self._is_unbounded = True
        self._most = max(terms.concurrency, terms.batch) * FOR_EACH
        self._few = FEW if self._is_ordered else max(FEW, terms.batch)  # of a lane the store says what goes together
        self._each = AROUND  # bytes, of the largest that was fetched last
        self._is_flowing = False
        self._ready: dict[bool, deque[Delivery]] = {False: deque(), True: deque()}
        self._look_at = {False: AT_ONCE, True: AT_ONCE}
        self._fresh_until = {False: AT_ONCE, True: AT_ONCE}
        self._held: dict[int, Delivery] = {}
        self._shunned: dict[int, datetime] = {}
        self._gone: set[int] = set()  # since we began to look
        self._is_looking = False
        self._is_doubtful = False  # since the store was asked
        self._is_gathering = False
        self._pulse = Pulse(clock, patience=STALL)

    @property
    def is_steady(self) -> bool:
        """Is it not stuck in fetching?"""
        return self._pulse.is_steady

    def offers(self, *, now: datetime) -> tuple[bool, bool]:
        """Is a first attempt at hand, and one that goes again? Neither while it is not known what goes next.

        That is while a parcel is made of what is at hand, or while there may be a first attempt that is to be fetched.
        """
        if self._is_gathering:
            return False, False
        if self._ready[False]:
            return True, bool(self._ready[True])
        is_known = not self._is_looking and self._look_at[False] > now
        return False, is_known and bool(self._ready[True])

    def follow(self) -> None:
        """Go by what is held by our lease now: what is at hand may be others' to send."""
        self._is_unbounded = True
        self.look_anew()

    def look_anew(self) -> None:
        """Let go of what is not on its way, and find it again: it may stand behind another now."""
        self._is_doubtful = True
        for again in self._ready:
            self._put_back(again=again)
        self.look_soon(AT_ONCE)

    def doubt(self, *, now: datetime) -> None:
        """Let go of it in a moment: others may have written something, and may do so all the time."""
        self._is_doubtful = True
        self._fresh_until = {again: min(until, now + PATIENCE) for again, until in self._fresh_until.items()}

    def freshen(self, *, now: datetime) -> None:
        """Let go of what was fetched too long ago."""
        for again, until in self._fresh_until.items():
            if until <= now:
                self._put_back(again=again)

    def rest(self) -> None:
        """Let go of what is not on its way: nothing is sent for now."""
        self._is_flowing = False
        for again in self._ready:
            self._put_back(again=again)

    def close(self) -> None:
        """Hold nothing any more."""
        self._let_go(list(self._held.values()))

    @property
    def leaving(self) -> set[str]:
        """Whose deliveries are on their way, or not yet settled, though they are not ours any more? By uid."""
        return {one.event.uid for one in self._held.values() if not self._hold.has(one.event.uid)}

    # --- fetching ---------------------------------------------------------------------------------------------

    def wait(self, *, now: datetime) -> float:
        """Return in how many seconds it is time to look."""
        times = [at for again, at in self._look_at.items() if self._is_low(again=again)]
        if self._is_looking or not times:
            return LONGEST_NAP
        return max((min(times) - now).total_seconds(), 0.0)

    async def look(self, now: datetime) -> None:
        """Fetch what may be sent, where little is at hand; meanwhile that little may be taken."""
        self._is_looking = True
        try:
            with self._pulse.at_work():
                for again in self._ready:
                    if self._look_at[again] <= now and self._is_low(again=again):
                        await self._fetch(again=again, now=now)
                        self._bell.ring()
        finally:
            self._is_looking = False

    def look_soon(self, at: datetime, *, again: bool | None = None) -> None:
        """Look then, or sooner, for those of one kind or of both."""
        for kind in self._look_at if again is None else (again,):
            self._look_at[kind] = min(self._look_at[kind], at)

    def _is_low(self, *, again: bool) -> bool:
        return 2 * len(self._ready[again]) < self._limit

    @property
    def _limit(self) -> int:
        """So many are fetched at once, where little is at hand."""
        most = self._most if self._is_flowing else self._few
        return max(min(self._budget.buys(each=self._each), most), FEW)

    async def _fetch(self, *, again: bool, now: datetime) -> None:
        self._look_at[again] = now + timedelta(seconds=LONGEST_NAP)
        self._shunned = {one: until for one, until in self._shunned.items() if until > now}
        # What was never sent is due, whatever the wall clock was when it was made.
        soon = now + timedelta(seconds=LONGEST_NAP) if again else END_OF_TIME
        began_at = self._clock.monotonic()
        try:
            await self._bound(now)
            self._gone, self._is_doubtful = set(), False
            but, limit = self._held.keys() | self._shunned.keys(), self._limit  # others may spend meanwhile
            with self._budget.reserved(limit * self._each):
                heads = await self._store.heads(self._webhook, again=again, now=soon, limit=limit, but=but)
        except StoreError as error:
            self._complain(error)
            self.look_soon(now + PATIENCE, again=again)
            return
        due = [head for head in heads if head.due_at <= now] if again else heads
        fresh = [head for head in due if head.id not in self._held and head.id not in self._gone]
        ours = [head for head in fresh if self._hold.has(head.event.uid)]
        self._each = max(map(size, heads), default=self._each)
        if not self._ready[again]:
            took = timedelta(seconds=self._clock.monotonic() - began_at)
            self._fresh_until[again] = now + (took + PATIENCE if self._is_doubtful else FRESH)
        self._ready[again].extend(ours)
        self._hold_on(ours)
        if len(ours) < len(fresh):  # others will have them in a moment
            self._shunned |= dict.fromkeys({head.id for head in fresh} - self._held.keys(), now + PATIENCE)
        if len(due) < len(heads):
            self.look_soon(heads[len(due)].due_at, again=again)
        elif len(heads) == limit:
            self.look_soon(now, again=again)
        for until in self._shunned.values():
            self.look_soon(until)

    async def _bound(self, now: datetime) -> None:
        """See to it, once, that nothing waits for longer than it may."""
        if not self._is_unbounded:
            return
        self._is_unbounded = False
        try:
            await self._store.hasten(self._webhook, now=now, waits=self._waits, order_wait=self._order_wait)
        except StoreError:
            self._is_unbounded = True
            raise

    # --- giving out -------------------------------------------------------------------------------------------

    def take(self, *, again: bool, avoid: Callable[[str], bool]) -> Delivery:
        """Give out what goes next, and is to be `gather`ed: of a watch that is not to be avoided, if there is one."""
        ready = self._ready[again]
        place = next((place for place, one in enumerate(ready) if not avoid(one.event.uid)), 0)
        head = ready[place]
        del ready[place]
        self._is_gathering = not self._goes_alone(head)
        return head

    async def gather(self, head: Delivery, *, again: bool, now: datetime) -> Sequence[Delivery]:
        """Give out what goes in one POST with a head; nothing if the store does not answer, or it waits no more."""
        if self._goes_alone(head):
            return (head,)
        try:
            parcel = await self._with(head, again=again)
        except StoreError as error:
            self._complain(error)
            self.shun([head], until=now + PATIENCE)
            return ()
        finally:
            self._is_gathering = False
            self._bell.ring()
        if not parcel:
            self.shun([head], until=now + PATIENCE)
            self.look_soon(now)  # for what stood behind it
        ids = {one.id for one in parcel}
        self._hold_on(parcel)
        for kind, ready in self._ready.items():
            self._ready[kind] = deque(one for one in ready if one.id not in ids)
        return parcel

    def _goes_alone(self, head: Delivery) -> bool:
        return self._batch <= 1 and head.batch is None

    async def _with(self, head: Delivery, *, again: bool) -> Sequence[Delivery]:
        if head.batch is not None or self._is_ordered:
            at_hand = {one.id for ready in self._ready.values() for one in ready}
            flying = self._held.keys() - at_hand - {head.id}
            members = await self._store.members(head, limit=max(self._batch, 1))
            return [one for one in members if one.id not in flying]
        alone = [one for one in self._ready[again] if one.batch is None and one.callback == head.callback]
        return [head, *alone[: self._batch - 1]]

    # --- taking back ------------------------------------------------------------------------------------------

    def settle(self, settled: Sequence[Settled], *, again: bool, now: datetime) -> None:
        """Hold these no longer, which went in one POST, and look for what comes next when it is time."""
        self._let_go([one.delivery for one in settled])
        head = settled[0]
        self._is_flowing |= head.decision is Decision.DELIVERED
        if head.decision is Decision.RETRY:
            self.look_soon(head.delivery.due_at, again=True)
        else:  # behind one that goes again there is often another
            self.look_soon(now, again=None if again else False)

    def shun(self, parcel: Collection[Delivery], *, until: datetime) -> None:
        """Hold these no longer, but do not find them before then."""
        self._let_go(parcel)
        self._shunned |= dict.fromkeys((one.id for one in parcel), until)
        self.look_soon(until)

    def _hold_on(self, parcel: Collection[Delivery]) -> None:
        for one in parcel:
            if one.id not in self._held:
                self._held[one.id] = one
                self._budget.spend(size(one))

    def _let_go(self, parcel: Collection[Delivery]) -> None:
        ids = [one.id for one in parcel]
        for one in ids:
            if one in self._held:
                self._budget.spend(-size(self._held.pop(one)))
        if self._is_looking:
            self._gone.update(ids)

    def _put_back(self, *, again: bool) -> None:
        if self._ready[again]:
            self._let_go(self._ready[again])
            self._ready[again] = deque()
            self.look_soon(AT_ONCE, again=again)
