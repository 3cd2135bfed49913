"""A worker who keeps its lease over a store whose answers a test scripts, and the loops that go by what it holds."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import inf

import anyio
from virtual import VirtualClock
from worlds import turning

from watcher.bell import Bell
from watcher.core.endpoint import Endpoint
from watcher.core.errors import StoreError
from watcher.core.lease import Lease, News, shard_of
from watcher.core.model import Condition
from watcher.hold import Hold
from watcher.tenure import Tenure

LASTS = timedelta(seconds=10)
UIDS = {shard_of(uid): uid for uid in map(str, range(10_000))}  # a watch for each shard


def lease(*shards: int, epoch: int = 1, wanted: Collection[int] = ()) -> Lease:
    return Lease(dict.fromkeys(shards, epoch), frozenset(wanted), LASTS)


@dataclass
class Scripted:
    """A store whose lease is whatever the test says."""

    lease: Lease | Exception
    released: list[frozenset[int]] = field(default_factory=list)
    reads_take: float = 0.0
    is_readable: bool = True
    told: Bell = field(default_factory=Bell)
    news_of: frozenset[News] = frozenset()
    known: list[Endpoint] = field(default_factory=list)

    async def renew(self, *, is_leaving: bool = False) -> Lease:
        if isinstance(self.lease, Exception):
            raise self.lease
        return replace(self.lease, wanted=frozenset(self.lease.epochs)) if is_leaving else self.lease

    async def release(self, shards: Collection[int] | None = None) -> None:
        self.released.append(frozenset(shards or ()))
        assert isinstance(self.lease, Lease)
        kept = {shard: epoch for shard, epoch in self.lease.epochs.items() if shard not in (shards or ())}
        self.lease = replace(self.lease, epochs=kept, wanted=frozenset())

    async def conditions(self) -> list[Condition]:
        await anyio.sleep(self.reads_take)
        if not self.is_readable:
            raise StoreError("not now")
        return []

    async def endpoints(self, *, after: int = -1) -> list[Endpoint]:
        return [one for one in self.known if one.version > after]

    async def news(self) -> frozenset[News]:
        await self.told.wait(at_most=inf)
        return self.news_of

    def tell(self, *news: News) -> None:
        self.news_of = frozenset(news)
        self.told.ring()


@dataclass
class Following:
    """A loop that has watches in flight for as long as the test says."""

    followed: int = 0
    leaving: frozenset[str] = frozenset()

    def follow(self) -> None:
        self.followed += 1


class World:
    def __init__(self, first: Lease, *, clock: VirtualClock) -> None:
        self.store = Scripted(first)
        self.hold = Hold(clock)
        self.hold.extend(first, asked_at=clock.monotonic())
        self.hold.grow(first)
        self.loop = Following()
        self.loaded: list[Sequence[int]] = []
        self.loads_fail = 0
        self.loads_take = 0.0
        self.learnt: list[list[str]] = []
        self.woken = 0
        self.tenure = Tenure(
            self.hold,
            store=self.store,  # type: ignore[arg-type]  # no more of it is asked
            clock=clock,
            followers=lambda: [self.loop],
            load=self._load,
            wake=self._wake,
            learn=self._learn,
        )

    def _learn(self, conditions: Iterable[Condition], endpoints: Iterable[Endpoint]) -> None:
        self.learnt.append([endpoint.name for endpoint in endpoints])

    def _wake(self) -> None:
        self.woken += 1

    async def _load(self, shards: Collection[int]) -> None:
        if self.loads_fail:
            self.loads_fail -= 1
            raise StoreError("not now")
        await anyio.sleep(self.loads_take)
        self.loaded.append(sorted(shards))

    def held(self, *shards: int) -> list[bool]:
        return [self.hold.has(UIDS[shard]) for shard in shards]


@asynccontextmanager
async def at_work(first: Lease, *, clock: VirtualClock) -> AsyncIterator[World]:
    world = World(first, clock=clock)
    async with turning(world.tenure):
        yield world
