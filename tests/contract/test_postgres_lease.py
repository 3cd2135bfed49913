"""What is PostgreSQL's own, where several workers share it: who holds what, and for how long."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from store_values import (
    PostgresBackend,
    a_step,
    a_watch,
    added,
)
from workers import as_held_by, in_balance, two

from watcher.core.errors import LeaseLostError, StoreError
from watcher.core.lease import SHARDS
from watcher.stores.postgres import PostgresStore
from watcher.stores.postgres_lease import extend


@pytest.fixture
async def backend() -> AsyncIterator[PostgresBackend]:
    one = PostgresBackend()
    yield one
    await one.close()


@pytest.mark.parametrize("number", [1, 2, 3, 5])
async def test_workers_hold_fair_shares_of_everything_and_nothing_twice(backend: PostgresBackend, number: int) -> None:
    workers = [await backend.store(f"worker-{place}") for place in range(number)]
    for worker in workers:
        await worker.lease()
    leases = await in_balance(workers)
    sizes = [len(lease.epochs) for lease in leases]
    assert (sum(sizes), max(sizes) - min(sizes) <= 1) == (SHARDS, True)
    assert [lease.is_steward for lease in leases] == [True] + [False] * (number - 1)
    assert [lease.lasts for lease in leases] == [timedelta(seconds=40)] * number


async def test_a_worker_that_joins_is_given_its_share_shard_by_shard_as_others_let_go(backend: PostgresBackend) -> None:
    one, other = await backend.store("one"), await backend.store("other")
    await one.lease()
    assert (await other.lease()).share == 0
    renewed = await one.renew()
    assert (renewed.share, sorted(renewed.wanted)) == (1, list(range(128, 256)))
    await one.release([255, 130])
    assert set((await other.renew()).epochs) == {130, 255}
    assert len((await one.renew()).wanted) == 126
    await one.release((await one.renew()).wanted)
    assert (await other.renew()).share == 0.5
    assert (await one.renew()).wanted == frozenset()


async def test_what_is_released_is_no_longer_ours_before_others_can_have_it(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    await one.release([0, 1])
    assert not {0, 1} & set(one._epochs)
    assert {0, 1} <= set((await one.renew()).epochs)  # nobody lacked anything, and it lacks two
    assert (await other.renew()).share == 0.5


async def test_who_leaves_is_replaced_at_the_next_renewal(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    await one.release()
    lease = await other.renew()
    assert (lease.share, lease.is_steward) == (1, True)
    with pytest.raises(LeaseLostError):
        await one.renew()


async def test_who_is_silent_for_a_lease_is_replaced_and_has_its_share_again_when_it_comes_back(
    backend: PostgresBackend,
) -> None:
    one, other = await two(backend)
    await backend.lapse("one")
    assert (await other.renew()).share == 1
    assert (await one.renew()).share == 0
    assert [lease.share for lease in await in_balance([one, other])] == [0.5, 0.5]


async def test_a_lease_that_lapsed_while_nobody_took_its_shards_goes_on(backend: PostgresBackend) -> None:
    store = await backend.store()
    lease = await store.lease()
    (watch,) = await added(store, a_watch())
    await backend.lapse("watcher")
    with pytest.raises(LeaseLostError):
        await store.commit([a_step(watch)])
    assert await store.renew() == lease
    assert await store.commit([a_step(watch)]) == [None]


async def test_a_worker_that_starts_again_has_its_own_at_once_under_new_epochs(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    before = await one.renew()
    again = await backend.store("one")
    after = await again.lease()
    assert after.epochs == {shard: epoch + 1 for shard, epoch in before.epochs.items()}
    assert (await other.renew()).share == 0.5


async def test_of_two_processes_that_are_the_same_worker_the_newest_wins(backend: PostgresBackend) -> None:
    old, new = await backend.store("one"), await backend.store("one")
    await old.lease()
    (watch,) = await added(old, a_watch())
    await new.lease()
    with pytest.raises(LeaseLostError):
        await old.commit([a_step(watch)])
    with pytest.raises(LeaseLostError, match="another process has started as worker one"):
        await old.renew()
    await old.release()
    assert await new.commit([a_step(await as_held_by(new, watch))]) == [None]
    assert (await new.renew()).share == 1


async def test_a_name_that_nobody_has_used_for_a_day_is_forgotten(backend: PostgresBackend) -> None:
    one, other = await backend.store("one"), await backend.store("other")
    await one.lease()
    await backend.execute("UPDATE workers SET expires_at = clock_timestamp() - interval '25 hours'")
    assert (await other.lease()).share == 1
    assert await backend.ask("SELECT name FROM workers") == [("other",)]


async def test_one_joins_while_the_others_renew_and_nothing_is_ever_held_twice(backend: PostgresBackend) -> None:
    workers = [await backend.store(f"worker-{place}") for place in range(3)]
    held: list[set[int]] = [set() for _ in workers]

    def note(place: int, shards: set[int]) -> None:
        held[place] = shards
        assert sum(len(some) for some in held) == len(set().union(*held))

    async def live(place: int) -> None:
        worker = workers[place]
        note(place, set((await worker.lease()).epochs))
        while sorted(len(some) for some in held) != [85, 85, 86]:
            lease = await worker.renew()
            note(place, set(lease.epochs))
            note(place, set(lease.epochs) - lease.wanted)
            await worker.release(lease.wanted)

    with anyio.fail_after(30):
        await asyncio.gather(*(live(place) for place in range(3)))


async def test_a_lease_that_is_just_renewed_is_not_taken_for_one_that_lapsed(backend: PostgresBackend) -> None:
    one, other = await backend.store("one"), await backend.store("other")
    await one.lease()
    await backend.lapse("one")
    async with one._leaser.transaction() as db:
        lease = await extend(db, one._worker)
        leasing = asyncio.create_task(other.lease())
        await asyncio.sleep(0.05)
    assert (lease.share, (await leasing).share) == (1, 0)


async def test_who_leaves_has_no_share_any_more_and_others_take_what_it_lets_go_of(backend: PostgresBackend) -> None:
    one, two = await backend.store("one"), await backend.store("two")
    await one.lease()
    await two.lease()
    leaving = await one.renew(is_leaving=True)
    assert leaving.wanted == frozenset(leaving.epochs) == frozenset(range(SHARDS))
    await one.release(range(100))
    assert (await two.renew()).epochs.keys() == frozenset(range(100))
    assert (await one.renew(is_leaving=True)).epochs.keys() == frozenset(range(100, SHARDS))
    await one.release(range(100, SHARDS))
    assert (await two.renew()).share == 1


async def test_a_lease_that_is_over_before_all_shards_are_counted_is_renewed_like_any_other(
    backend: PostgresBackend,
) -> None:
    one, other = await two(backend)
    worker = replace(one._worker, lease=timedelta(microseconds=1))  # so that each statement takes longer than it
    async with one._leaser.transaction() as db:
        lease = await extend(db, worker)
    assert (lease.share, lease.workers, len(lease.wanted)) == (0.5, 2, 0)
    assert lease.epochs == {shard: one._epochs[shard] for shard in lease.epochs}
    assert (await other.renew()).share == 1


async def stopped_amid_a_renewal(worker: PostgresStore, *, until: anyio.Event) -> None:
    """Begin a renewal, and as after a SIGSTOP do nothing more."""
    async with worker._leaser.transaction() as db:
        await extend(db, worker._worker)
        await until.wait()


async def test_who_stops_amid_a_renewal_keeps_nobody_waiting_for_longer_than_its_lease(
    backend: PostgresBackend,
) -> None:
    backend.lease = timedelta(seconds=1.5)
    one, other = await backend.store("one"), await backend.store("other")
    await one.lease()
    renewed = anyio.Event()
    stopped = asyncio.create_task(stopped_amid_a_renewal(one, until=renewed))
    await anyio.sleep(0.1)
    with anyio.fail_after(backend.lease.total_seconds()):
        await other.lease()
    renewed.set()
    with pytest.raises(StoreError):
        await stopped
