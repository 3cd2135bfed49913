"""What is PostgreSQL's own in the outbox: many workers write at the same time, and no lane is ever without its head."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random

import asyncpg
import pytest
from store_values import LATER, NOON, PostgresBackend, a_step, a_watch, added, settled, waiting

from watcher.core.delivery import Decision
from watcher.core.intent import Replay
from watcher.core.lease import shard_of
from watcher.core.model import Watch
from watcher.stores.postgres import PostgresStore

AFTER_ALL = LATER + timedelta(days=365)
IDS = [f"w{number}" for number in range(8)]
DECISIONS = [Decision.DELIVERED, Decision.DELIVERED, Decision.RETRY, Decision.EXHAUSTED]


@pytest.fixture
async def backend() -> AsyncIterator[PostgresBackend]:
    one = PostgresBackend()
    yield one
    await one.close()


async def two(backend: PostgresBackend) -> tuple[PostgresStore, PostgresStore]:
    """Return two workers who hold a half each; the first is the steward."""
    one, other = await backend.store("one"), await backend.store("other")
    await one.lease()
    await other.lease()
    await one.release((await one.renew()).wanted)
    assert len((await other.renew()).epochs) == 128
    return one, other


async def ask(backend: PostgresBackend, sql: str) -> list[tuple[object, ...]]:
    """Look behind everybody's back."""
    db = await asyncpg.connect(backend.server.url)
    await db.execute(f"SET search_path = {backend.schema}")
    rows = await db.fetch(sql)
    await db.close()
    return [tuple(row) for row in rows]


@dataclass
class Busy:
    """A worker, with the watches that it holds, who does one thing after the other as its dice say."""

    store: PostgresStore
    watches: list[Watch]
    dice: Random
    is_steward: bool

    async def work(self, times: int) -> None:
        verbs = [self.commit, self.settle, self.settle, self.settle_a_batch, self.loosen]
        if self.is_steward:
            verbs = [self.replay, self.replay, self.order, self.prune]
        for _ in range(times):
            await self.dice.choice(verbs)()

    async def commit(self) -> None:
        place = self.dice.randrange(len(self.watches))
        step = a_step(self.watches[place], events=self.dice.randint(1, 3), to=("ops", "audit"))
        assert await self.store.commit([step]) == [None]
        self.watches[place] = step.watch

    async def settle(self) -> None:
        heads = await waiting(self.store, self.dice.choice(["ops", "audit"]), limit=3)
        loosens_at = self.dice.choice([None, NOON, LATER])
        await self.store.settle([settled(one, self.dice.choice(DECISIONS), loosens_at=loosens_at) for one in heads])

    async def settle_a_batch(self) -> None:
        for head in await waiting(self.store, "ops", limit=1):
            members = await self.store.members(head, limit=3)
            batch, decision = f"bat_{self.dice.random()}", self.dice.choice(DECISIONS)
            await self.store.settle([settled(one, decision, batch=batch, loosens_at=LATER) for one in members])

    async def loosen(self) -> None:
        await self.store.loosen(now=LATER)

    async def replay(self) -> None:
        await self.commit()  # two replays between two events would stand at the same place
        await self.store.want(Replay(0, rate=1.0, webhook="audit", since=NOON))
        (intent, *_) = await self.store.intents()
        assert isinstance(intent, Replay)
        while await self.store.replay(intent, now=NOON, limit=3):
            pass

    async def order(self) -> None:
        await self.store.endpoint("ops", ordered=self.dice.random() < 0.5)

    async def prune(self) -> None:
        before = NOON + timedelta(seconds=self.dice.randint(1, 4))
        await self.store.prune(before=before, ids_before=NOON, limit=5)


@pytest.mark.parametrize("seed", range(3))
async def test_lanes_have_their_heads_whatever_workers_do_at_the_same_time(backend: PostgresBackend, seed: int) -> None:
    stores = await two(backend)
    await added(stores[0], *map(a_watch, IDS))
    workers = [
        Busy(
            store,
            [found for name in IDS if (found := await held(store, a_watch(name)))],
            Random(seed),
            store is stores[0],
        )
        for store in stores
    ]
    await asyncio.gather(*(worker.work(25) for worker in workers))
    assert await ask(backend, WRONG_LANES) == []
    for store in stores:
        for webhook in ("ops", "audit"):
            while heads := await waiting(store, webhook, now=AFTER_ALL):
                await store.settle([settled(head, Decision.DELIVERED) for head in heads])
    assert await ask(backend, "SELECT id FROM deliveries WHERE status = 'waiting'") == []


async def held(store: PostgresStore, watch: Watch) -> Watch | None:
    """Return a watch as its owner has it; None if that is another one."""
    found = await store.watch(watch.uid)
    return found if shard_of(watch.uid) in store._epochs else None


WRONG_LANES = """
    SELECT webhook, watch, count(*), sum(head) FROM deliveries
    WHERE status = 'waiting'
    GROUP BY webhook, watch, CASE loose WHEN 1 THEN event END
    HAVING sum(head) <> 1
"""


async def test_who_reads_by_cursor_misses_nothing_that_several_write_at_the_same_time(backend: PostgresBackend) -> None:
    stores = await two(backend)
    records = await backend.records()
    await added(stores[0], *map(a_watch, IDS))
    writing = asyncio.gather(*(tell(store, times=20) for store in stores))
    events, deliveries = [0], [0]
    is_over = False
    while not is_over:
        is_written = writing.done()
        some = await records.events(after=events[-1])
        others = await records.deliveries(after=deliveries[-1])
        events += [row.cursor for row in some]
        deliveries += [row.id for row in others]
        is_over = is_written and not some and not others
    await writing
    assert events[1:] == [row.cursor for row in await records.events(limit=10_000)]
    assert deliveries[1:] == [row.id for row in await records.deliveries(limit=10_000)]
    assert (len(events), len(deliveries)) == (1 + 20 * len(IDS), 1 + 40 * len(IDS))


async def tell(store: PostgresStore, *, times: int) -> None:
    """Commit events of each watch that is held, each watch by itself and all at the same time."""

    async def of(watch: Watch) -> None:
        for _ in range(times):
            step = a_step(watch, to=("ops", "audit"))
            assert await store.commit([step]) == [None]
            watch = step.watch

    watches = [await held(store, a_watch(name)) for name in IDS]
    await asyncio.gather(*(of(watch) for watch in watches if watch is not None))
