"""The seam of the store: what every one of them promises. They live in `stores/`; the loops know none of them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from watcher.core.delivery import Delivery, Settled
from watcher.core.endpoint import Endpoint
from watcher.core.intent import Intent, Replay, Switch
from watcher.core.lease import Lease, News
from watcher.core.model import Condition, Report, Step, Watch
from watcher.core.rows import Admission, Arrival, Backlog, Opened, Pruned


class Store(Protocol):
    """The truth. Watches live in shards; who holds a watch's shard owns it, and is the only one to change it.

    Every method is one transaction, durable when it returns, and raises `StoreError` if nothing of it was kept (or,
    where a server is asked over a network, if that cannot be known). Calls that wait at the same time share one disk
    write. Times are stored to the microsecond. Owners' methods raise `LeaseLostError` where one owns nothing.
    """

    async def lease(self) -> Lease:
        """Become an owner: of everything, or of a share of it where several workers may be.

        A shard's epoch is larger than any before whenever it changes hands. Of two processes that are the same worker
        the newest start wins: it has the other's shards at once, as after a crash, and the other one learns at `renew`
        that it has lost them.

        Raises:
            StoreBusyError: another live process owns everything; the text names it. A dead one never holds it.

        """

    async def renew(self, *, is_leaving: bool = False) -> Lease:
        """Go on being an owner, and take what is free up to a fair share; a lease that lapsed goes on too.

        Who is leaving takes nothing any more, and all that it holds is wanted, where there can be others.

        What was taken over meanwhile is not in what is returned.

        Raises:
            LeaseLostError: everything is lost, for good.

        """

    async def release(self, shards: Collection[int] | None = None) -> None:
        """Let others have some shards, or (None) all, and stop being an owner; what is not held, nothing."""

    async def news(self) -> frozenset[News]:
        """Wait until there is something new, and say what. It only wakes: what matters must be looked for, too.

        It may never end: where nobody else writes, and where a proxy before the server lets nothing through. Never
        raises.
        """

    async def close(self) -> None:
        """Finish what was begun and close; idempotent."""

    async def add(
        self, arrivals: Sequence[Arrival], *, source: str | None = None, position: bytes | None = None
    ) -> list[Admission]:
        """Take requests in, in order, and the source's position with them; whoever calls need not be the owner.

        A watch whose id is known is `KNOWN` if provider and params are equal, else `CONFLICT`. A cancellation
        becomes an intent (`CANCELLING`), `KNOWN` if the watch is finished, `UNKNOWN` if there is none. Refusals,
        conflicts and unknowns are kept as rejected, once per source and place.
        """

    async def position(self, source: str) -> bytes | None:
        """Return the position stored with the source's last batch."""

    async def load(
        self, *, after: int, limit: int, provider: str | None = None, shards: Collection[int] | None = None
    ) -> list[Opened]:
        """Return open watches whose row is larger than `after`, by row: all that are held, or of these shards only.

        `provider` narrows it to one. Rows grow in the order of commits, so that none appears behind one that was read.
        """

    async def watch(self, uid: str) -> Watch | None:
        """Return one watch, whole, open or finished."""

    async def commit(self, steps: Sequence[Step]) -> list[Exception | None]:
        """Write each step: its watch, its events, their deliveries, the end of its intent; all of it or nothing.

        Answers for each step: None, `StaleWatchError` if `before` or the epoch is old or the watch is finished,
        `LeaseLostError` if its shard is not held, `StoreError` if it could not be written. One bad step does not fail
        the others. A delivery is made for each name in `Event.to`, due at once; it is the head of its lane (webhook and
        watch) if nothing waits before it.

        Raises:
            LeaseLostError: nothing at all is held.

        """

    async def conditions(self) -> list[Condition]:
        """Return the last condition of each provider that was ever down or paused."""

    async def report(self, report: Report) -> None:
        """Write what happened to a provider as a whole, its event and its deliveries; all of it or nothing.

        The deliveries are a lane of the provider's own. Any owner may.

        Raises:
            StaleWatchError: the condition is not the one before this; another worker told it already.

        """

    async def pause(self, condition: Condition) -> None:
        """Write until when nothing is sent to a provider: its `paused_until`, and nothing else of what is known of it.

        Any owner may; where several were told, the longest pause holds.
        """

    async def endpoints(self, *, after: int = -1) -> list[Endpoint]:
        """Return what is known of each webhook, as any worker wrote it last: those whose `version` is larger."""

    async def endpoint(self, webhook: str, *, ordered: bool) -> Endpoint:
        """Return what is known of a webhook; an empty one if it is new.

        What is made for it from now on stands in lanes, one for each watch, if `ordered`, else each by itself. What
        waits already does, too, as far as it is a few; then `arrange` must go on with it.
        """

    async def arrange(self) -> bool:
        """Let a few more of what waits stand as `endpoint` has said; False if all does, and then nothing is written.

        Those that wait longest come last, and are heads until then if they were. A lane always has its first, and no
        other, for its head. Of several workers the steward does it, and for the others there is nothing to arrange.
        """

    async def heads(
        self, webhook: str, *, again: bool, now: datetime, limit: int, but: Collection[int] = ()
    ) -> list[Delivery]:
        """Return the deliveries of a webhook that may be sent now: due, and first of their lanes; oldest due first.

        `again` says which: those that are sent for the first time, or those that were sent before (retries, replays).
        Those in `but`, by id, are left out, and those of shards that are not held. What waits behind the heads costs
        nothing.
        """

    async def members(self, head: Delivery, *, limit: int) -> list[Delivery]:
        """Return what goes in one POST with a head, itself first: at most `limit`; nothing if it waits no more.

        Those that went in its last batch, if it was in one; else what waits behind it in its lane.
        """

    async def settle(
        self, settled: Sequence[Settled], *, endpoint: Endpoint | None = None, before: Endpoint | None = None
    ) -> Endpoint | None:
        """Record attempts, and what is now known of the webhook; all of it or nothing.

        A delivery that no longer waits makes the next of its lane the head, due at once; so does one that loosens.
        What was settled before stays as it is, what another worker attempted meanwhile (`attempts` is then not one more
        than is stored), and what belongs to a shard that is no longer held. `ENDED` gives up the whole lane and ends
        the watch's callback. Of the webhook only what has changed since `before` is written, on top of what other
        workers wrote meanwhile; all of it together is returned.
        """

    async def loosen(self, *, now: datetime) -> int:
        """Let go of the held lanes of deliveries whose `loosens_at` has come; return how many."""

    async def hasten(self, webhook: str, *, now: datetime, waits: Sequence[timedelta], order_wait: timedelta) -> None:
        """Let no held delivery that goes again wait longer from now than it may: a clock was ahead when it was put off.

        It may wait `waits[n]` after `n` attempts were burnt, and hold back others for `order_wait`.
        """

    async def undelivered(self) -> list[str]:
        """Return the names of all webhooks that anything waits for in the shards that are held."""

    async def backlog(self) -> Mapping[str, Backlog]:
        """Count what waits in the shards that are held, by webhook; where nothing waits there is no number.

        Takes longer where much waits.
        """

    async def want(self, intent: Intent) -> None:
        """Write what is wanted of the owner; its `id` is given here. Whoever calls need not be the owner."""

    async def intents(self, *, limit: int = 1000) -> list[Intent]:
        """Return what this owner is asked to do, oldest first, at most `limit`: of watches that it holds.

        What concerns no watch is asked of the holder of the first shard (`Lease.is_steward`).
        A `Cancel` ends with the step that carries it out, a `Switch` with `done`, a `Replay` with its last `replay`.
        """

    async def done(self, intent: Switch, endpoint: Endpoint | None, *, now: datetime) -> bool:
        """Write what is now known of a webhook (None: nothing new), and that the intent is carried out.

        Where one is switched on, somebody has mended it: all that goes again is due `now`, whoever holds it, but for
        what was tried since that was wanted. False: that was some of it, and there may be more; the intent stays.
        With it end older ones of the same webhook. Nothing is written if it was carried out by others.
        """

    async def replay(self, intent: Replay, *, now: datetime, limit: int) -> int:
        """Make the next deliveries of a replay due, at most `limit`, and keep how far it came; return how many.

        They go to the ends of their lanes, with a fresh schedule, and keep their attempts. What waits already is left
        alone. Where there are no more the intent ends, and 0 is returned.
        """

    async def prune(self, *, before: datetime, ids_before: datetime, limit: int) -> Pruned:
        """Forget a little of what is older than `before`; about `limit` rows, so that no commit waits long for it.

        Deliveries that wait since then are given up; a replay waits since it was made. Of watches that finished before
        then the details go, and their events with deliveries and attempts, unless one of them still waits (that is
        looked at again a day later); their ids stay until `ids_before`.
        Of several workers the steward does it, and for the others there is nothing to forget.
        Refused requests go too, and origins of callbacks that were not called since then, if nothing waits for them
        and nobody disabled them. Space that became free is given back to the file system bit by bit.
        """
