"""The deliveries of one webhook that were fetched and not yet settled: few, whatever waits. It decides nothing."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from watcher.core.delivery import Delivery
from watcher.core.errors import StoreError
from watcher.core.model import END_OF_TIME
from watcher.core.webhook_section import Terms
from watcher.ports import Store

LONGEST_NAP = 15.0
PATIENCE = timedelta(seconds=1)  # with a store that does not answer
FOR_EACH = 8  # so many are kept at hand for each POST that may be in flight


class AtHand:
    """Fetches heads of lanes in time, and gives them out once; those that go `again` apart from those that never went.

    A delivery is held from when it is fetched until `let_go`; what is held is not fetched. `complain` is called with
    each failure of the store. Every `now` is on a clock that never steps.
    """

    def __init__(
        self, webhook: str, *, terms: Terms, store: Store, now: datetime, complain: Callable[[StoreError], None]
    ) -> None:
        self._webhook = webhook
        self._store = store
        self._complain = complain
        self._batch = terms.batch
        self._is_ordered = terms.order == "watch"
        self._few = max(terms.concurrency, terms.batch)
        self._ready: dict[bool, deque[Delivery]] = {False: deque(), True: deque()}
        self._look_at = {False: now, True: now}
        self._held: set[int] = set()
        self._shunned: dict[int, datetime] = {}

    def has(self, *, again: bool) -> bool:
        """Is one at hand?"""
        return bool(self._ready[again])

    async def look(self, *, now: datetime) -> float:
        """Fetch what may be sent, where little is at hand; return in how many seconds there may be more."""
        for again, ready in self._ready.items():
            if len(ready) < self._few and self._look_at[again] <= now:
                self._look_at[again] = now + timedelta(seconds=LONGEST_NAP)
                try:
                    await self._fetch(again=again, now=now)
                except StoreError as error:
                    self._complain(error)
                    self.look_soon(now + PATIENCE, again=again)
        return max((min(self._look_at.values()) - now).total_seconds(), 0.0) or LONGEST_NAP

    def look_soon(self, at: datetime, *, again: bool | None = None) -> None:
        """Look then, or sooner, for those of one kind or of both."""
        for kind in self._look_at if again is None else (again,):
            self._look_at[kind] = min(self._look_at[kind], at)

    async def take(self, *, again: bool, avoid: Callable[[str], bool], now: datetime) -> Sequence[Delivery]:
        """Return what goes next in one POST; none if the store does not answer.

        Its head is one of a watch that is not to be avoided, if there is one.
        """
        head = self._pick(self._ready[again], avoid=avoid)
        try:
            parcel = await self._with(head, again=again)
        except StoreError as error:
            self._complain(error)
            self.shun([head], until=now + PATIENCE)
            return ()
        ids = {one.id for one in parcel}
        self._held |= ids
        for kind, ready in self._ready.items():
            if len(parcel) > 1:
                self._ready[kind] = deque(one for one in ready if one.id not in ids)
        return parcel

    def let_go(self, parcel: Collection[Delivery]) -> None:
        """Hold these no longer: they are found again if they still wait."""
        self._held.difference_update(one.id for one in parcel)

    def shun(self, parcel: Collection[Delivery], *, until: datetime) -> None:
        """Hold these no longer, but do not find them before then."""
        self.let_go(parcel)
        self._shunned |= dict.fromkeys((one.id for one in parcel), until)
        self.look_soon(until)

    async def _fetch(self, *, again: bool, now: datetime) -> None:
        # What was never sent is due, whatever the wall clock was when it was made.
        soon = now + timedelta(seconds=LONGEST_NAP) if again else END_OF_TIME
        self._shunned = {one: until for one, until in self._shunned.items() if until > now}
        but, limit = self._held | self._shunned.keys(), self._few * FOR_EACH
        heads = await self._store.heads(self._webhook, again=again, now=soon, limit=limit, but=but)
        due = [head for head in heads if head.due_at <= now] if again else heads
        self._ready[again].extend(due)
        self._held.update(head.id for head in due)
        if len(due) < len(heads):
            self.look_soon(heads[len(due)].due_at, again=again)
        elif len(heads) == limit:
            self.look_soon(now, again=again)
        for until in self._shunned.values():
            self.look_soon(until)

    def _pick(self, ready: deque[Delivery], *, avoid: Callable[[str], bool]) -> Delivery:
        for place, delivery in enumerate(ready):
            if not avoid(delivery.event.uid):
                del ready[place]
                return delivery
        return ready.popleft()

    async def _with(self, head: Delivery, *, again: bool) -> Sequence[Delivery]:
        """Return a head with what goes with it."""
        if self._batch <= 1 and head.batch is None:
            return (head,)
        if head.batch is not None or self._is_ordered:
            return await self._store.members(head, limit=max(self._batch, 1))
        alone = [one for one in self._ready[again] if one.batch is None and one.callback == head.callback]
        return [head, *alone[: self._batch - 1]]
