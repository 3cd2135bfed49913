"""The store on one PostgreSQL, which many share: the owners' verbs. What people ask is in `postgres_records.py`."""

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self, TypeVar

from watcher import metrics
from watcher.core.delivery import Decision, Delivery, Settled
from watcher.core.endpoint import Endpoint
from watcher.core.errors import LeaseLostError, StoreError
from watcher.core.intent import Intent, Replay, Switch
from watcher.core.lease import STEWARDS, Lease, News, shard_of
from watcher.core.model import Condition, Report, Step, Watch
from watcher.core.rows import Admission, Arrival, Backlog, Opened, Pruned
from watcher.stores.postgres_connection import LONGEST_IDLE, Database, PostgresConnection
from watcher.stores.postgres_endpoints import arrange, find, is_arranging, keep, know, read_endpoints
from watcher.stores.postgres_hasten import hasten, is_late, switch
from watcher.stores.postgres_intents import read_intents, write_intent
from watcher.stores.postgres_lanes import loosen
from watcher.stores.postgres_lease import Worker, enter, extend, hold, leave, let_go, take_again
from watcher.stores.postgres_news import Heard
from watcher.stores.postgres_outbox import select_backlog, select_heads, select_members, select_undelivered
from watcher.stores.postgres_prune import forget
from watcher.stores.postgres_replay import replay
from watcher.stores.postgres_requests import keep_position, read_position, take_in
from watcher.stores.postgres_schema import SCHEMA, migrate
from watcher.stores.postgres_settled import settle
from watcher.stores.postgres_steps import attempt_steps, read_conditions, write_pause, write_report
from watcher.stores.postgres_watches import select_opened, select_watch
from watcher.stores.postgres_writer import Held, PostgresWriter, Reach

FEW = 500  # rows at most in one transaction of what can be done bit by bit
NOT_OURS = "the store belongs to other workers"

T = TypeVar("T")


