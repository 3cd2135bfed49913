"""Keeping a lease, taking shards over and handing them over: what is polled and sent goes by it."""

from dataclasses import replace

import anyio
import pytest
from structlog.testing import capture_logs
from tenures import LASTS, UIDS, World, at_work, lease
from virtual import VirtualClock

from watcher.core.endpoint import Endpoint
from watcher.core.errors import LeaseLostError, StoreError
from watcher.core.lease import SHARDS, Lease, News
from watcher.tenure import CALM, LOOK_EVERY


async def test_what_is_held_from_the_start_is_not_loaded_again(clock: VirtualClock) -> None:
    async with at_work(lease(1, 2), clock=clock) as world:
        await anyio.sleep(5)
        assert (world.held(1, 2, 3), world.hold.share, world.loaded) == ([True, True, False], 2 / SHARDS, [])


async def test_shards_that_come_are_loaded_and_those_that_go_are_let_go_of(clock: VirtualClock) -> None:
    async with at_work(lease(1, 2), clock=clock) as world:
        world.store.lease = lease(2, 3, 4)
        with capture_logs() as lines:
            await anyio.sleep(1)
        assert (world.held(1, 2, 3, 4), world.loaded) == ([False, True, True, True], [[3, 4]])
        assert [(line["event"], line.get("shards")) for line in lines] == [("lease.lost", 1)]


async def test_a_shard_that_was_somebody_elses_meanwhile_is_loaded_anew(clock: VirtualClock) -> None:
    async with at_work(lease(1, 2), clock=clock) as world:
        world.store.lease = Lease({1: 1, 2: 3}, lasts=LASTS)
        await anyio.sleep(1)
        assert (world.held(1, 2), world.loaded) == ([True, True], [[2]])


async def test_what_others_want_is_handed_over_once_nothing_of_it_is_in_flight(clock: VirtualClock) -> None:
    async with at_work(lease(1, 2), clock=clock) as world:
        world.loop.leaving = frozenset({UIDS[2]})
        world.store.lease = lease(1, 2, wanted={2})
        with capture_logs() as lines:
            await anyio.sleep(2)
            assert (world.held(1, 2), world.hold.share, world.store.released) == ([True, False], 1 / SHARDS, [])
            world.loop.leaving = frozenset()
            await anyio.sleep(0.1)
        assert (world.store.released, lines) == ([frozenset({2})], [])


async def test_who_leaves_hands_over_at_once_what_is_not_in_flight_and_the_rest_when_it_is_not(
    clock: VirtualClock,
) -> None:
    async with at_work(lease(1, 2, 3), clock=clock) as world:
        world.loop.leaving = frozenset({UIDS[2]})
        world.tenure.leave()
        await anyio.sleep(0.2)
        assert (world.held(1, 2, 3), world.store.released) == ([False] * 3, [frozenset({1, 3})])
        world.loop.leaving = frozenset()
        await anyio.sleep(0.2)
        assert world.store.released == [frozenset({1, 3}), frozenset({2})]


async def test_what_hangs_holds_up_no_hand_over_for_long(clock: VirtualClock) -> None:
    async with at_work(lease(1, 2), clock=clock) as world:
        world.loop.leaving = frozenset({UIDS[2]})
        world.store.lease = lease(1, 2, wanted={2})
        await anyio.sleep(6)
        assert world.store.released == [frozenset({2})]


async def test_who_hears_nothing_of_the_store_stops_in_time_and_goes_on_after(clock: VirtualClock) -> None:
    async with at_work(lease(1), clock=clock) as world:
        good, world.store.lease = world.store.lease, StoreError("gone")
        valid: list[bool] = []
        with capture_logs() as lines:
            for seconds in (9.4, 1.0):
                await anyio.sleep(seconds)
                valid.append(world.hold.is_valid)
            before, world.store.lease = world.loop.followed, good
            await anyio.sleep(1)
            valid.append(world.hold.is_valid)
        assert (valid, world.loop.followed - before) == ([True, False, True], 1)
        assert [line["event"] for line in lines] == ["store.slow"]


async def test_shards_that_cannot_be_loaded_are_taken_once_more(clock: VirtualClock) -> None:
    async with at_work(lease(1), clock=clock) as world:
        world.loads_fail = 2
        world.store.lease = lease(1, 2)
        await anyio.sleep(3)
        assert (world.held(1, 2), world.loaded) == ([True, True], [[2]])


async def test_nothing_is_taken_over_while_pollers_change_nor_do_they_while_something_is(clock: VirtualClock) -> None:
    async with at_work(lease(1), clock=clock) as world:
        async with world.tenure.steady():
            world.store.lease = lease(1, 2)
            await anyio.sleep(5)
            assert (world.held(1, 2), world.loaded) == ([True, False], [])
        world.loads_take = 10
        await anyio.sleep(1)
        assert world.held(1, 2) == [True, True]
        async with world.tenure.steady():
            assert world.loaded == [[2]]


