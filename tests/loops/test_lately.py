"""What a running poller can say of one watch: when it is asked next, and what it was answered last."""

from datetime import timedelta

import anyio
import pytest
from fakes import Answer, Silence, SpiedStore
from virtual import START, VirtualClock
from worlds import Polling, log_of

from watcher import lately
from watcher.core.model import Reason
from watcher.core.wire import Fault, NoAnswer
from watcher.lately import LastAnswer, Outlook

SLOW = {"rate": 0.1, "burst": 1, "concurrency": 1}


def seconds(outlook: Outlook) -> float | None:
    """Say in how many seconds of the test a watch is due."""
    return None if outlook.due_at is None else round((outlook.due_at - START).total_seconds(), 3)


async def test_it_says_when_a_watch_is_due_and_what_it_was_answered(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    async with world.polling():
        await anyio.sleep(5)
        told = world.pollers["d7"].outlook("uid-op")
    body = log_of("op", "sent").body
    assert seconds(told) == 6
    assert told.last_answer is not None
    assert round((told.last_answer.at - START).total_seconds(), 3) == 4
    assert told == Outlook(
        told.due_at, ahead=0, last_answer=LastAnswer(told.last_answer.at, "unchanged", 200, None, body, is_whole=True)
    )


async def test_a_watch_that_is_in_flight_has_no_time(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    world.transport.script("op", log_of("op", "sent", takes=5))
    async with world.polling():
        await anyio.sleep(2)
        told = world.pollers["d7"].outlook("uid-op")
        await anyio.sleep(4)
        later = world.pollers["d7"].outlook("uid-op")
    assert told == Outlook(in_flight=True)
    assert (later.in_flight, seconds(later)) == (False, 7)


async def test_watches_that_wait_their_turn_are_told_who_is_before_them_and_when_the_rate_allows(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock, d7=SLOW)
    await world.follow("a", "b", "c")
    async with world.polling():
        await anyio.sleep(4)
        told = [world.pollers["d7"].outlook(f"uid-{name}") for name in "bc"]
    assert [(seconds(one), one.ahead, one.last_answer) for one in told] == [(0, 0, None), (0, 1, None)]
    assert told[0].provider_free_at is not None
    assert round((told[0].provider_free_at - START).total_seconds(), 3) == 10


async def test_failures_are_counted_with_what_came_instead_of_an_answer(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("gone", "op")
    world.transport.script("gone", Silence(NoAnswer(Fault.TIMEOUT, "no whole answer in time")))
    world.transport.script("op", Answer(500, b"x" * 5000))
    async with world.polling():
        await anyio.sleep(1)
        told = [world.pollers["d7"].outlook(f"uid-{name}") for name in ("gone", "op")]
    assert [one.failures for one in told] == [1, 1]
    silent, failed = (one.last_answer for one in told)
    assert silent is not None
    assert failed is not None
    assert silent == LastAnswer(silent.at, "broken", None, "no whole answer in time", b"", is_whole=True)
    assert failed == LastAnswer(failed.at, "broken", 500, failed.detail, b"x" * 2048, is_whole=False)


async def test_a_pause_and_an_outage_of_the_provider_are_told(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, paused={}, down={"concurrency": 1})
    await world.follow("busy", provider="paused")
    await world.follow(*(f"op-{number}" for number in range(5)), provider="down")
    world.transport.script("busy", Answer(429, headers={"retry-after": "600"}))
    for number in range(5):
        world.transport.script(f"op-{number}", Answer(502))
    async with world.polling():
        await anyio.sleep(1)
        paused = world.pollers["paused"].outlook("uid-busy")
        down = world.pollers["down"].outlook("uid-op-0")
    assert paused.paused_until is not None
    assert timedelta(seconds=599) < paused.paused_until - START < timedelta(seconds=601)
    assert paused.provider_free_at is not None
    assert paused.provider_free_at >= paused.paused_until
    assert (paused.down, down.down, down.paused_until) == (None, Reason.SERVER_ERROR, None)
    assert down.provider_free_at is not None


async def test_only_the_latest_answers_are_kept(
    store: SpiedStore, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lately, "MOST_ANSWERS", 3)
    world = Polling(store, clock, d7={"concurrency": 1, "poll": {"min": "1h", "max": "1h"}})
    operations = [f"op-{number}" for number in range(5)]
    await world.follow(*operations)
    await world.run(seconds=5)
    kept = [name for name in operations if world.pollers["d7"].outlook(f"uid-{name}").last_answer]
    assert kept == ["op-2", "op-3", "op-4"]


async def test_a_watch_that_is_not_polled_has_no_outlook(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    async with world.polling():
        await anyio.sleep(1)
        watch = await store.watch("uid-op")
        assert watch is not None
        world.pollers["d7"].end(watch)
        assert world.pollers["d7"].outlook("uid-op").due_at is None
        assert world.pollers["d7"].outlook("uid-nobody") == Outlook()
