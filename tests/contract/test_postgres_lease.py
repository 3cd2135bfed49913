"""What is PostgreSQL's own, where several workers share it: who holds what, and that nobody else writes there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from store_values import (
    NOON,
    PostgresBackend,
    a_step,
    a_watch,
    added,
    arrival,
    cancellation,
    epoch_of,
    heads_of,
    settled,
    told,
    waiting,
)

from watcher.core.delivery import Decision
from watcher.core.endpoint import Endpoint
from watcher.core.errors import LeaseLostError, StaleWatchError
from watcher.core.event import provider_changed
from watcher.core.intent import Cancel, Switch
from watcher.core.lease import SHARDS, Lease, shard_of
from watcher.core.model import Condition, Reason, Watch
from watcher.stores.postgres import PostgresStore
from watcher.stores.postgres_connection import Database
from watcher.stores.postgres_writer import Held


@pytest.fixture
async def backend() -> AsyncIterator[PostgresBackend]:
    one = PostgresBackend()
    yield one
    await one.close()


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


SOME = [a_watch(str(number)) for number in range(20)]


# --- who holds what -------------------------------------------------------------------------------------------


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


async def test_one_joins_while_the_others_renew_and_nothing_is_ever_held_twice(backend: PostgresBackend) -> None:
    workers = [await backend.store(f"worker-{place}") for place in range(3)]
    held: list[set[int]] = [set() for _ in workers]

    def note(place: int, shards: set[int]) -> None:
        held[place] = shards
        assert sum(len(some) for some in held) == len(set().union(*held))

    async def live(place: int) -> None:
        worker = workers[place]
        note(place, set((await worker.lease()).epochs))
        for _ in range(15):
            lease = await worker.renew()
            note(place, set(lease.epochs))
            note(place, set(lease.epochs) - lease.wanted)
            await worker.release(lease.wanted)

    await asyncio.gather(*(live(place) for place in range(3)))
    assert sorted(len(some) for some in held) == [85, 85, 86]


# --- only owners write ----------------------------------------------------------------------------------------


async def test_a_worker_writes_what_it_holds_and_nothing_else(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    mine, others = split(await added(one, *SOME), one)
    answers = await one.commit([a_step(mine), a_step(others)])
    assert [type(answer) for answer in answers] == [type(None), LeaseLostError]
    assert await other.commit([a_step(await as_held_by(other, others))]) == [None]


async def test_an_epoch_that_was_another_ones_meanwhile_is_old(backend: PostgresBackend) -> None:
    one, other = await backend.store("one"), await backend.store("other")
    await one.lease()
    (watch,) = await added(one, a_watch())
    await backend.lapse("one")
    await other.lease()
    await other.release()
    await one.renew()
    assert [type(answer) for answer in await one.commit([a_step(watch)])] == [StaleWatchError]
    assert await one.commit([a_step(await as_held_by(one, watch))]) == [None]


async def test_who_was_replaced_can_write_nothing(backend: PostgresBackend) -> None:
    one, other = await backend.store("one"), await backend.store("other")
    await one.lease()
    (watch,) = await added(one, a_watch())
    watch = await told(one, watch, events=1)
    (head,) = await waiting(one)
    await backend.lapse("one")
    await other.lease()
    down = provider_changed(Condition("d7", uid="condition"), reason=Reason.DENIED, at=NOON, watches=1)
    for write in (
        one.commit([a_step(watch)]),
        one.settle([settled(head, Decision.DELIVERED)], endpoint=Endpoint("ops", section="one")),
        one.report(down),
        one.pause(replace(down.condition, paused_until=NOON)),
        one.loosen(now=NOON),
        one.endpoint("ops", ordered=False),
        one.done(Switch(1, "ops", on=True), Endpoint("ops", section="one")),
        one.prune(before=NOON, ids_before=NOON, limit=1),
    ):
        with pytest.raises(LeaseLostError):
            await write
    assert (await waiting(other), await other.conditions(), await other.endpoints()) == ([head], [], [])


async def test_what_was_sent_from_a_shard_that_is_gone_stays_as_it_is(backend: PostgresBackend) -> None:
    one, other = await backend.store("one"), await backend.store("other")
    await one.lease()
    for watch in await added(one, *SOME):
        await told(one, watch, events=1)
    heads = await waiting(one)
    await other.lease()
    await in_balance([one, other])
    await one.settle([settled(head, Decision.DELIVERED) for head in heads])
    gone = {head.id for head in heads if shard_of(head.event.uid) in other._epochs}
    assert {head.id for head in await waiting(other)} == gone
    assert 0 < len(gone) < len(heads)
    assert await waiting(one) == []


async def test_of_two_who_find_a_provider_down_one_tells_it(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    reports = [
        provider_changed(Condition("d7", uid=uid), reason=Reason.DENIED, at=NOON, watches=1) for uid in ("a", "b")
    ]
    await one.report(reports[0])
    with pytest.raises(StaleWatchError):
        await other.report(reports[1])
    (condition,) = await other.conditions()
    await other.report(provider_changed(condition, reason=None, at=NOON, watches=1))
    assert [condition.sequence for condition in await one.conditions()] == [2]


async def test_the_longest_pause_that_any_worker_was_told_holds(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    short, long = (Condition("d7", uid="uid", paused_until=NOON + timedelta(minutes=each)) for each in (1, 5))
    for store, condition in ((one, short), (other, long), (one, short)):
        await store.pause(condition)
    assert await one.conditions() == [long]


# --- what is being written meanwhile --------------------------------------------------------------------------


@asynccontextmanager
async def writing(store: PostgresStore, *, shard: int) -> AsyncIterator[None]:
    """Have an owner write something for as long as the block lasts."""
    begun, ends = asyncio.Event(), asyncio.Event()

    async def work(_: Database, held: Held) -> None:
        assert shard in held
        begun.set()
        await ends.wait()

    task = asyncio.create_task(store._writer.own(work, shards=[shard]))
    await begun.wait()
    try:
        yield
    finally:
        ends.set()
        await task


async def test_a_shard_that_is_being_written_in_is_taken_only_then(backend: PostgresBackend) -> None:
    one, other = await backend.store("one"), await backend.store("other")
    await one.lease()
    async with writing(one, shard=7):
        await backend.lapse("one")
        assert set(range(SHARDS)) - set((await other.lease()).epochs) == {7}
    assert (await other.renew()).share == 1


async def test_who_starts_again_waits_for_what_is_just_being_written(backend: PostgresBackend) -> None:
    old, new = await backend.store("one"), await backend.store("one")
    await old.lease()
    async with writing(old, shard=7):
        leasing = asyncio.create_task(new.lease())
        await asyncio.sleep(0.05)
        assert not leasing.done()
    assert epoch_of(await leasing) == 2


async def test_who_writes_in_every_lane_does_so_alone(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    async with writing(other, shard=next(iter(other._epochs))):
        knowing = asyncio.create_task(one.endpoint("ops", ordered=False))
        await asyncio.sleep(0.05)
        assert not knowing.done()
    assert await knowing == Endpoint("ops")


# --- what is read ---------------------------------------------------------------------------------------------


async def test_a_worker_loads_what_it_holds_or_is_asked_for(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    await one.add([arrival(watch) for watch in SOME])
    mine = await one.load(after=0, limit=100)
    theirs = await other.load(after=0, limit=100)
    assert sorted(int(opened.id) for opened in mine + theirs) == list(range(20))
    assert {shard_of(opened.uid) in one._epochs for opened in mine} == {True}
    asked = shard_of(theirs[0].uid)
    assert theirs[0] in await one.load(after=0, limit=100, shards=[asked])


async def test_a_worker_sends_what_it_holds(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    for watch in await added(one, *SOME):
        store = one if shard_of(watch.uid) in one._epochs else other
        await told(store, await as_held_by(store, watch), events=1)
    mine, theirs = await heads_of(one), await heads_of(other)
    assert len(mine) + len(theirs) == len(set(mine + theirs)) == 20
    assert await one.undelivered() == await other.undelivered() == ["ops"]
    for head in await waiting(one):
        await one.settle([settled(head, Decision.DELIVERED)])
    assert (await one.undelivered(), await other.undelivered()) == ([], ["ops"])


async def test_a_worker_is_asked_what_concerns_its_watches_and_one_of_them_the_rest(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    mine, theirs = split(await added(one, *SOME), one)
    await one.add([cancellation(mine.id), cancellation(theirs.id)])
    await other.want(Switch(0, "ops", on=False))
    (cancel, switch), (others,) = await one.intents(), await other.intents()
    assert (cancel, switch) == (Cancel(cancel.id, mine.uid), Switch(switch.id, "ops", on=False))
    assert others == Cancel(others.id, theirs.uid)


async def test_what_is_known_of_a_webhook_is_known_to_all(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    await one.endpoint("ops", ordered=True)
    await one.settle([], endpoint=Endpoint("ops", section="changed"))
    assert await other.endpoints() == [Endpoint("ops", section="changed")]


async def test_each_worker_has_read_its_own_files(backend: PostgresBackend) -> None:
    one, other = await backend.store("one"), await backend.store("other")
    await one.add([], source="inbox", position=b"1")
    await other.add([], source="inbox", position=b"2")
    assert [await one.position("inbox"), await other.position("inbox")] == [b"1", b"2"]


async def test_rows_and_cursors_are_given_in_the_order_of_commits(backend: PostgresBackend) -> None:
    """Whoever reads behind the last row or cursor that there was must not find another one before it later."""
    one, other = await two(backend)
    records = await backend.records()
    seen_rows: list[int] = []
    seen_cursors: list[int] = []

    async def write(store: PostgresStore, name: str) -> None:
        for number in range(10):
            watches = await added(store, *(a_watch(f"{name}-{number}-{each}") for each in range(5)))
            mine = [watch for watch in watches if shard_of(watch.uid) in store._epochs]
            assert await store.commit([a_step(watch, events=2) for watch in mine]) == [None] * len(mine)

    async def read() -> None:
        while opened := await one.load(after=max(seen_rows, default=0), limit=1000, shards=range(SHARDS)):
            seen_rows.extend(row.row for row in opened)
        while events := await records.events(after=max(seen_cursors, default=0), limit=1000):
            seen_cursors.extend(event.cursor for event in events)

    writing = asyncio.gather(write(one, "a"), write(other, "b"), write(one, "c"), write(other, "d"))
    while not writing.done():
        await read()
        await asyncio.sleep(0)
    await writing
    await read()
    assert len(seen_rows) == 200
    assert seen_cursors == [event.cursor for event in await records.events(limit=10_000)]