async def always_valid(world: World, *, seconds: int) -> bool:
    """Look every second whether anything may be polled."""
    valid = []
    for _ in range(seconds):
        await anyio.sleep(1)
        valid.append(world.hold.is_valid)
    return all(valid)


async def test_a_million_watches_take_long_to_load_and_the_lease_is_kept_meanwhile(clock: VirtualClock) -> None:
    async with at_work(lease(1), clock=clock) as world:
        world.loads_take = 60
        world.store.lease = lease(1, 2)
        assert await always_valid(world, seconds=59)
        assert (world.held(1, 2), world.loaded) == ([True, True], [])
        await anyio.sleep(2)
        assert world.loaded == [[2]]


async def test_a_store_that_takes_long_to_be_read_does_not_keep_the_lease_from_being_renewed(
    clock: VirtualClock,
) -> None:
    async with at_work(lease(1), clock=clock) as world:
        world.store.reads_take = 25
        assert await always_valid(world, seconds=60)
        assert len(world.learnt) == 2


async def test_a_store_that_cannot_be_read_is_told_once(clock: VirtualClock) -> None:
    async with at_work(lease(1), clock=clock) as world:
        world.store.is_readable = False
        with capture_logs() as lines:
            assert await always_valid(world, seconds=20)
        assert [line["event"] for line in lines] == ["store.slow"]


async def test_who_has_lost_everything_ends(clock: VirtualClock) -> None:
    world = World(lease(1), clock=clock)
    world.store.lease = LeaseLostError("another process has started as worker w")
    with capture_logs() as lines, pytest.raises(ExceptionGroup) as ended:
        await world.tenure.run()
    assert ended.group_contains(LeaseLostError)
    assert [line["event"] for line in lines] == ["lease.lost"]


# --- what others write --------------------------------------------------------------------------------------------


async def test_what_others_wrote_is_found_at_once_where_they_tell_of_it(clock: VirtualClock) -> None:
    async with at_work(lease(1), clock=clock) as world:
        await anyio.sleep(10.1)
        before = len(world.learnt)
        world.store.known = [Endpoint("ops", version=7)]
        world.store.tell(News.KNOWN, News.WANTED)
        await anyio.sleep(CALM)
        assert (world.learnt[before:], world.woken) == ([["ops"]], 1)
        world.store.lease = lease(1, 2)
        world.store.tell(News.SHARED)
        await anyio.sleep(CALM)
        assert (world.loaded, len(world.learnt) - before, world.woken) == ([[2]], 1, 1)


async def test_what_others_wrote_and_nobody_told_of_is_found_all_the_same_and_each_thing_once(
    clock: VirtualClock,
) -> None:
    async with at_work(lease(1), clock=clock) as world:
        await anyio.sleep(5)
        world.store.known = [Endpoint("ops", version=7), Endpoint("audit", version=8)]
        await anyio.sleep(2 * LOOK_EVERY)
        world.store.known[0] = Endpoint("ops", version=9)
        await anyio.sleep(2 * LOOK_EVERY)
        assert [names for names in world.learnt if names] == [["ops", "audit"], ["ops"]]


async def test_however_much_others_tell_of_they_are_listened_to_in_measure(clock: VirtualClock) -> None:
    async with at_work(lease(1), clock=clock) as world:
        for _ in range(1000):
            world.store.tell(News.WANTED)
            await anyio.sleep(0.001)
        assert world.woken <= 1 / CALM + 1


async def test_who_shares_with_nobody_asks_for_nothing_that_others_found_out(clock: VirtualClock) -> None:
    async with at_work(Lease({1: 1}), clock=clock) as world:
        await anyio.sleep(10)
        assert world.learnt == []


async def test_limits_are_divided_anew_when_somebody_joins_before_any_shard_is_theirs(clock: VirtualClock) -> None:
    async with at_work(lease(*range(SHARDS)), clock=clock) as world:
        await anyio.sleep(1)
        before, alone = world.loop.followed, world.hold.burst(5)
        world.store.lease = replace(lease(*range(SHARDS)), workers=3)
        await anyio.sleep(1)
        assert (world.loop.followed - before, alone, world.hold.burst(5)) == (1, 5, 3)


async def test_only_what_is_lost_is_to_be_looked_for_among_all_watches(clock: VirtualClock) -> None:
    async with at_work(lease(1, 2), clock=clock) as world:
        losses = []
        for held in (lease(1, 2, 3), lease(1, 2), lease(1, 2, epoch=2)):
            world.store.lease = held
            await anyio.sleep(1)
            losses.append(world.hold.losses)
        assert losses == [0, 1, 2]
