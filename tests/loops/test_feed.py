from datetime import timedelta

import anyio
from fakes import SpiedStore
from structlog.testing import capture_logs
from virtual import VirtualClock
from worlds import Polling, cancel, log_of, turning

from watcher.core.errors import StaleWatchError
from watcher.core.intent import Switch
from watcher.core.model import Ending, Watch


async def stored(store: SpiedStore, id: str) -> Watch:
    watch = await store.watch(f"uid-{id}")
    assert watch is not None
    return watch


async def test_open_watches_are_loaded_in_pages_and_only_once(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    operations = [f"op-{number}" for number in range(2500)]
    await world.follow(*operations)

    assert await world.feed.load() == 2500
    assert await world.feed.load() == 0


async def test_a_deadline_that_passed_while_nobody_ran_gets_one_last_poll(
    store: SpiedStore, clock: VirtualClock
) -> None:
    before = Polling(store, clock, d7={"poll": {"min": "2s", "max": "10m"}})
    await before.follow("seen", "unseen", deadline=timedelta(hours=1))
    await before.follow("done", deadline=timedelta(hours=1))
    before.transport.script("unseen", log_of("another", "sent"))
    await before.run(seconds=60)
    await anyio.sleep(3 * 3600)

    after = Polling(store, clock, d7={"poll": {"min": "2s", "max": "10m"}})
    after.transport.script("done", log_of("done", "delivered"))
    began = clock.monotonic() - 1000
    await after.run(seconds=60)

    assert [round(time - began, 1) for time in after.transport.times("unseen")] == [0.0]
    assert [round(time - began, 1) for time in after.transport.times("seen")] == [2.0]
    assert [(await stored(store, each)).ending for each in ("seen", "unseen", "done")] == [
        Ending.EXPIRED,
        Ending.EXPIRED,
        Ending.SUCCEEDED,
    ]


async def test_a_watch_that_somebody_else_stored_is_polled_within_a_second(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    async with turning(*world.loops):
        for number in range(20):
            await anyio.sleep(1.37)
            await world.follow(f"op-{number}")
            stored_at = clock.monotonic() - 1000
            await anyio.sleep(1)
            (asked_at,) = world.transport.times(f"op-{number}")
            assert asked_at - stored_at <= 1


async def test_a_ring_of_its_bell_makes_the_feed_look_at_once(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    async with turning(*world.loops):
        await anyio.sleep(1.1)
        await world.follow("op")
        world.feed.bell.ring()
        await anyio.sleep(0.01)
        assert world.transport.times("op") == [1.1]


async def test_a_cancellation_is_carried_out_within_a_second_and_the_watch_not_polled_any_more(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await world.follow("op", "other")
    async with turning(*world.loops):
        await anyio.sleep(10.9)
        await cancel(store, "op")
        await anyio.sleep(1)
        assert (await stored(store, "op")).ending is Ending.CANCELLED
        polls = len(world.transport.times("op"))
        await anyio.sleep(60)

    assert len(world.transport.times("op")) == polls
    assert len(world.transport.times("other")) == 36
    assert await store.intents() == []


async def test_a_cancellation_is_carried_out_while_the_poll_is_in_flight_and_what_that_brings_is_dropped(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    world.transport.script("op", log_of("op", "sent", takes=5))
    with capture_logs() as logs:
        async with turning(*world.loops):
            await anyio.sleep(1)
            await cancel(store, "op")
            await anyio.sleep(1)
            assert (await stored(store, "op")).ending is Ending.CANCELLED
            await anyio.sleep(60)

    watch = await stored(store, "op")
    assert (watch.ending, watch.sequence, watch.snapshot) == (Ending.CANCELLED, 1, None)
    assert len(world.transport.sent) == 1
    assert [line["event"] for line in logs if line["log_level"] != "debug"] == ["watch.finished"]


async def test_a_cancellation_between_reading_a_watch_and_committing_its_step_wins_once(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    async with turning(*world.loops):
        await anyio.sleep(1)
        store.slow["watch"] = 0.3
        world.transport.script("op", log_of("op", "delivered"))
        await anyio.sleep(0.9)
        await cancel(store, "op")
        world.feed.bell.ring()
        await anyio.sleep(60)

    watch = await stored(store, "op")
    assert (watch.ending, watch.sequence) == (Ending.CANCELLED, 3)
    assert await store.intents() == []


async def test_a_watch_that_is_cancelled_as_soon_as_it_is_stored_is_ended_and_forgotten(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    async with turning(*world.loops):
        for number in range(10):
            await world.follow(f"op-{number}")
            await cancel(store, f"op-{number}")
            await anyio.sleep(1)
            assert (await stored(store, f"op-{number}")).ending is Ending.CANCELLED
        await anyio.sleep(10)

    agenda = world.pollers["d7"]._rota._agenda
    assert (len(agenda), len(agenda._dropped)) == (0, 0)


async def test_cancelling_many_takes_no_turn_from_those_that_go_on(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, d7={"rate": 1, "burst": 1})
    cancelled = [f"op-{number}" for number in range(500)]
    await world.follow(*cancelled, "going-on")
    await cancel(store, *cancelled)
    async with turning(*world.loops):
        await anyio.sleep(5)

    assert world.transport.times("going-on") != []
    assert len({sent.last for sent in world.transport.sent} - {"going-on"}) <= 1


async def test_a_store_that_fails_for_a_while_delays_the_feed_and_ends_nothing(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await world.follow("op", "ended")
    store.fail("load", times=3)
    store.fail("intents", times=2)
    await cancel(store, "ended")
    async with turning(*world.loops):
        await anyio.sleep(5)

    assert world.transport.times("op") == [2.5, 4.5]
    assert (await stored(store, "ended")).ending is Ending.CANCELLED


async def test_one_cancellation_that_cannot_be_written_holds_up_no_other(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await world.follow("a", "b", "c")
    await cancel(store, "a", "b", "c")
    store.fail("commit")
    async with turning(world.feed):
        await anyio.sleep(0.1)
        assert [(await stored(store, each)).ending for each in "abc"].count(None) == 1
        await anyio.sleep(0.5)
    assert [(await stored(store, each)).ending for each in "abc"] == [Ending.CANCELLED] * 3


async def test_a_cancellation_that_a_poll_outran_is_tried_again_at_once(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    await cancel(store, "op")
    store.fail("commit", error=StaleWatchError("watch op is not what it was when the step was made"))
    async with turning(world.feed):
        await anyio.sleep(0.1)
        assert (await stored(store, "op")).ending is Ending.CANCELLED


async def test_watches_of_a_provider_without_a_section_wait_and_that_is_told_once(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await world.follow("a", "b", provider="removed")
    await world.follow("c")
    with capture_logs() as logs:
        async with turning(*world.loops):
            await anyio.sleep(5)
            await world.follow("d", provider="removed")
            await anyio.sleep(5)

    assert {sent.last for sent in world.transport.sent} == {"c"}
    assert [line for line in logs if line["event"] == "provider.down"] == [
        {
            "event": "provider.down",
            "log_level": "warning",
            "provider": "removed",
            "reason": "no such section: its watches wait",
        }
    ]
    assert (await stored(store, "a")).ending is None


async def test_the_feed_turns_while_there_is_nothing_new(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    async with turning(world.feed):
        await anyio.sleep(300)
        assert world.feed.is_turning
    await anyio.sleep(300)
    assert not world.feed.is_turning


async def test_of_two_switches_the_last_word_holds_also_where_the_first_one_failed(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await store.endpoint("ops", ordered=True)
    for on in (False, True):
        await store.want(Switch(0, "ops", on=on))
    store.fail("done", times=1)
    async with turning(world.feed):
        await anyio.sleep(3)
    assert ((await store.endpoint("ops", ordered=True)).disabled, await store.intents()) == (None, [])


async def test_a_cancellation_does_not_wait_until_no_watch_comes_any_more(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await world.follow("cancelled")
    store.slow["load"] = 0.02

    async def come() -> None:
        for number in range(200):
            await world.follow(f"new-{number}")
            await anyio.sleep(0.015)

    async with turning(*world.loops), anyio.create_task_group() as coming:
        await anyio.sleep(1)
        coming.start_soon(come)
        await anyio.sleep(0.5)
        await cancel(store, "cancelled")
        await anyio.sleep(1)
        assert (await stored(store, "cancelled")).ending is Ending.CANCELLED
        await anyio.sleep(2)
    assert (len({sent.last for sent in world.transport.sent}), world.feed.open) == (201, 200)
