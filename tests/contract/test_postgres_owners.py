"""What is PostgreSQL's own, where several workers share it: each writes and reads what it holds, and nobody else."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from store_values import (
    LATER,
    NOON,
    PostgresBackend,
    a_step,
    a_watch,
    added,
    arrival,
    cancellation,
    heads_of,
    refusal,
    settled,
    told,
    waiting,
)
from workers import SOME, as_held_by, in_balance, split, two

from watcher.core.delivery import Decision
from watcher.core.endpoint import Endpoint
from watcher.core.errors import LeaseLostError, StaleWatchError
from watcher.core.event import provider_changed
from watcher.core.intent import Cancel, Switch
from watcher.core.lease import SHARDS, shard_of
from watcher.core.model import Condition, Reason
from watcher.stores.postgres import PostgresStore


@pytest.fixture
async def backend() -> AsyncIterator[PostgresBackend]:
    one = PostgresBackend()
    yield one
    await one.close()


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
        one.done(Switch(1, "ops", on=True), Endpoint("ops", section="one"), now=NOON),
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


async def test_a_worker_hastens_what_it_holds(backend: PostgresBackend) -> None:
    one, other = await backend.store("one"), await backend.store("other")
    await one.lease()
    for watch in await added(one, *SOME):
        await told(one, watch, events=1)
    await one.settle([settled(head, Decision.RETRY, next_at=LATER) for head in await waiting(one)])
    await other.lease()
    await in_balance([one, other])
    await one.hasten("ops", now=NOON, waits=[timedelta(0)], order_wait=timedelta(0))
    assert {head.due_at for head in await waiting(one)} == {NOON}
    assert {head.due_at for head in await waiting(other)} == {LATER}


async def test_a_pause_that_was_told_by_a_clock_that_was_ahead_gives_way(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    ahead, hour = NOON + timedelta(hours=1), timedelta(hours=1)
    await one.pause(Condition("d7", uid="uid", paused_at=ahead, paused_until=ahead + hour))
    right = Condition("d7", uid="uid", paused_at=NOON, paused_until=NOON + timedelta(minutes=10))
    await other.pause(right)
    assert await one.conditions() == [right]


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
    assert (await one.intents(limit=1), await other.intents(limit=1)) == ([cancel], [others])


async def test_what_is_known_of_a_webhook_is_known_to_all(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    await one.endpoint("ops", ordered=True)
    await one.settle([], endpoint=Endpoint("ops", section="changed"))
    assert await other.endpoints() == [Endpoint("ops", section="changed")]


async def test_each_worker_counts_what_waits_in_its_shards_so_that_the_sum_is_all_of_it(
    backend: PostgresBackend,
) -> None:
    one, other = await two(backend)
    for watch in await added(one, *SOME):
        store = one if shard_of(watch.uid) in one._epochs else other
        await told(store, await as_held_by(store, watch), events=2)
    counted = [(await store.backlog())["ops"].waiting for store in (one, other)]
    assert (sum(counted), min(counted) > 0) == (40, True)


async def test_one_of_the_workers_forgets_what_is_old(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    await one.add([refusal("no JSON")])
    later = datetime.now(UTC) + timedelta(hours=1)
    pruned = [(await store.prune(before=later, ids_before=NOON, limit=10)).rows for store in (other, one, other)]
    assert pruned == [0, 1, 0]


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