class PostgresStore:
    """`store.Store`: one connection writes, in groups; one reads beside it; one renews the lease, whatever else waits.

    That one also hears what others tell. Of what is held there is a copy here, for what is only read; whoever writes
    asks the database, in the same transaction.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        writer: PostgresConnection,
        reader: PostgresConnection,
        leaser: PostgresConnection,
        heard: Heard,
    ) -> None:
        """Work on what `open` has opened."""
        self._worker, self._reader, self._leaser = worker, reader, leaser
        self._heard = heard
        observe = metrics.STORE_COMMIT.observe
        self._writer = PostgresWriter(writer, guard=self._guard, write=attempt_steps, observe=observe)
        self._epochs: Mapping[int, int] = {}
        self._is_owner = False

    @classmethod
    async def open(cls, url: str, *, worker: str, lease: timedelta, schema: str = SCHEMA) -> Self:
        """Connect to the database; make our schema in it, or bring it up to date, if need be.

        `worker` is the name of this daemon, and of no other that runs; `lease` is how long it keeps its shards when
        nothing is heard of it.

        Raises:
            StoreError: it cannot be reached or used, or a newer version wrote it.

        """
        heard = Heard()
        connection = partial(PostgresConnection, url, name=f"watcher {worker}", schema=schema)
        idle = min(lease / 3, LONGEST_IDLE)  # or others could not take over by when it is over
        writer = connection(mode="READ WRITE", idle=idle)
        try:
            await migrate(writer, schema=schema)
        except BaseException:
            await writer.close()
            raise
        return cls(
            Worker(worker, secrets.token_hex(16), lease),
            writer=writer,
            reader=connection(mode="READ ONLY"),
            leaser=connection(mode="READ WRITE", idle=idle, heard=heard.add),
            heard=heard,
        )

    async def close(self) -> None:
        """Finish what was begun, stop being an owner, and disconnect; idempotent."""
        await self._writer.close()
        await self._reader.close()
        with suppress(StoreError):  # then the lease ends by itself
            await self.release()
        await self._leaser.close()

    # --- who owns what ----------------------------------------------------------------------------------------

    async def lease(self) -> Lease:
        """Take part, take again what was ours, and take our share of what nobody holds."""
        async with self._leaser.transaction() as db:
            await enter(db, self._worker)
        async with self._leaser.transaction() as db:
            await take_again(db, self._worker)
        self._is_owner = True
        return await self.renew()

    async def renew(self, *, is_leaving: bool = False) -> Lease:
        """Go on for another lease, and take our share of what is free."""
        if not self._is_owner:
            raise LeaseLostError(NOT_OURS)
        async with self._leaser.transaction() as db:
            lease = await extend(db, self._worker, is_leaving=is_leaving)
        self._epochs = lease.epochs  # not before: whoever goes by the lease learns of it in this very moment
        return lease

    async def release(self, shards: Collection[int] | None = None) -> None:
        """Let others have some shards, or leave."""
        if not self._is_owner:
            return
        self._is_owner = shards is not None
        async with self._leaser.transaction() as db:
            gone = frozenset(self._epochs if shards is None else shards)
            self._epochs = {shard: epoch for shard, epoch in self._epochs.items() if shard not in gone}
            await (leave(db, self._worker) if shards is None else let_go(db, self._worker, shards=shards))

    async def news(self) -> frozenset[News]:
        """Wait until others have told us of something."""
        return await self._heard.take()

    async def _guard(self, db: Database, *, shards: Collection[int], alone: bool) -> Held | None:
        return await hold(db, self._worker, shards=shards, alone=alone) if self._is_owner else None

    # --- watches ----------------------------------------------------------------------------------------------

    async def add(
        self, arrivals: Sequence[Arrival], *, source: str | None = None, position: bytes | None = None
    ) -> list[Admission]:
        """Take requests in, and the source's position with them."""
        now = datetime.now(UTC)  # only shown, beside a refusal

        async def work(db: Database) -> list[Admission]:
            admissions = await take_in(db, arrivals, now=now)
            if source is not None and position is not None:
                await keep_position(db, self._worker.name, source=source, position=position)
            return admissions

        return await self._writer.run(work, rows=len(arrivals))

    async def position(self, source: str) -> bytes | None:
        """Return the source's position; files are of one machine, and so every worker has its own."""
        return await self._read(lambda db: read_position(db, self._worker.name, source=source))

    async def load(
        self, *, after: int, limit: int, provider: str | None = None, shards: Collection[int] | None = None
    ) -> list[Opened]:
        """Return a page of open watches."""
        asked = self._epochs if shards is None else shards
        return await self._read(lambda db: select_opened(db, after=after, limit=limit, provider=provider, shards=asked))

    async def watch(self, uid: str) -> Watch | None:
        """Return one watch, whole."""
        epoch = self._epochs.get(shard_of(uid), 0)
        return await self._read(lambda db: select_watch(db, uid, epoch=epoch))

    async def commit(self, steps: Sequence[Step]) -> list[Exception | None]:
        """Write the steps, each whole or not at all."""
        return await self._writer.commit(steps)

    async def conditions(self) -> list[Condition]:
        """Return the providers' conditions."""
        return await self._read(read_conditions)

    async def report(self, report: Report) -> None:
        """Write what happened to a provider as a whole, into a lane that may be another worker's."""
        await self._alone(lambda db: write_report(db, report))

    async def pause(self, condition: Condition) -> None:
        """Write until when nothing is sent to a provider."""
        await self._writer.own(lambda db, _: write_pause(db, condition), shards=())

    # --- deliveries -------------------------------------------------------------------------------------------

    async def endpoints(self, *, after: int = -1) -> list[Endpoint]:
        """Return what is known of each webhook whose version is larger."""
        return await self._read(lambda db: read_endpoints(db, after=after))

    async def endpoint(self, webhook: str, *, ordered: bool) -> Endpoint:
        """Return what is known of a webhook; others are held up only where something is to be written."""
        known = await self._read(lambda db: find(db, webhook))
        if known is not None and known.is_ordered == ordered:
            return known.endpoint
        return await self._alone(lambda db: know(db, webhook, ordered=ordered, limit=FEW))

    async def arrange(self) -> bool:
        """Let a few more stand as they should, as steward; others are held up only where there are any."""
        if (self._is_owner and STEWARDS not in self._epochs) or not await self._read(is_arranging):
            return False
        return await self._alone(partial(arrange, limit=FEW))

    async def heads(
        self, webhook: str, *, again: bool, now: datetime, limit: int, but: Collection[int] = ()
    ) -> list[Delivery]:
        """Return the due heads of a webhook's lanes."""
        async with self._reader.transaction() as db:
            return await select_heads(db, webhook, shards=self._epochs, again=again, now=now, limit=limit, but=but)

    async def members(self, head: Delivery, *, limit: int) -> list[Delivery]:
        """Return what goes in one POST with a head."""
        return await self._read(lambda db: select_members(db, head, shards=self._epochs, limit=limit))

    async def settle(
        self, settled: Sequence[Settled], *, endpoint: Endpoint | None = None, before: Endpoint | None = None
    ) -> Endpoint | None:
        """Record attempts and what they mean."""

        async def work(db: Database, held: Held) -> Endpoint | None:
            await settle(db, settled, shards=held)
            return None if endpoint is None else await keep(db, endpoint, before=before)

        shards = {shard_of(one.delivery.event.uid) for one in settled}
        is_far = endpoint is not None or any(one.decision is Decision.ENDED for one in settled)
        reach = Reach.COMMON if is_far else Reach.LANES
        return await self._writer.own(work, shards=shards, rows=len(settled), reach=reach)

    async def loosen(self, *, now: datetime) -> int:
        """Let go of lanes, a few at a time."""
        work = partial(loosen, now=now, limit=FEW)
        loosened = 0
        while (some := await self._writer.own(work, shards=self._epochs, rows=FEW, reach=Reach.LANES)) == FEW:
            loosened += some
        return loosened + some

    async def hasten(self, webhook: str, *, now: datetime, waits: Sequence[timedelta], order_wait: timedelta) -> None:
        """Shorten what is too long, a few at a time; nothing is locked where nothing is."""
        late = partial(is_late, webhook=webhook, shards=self._epochs, now=now, waits=waits)
        some = FEW if await self._read(late) else 0
        work = partial(hasten, webhook=webhook, now=now, waits=waits, order_wait=order_wait, limit=FEW)
        while some == FEW:
            some = await self._writer.own(work, shards=self._epochs, rows=FEW, reach=Reach.LANES)

    async def undelivered(self) -> list[str]:
        """Return whose deliveries wait."""
        return await self._read(lambda db: select_undelivered(db, shards=self._epochs))

    async def backlog(self) -> Mapping[str, Backlog]:
        """Count what waits."""
        return await self._read(lambda db: select_backlog(db, shards=self._epochs))

    # --- intents ----------------------------------------------------------------------------------------------

    async def want(self, intent: Intent) -> None:
        """Write what is wanted of an owner."""
        await self._writer.run(lambda db: write_intent(db, intent))

    async def intents(self, *, limit: int = 1000) -> list[Intent]:
        """Return what is wanted of this owner."""
        return await self._read(lambda db: read_intents(db, shards=self._epochs, limit=limit))

    async def done(self, intent: Switch, endpoint: Endpoint | None, *, now: datetime) -> bool:
        """Write what is now known of a webhook, and that the intent is carried out, or a part of it."""

        async def work(db: Database, _: Held) -> bool:
            return await switch(db, intent, endpoint, now=now, limit=FEW)

        return await self._writer.own(work, shards=(), reach=Reach.EVERYTHING if intent.on else Reach.COMMON)

    async def replay(self, intent: Replay, *, now: datetime, limit: int) -> int:
        """Make the next deliveries of a replay wait; where many are passed over, in several transactions."""
        made = None
        while made is None:
            made = await self._alone(lambda db: replay(db, intent, now=now, limit=limit))
        return made

    # --- what is old ------------------------------------------------------------------------------------------

    async def prune(self, *, before: datetime, ids_before: datetime, limit: int) -> Pruned:
        """Forget a little, as steward."""
        if self._is_owner and STEWARDS not in self._epochs:
            return Pruned(0, {})
        return await self._alone(lambda db: forget(db, before=before, ids_before=ids_before, limit=limit))

    async def _read(self, work: Callable[[Database], Awaitable[T]]) -> T:
        async with self._reader.transaction() as db:
            return await work(db)

    async def _alone(self, work: Callable[[Database], Awaitable[T]]) -> T:
        """Write as an owner, in any lane, while no other owner does."""

        async def owned(db: Database, _: Held) -> T:
            return await work(db)

        return await self._writer.own(owned, shards=(), reach=Reach.EVERYTHING)
