"""Several workers on one PostgreSQL: how they come to hold fair shares, and what each of them holds."""

from collections.abc import Sequence
from dataclasses import replace

from store_values import (
    PostgresBackend,
    a_watch,
)

from watcher.core.lease import Lease, shard_of
from watcher.core.model import Watch
from watcher.stores.postgres import PostgresStore

SOME = [a_watch(str(number)) for number in range(20)]


async def in_balance(workers: Sequence[PostgresStore]) -> list[Lease]:
    """Let all renew and hand over until nobody wants anything; never is anything held by two."""
    leases = [await worker.renew() for worker in workers]
    for _ in range(3):
        for place, worker in enumerate(workers):
            leases[place] = await worker.renew()
            held = [shard for lease in leases for shard in lease.epochs]
            assert len(held) == len(set(held))
            await worker.release(leases[place].wanted)
            leases[place] = without(leases[place])
    return leases


def without(lease: Lease) -> Lease:
    """Return what is left of a lease after others got what they want."""
    left = {shard: epoch for shard, epoch in lease.epochs.items() if shard not in lease.wanted}
    return replace(lease, epochs=left, wanted=frozenset())


async def two(backend: PostgresBackend) -> tuple[PostgresStore, PostgresStore]:
    """Return two workers who hold a half each."""
    one, other = await backend.store("one"), await backend.store("other")
    await one.lease()
    await other.lease()
    await in_balance([one, other])
    return one, other


def split(watches: Sequence[Watch], store: PostgresStore) -> tuple[Watch, Watch]:
    """Return a watch that a worker holds, and one that it does not."""
    mine = next(watch for watch in watches if shard_of(watch.uid) in store._epochs)
    return mine, next(watch for watch in watches if shard_of(watch.uid) not in store._epochs)


async def as_held_by(store: PostgresStore, watch: Watch) -> Watch:
    found = await store.watch(watch.uid)
    assert found is not None
    return found
