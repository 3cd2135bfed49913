import random
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import anyio
from fakes import Answer, Silence, SpiedStore
from structlog.testing import capture_logs
from virtual import VirtualClock
from worlds import Polling, log_of, turning

from watcher.core.errors import StaleWatchError
from watcher.core.model import Ending
from watcher.core.wire import Fault, NoAnswer


async def test_watches_that_were_never_seen_are_asked_at_once_in_order(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, d7={"burst": 1, "rate": 10, "concurrency": 4})
    operations = [f"op-{number}" for number in range(20)]
    await world.follow(*operations)

    await world.run(seconds=1.95)

    assert [sent.last for sent in world.transport.sent] == operations
    assert world.transport.times("op-0") == [0.0]


async def test_a_watch_is_never_in_flight_twice(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, d7={"poll": {"min": "1s", "max": "1s"}})
    await world.follow("slow", "quick")
    world.transport.script("slow", log_of("slow", "sent", takes=7))

    await world.run(seconds=30)

    assert world.transport.most_in_flight["slow"] == 1
    assert world.transport.times("slow") == [0.0, 8.0, 16.0, 24.0]
    assert len(world.transport.times("quick")) == 30


async def test_no_more_polls_are_in_flight_than_the_section_allows(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, d7={"concurrency": 3, "grace": "1h"})
    await world.follow(*(f"op-{number}" for number in range(20)))
    for number in range(20):
        world.transport.script(f"op-{number}", Answer(404, takes=1.0))

    await world.run(seconds=10)

    assert world.transport.most_in_flight[""] == 3
    assert len(world.transport.sent) == 30


async def test_an_unchanged_body_costs_no_call_of_the_store_and_is_not_parsed(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    async with world.polling():
        await anyio.sleep(1)
        calls = store.calls.copy()
        await anyio.sleep(58)

    assert len(world.transport.sent) == 30
    assert store.calls - calls == Counter()
    assert world.providers["d7"].parsed == ["op"]


async def test_a_changed_body_costs_one_commit(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    world.transport.script("op", log_of("op", "sent"), log_of("op", "sent"), log_of("op", "delivered"))

    async with world.polling():
        await anyio.sleep(3)
        assert store.calls["commit"] == 1
        await anyio.sleep(60)

    assert store.calls["commit"] == 2
    assert len(world.transport.sent) == 3
    watch = await store.watch("uid-op")
    assert watch is not None
    assert (watch.ending, watch.sequence) == (Ending.SUCCEEDED, 5)  # message and status, twice, and the end


async def test_a_change_whose_commit_failed_is_read_again_and_told_once(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    store.fail("commit", times=2)

    with capture_logs() as logs:
        await world.run(seconds=9)

    assert world.transport.times("op") == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert world.providers["d7"].parsed == ["op"] * 3
    assert store.calls["commit"] == 3
    watch = await store.watch("uid-op")
    assert watch is not None
    assert watch.sequence == 2
    assert [line["event"] for line in logs if line["log_level"] != "debug"] == ["store.slow", "watch.changed"]


async def test_a_watch_that_could_not_be_read_is_polled_again(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    store.fail("watch")

    await world.run(seconds=3)

    assert world.transport.times("op") == [0.0, 2.0]
    assert store.calls["commit"] == 1


async def test_a_step_of_a_watch_that_ended_meanwhile_is_dropped(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    store.fail("commit", error=StaleWatchError("watch op is not what it was when the step was made"))

    with capture_logs() as logs:
        async with world.polling():
            await anyio.sleep(1)
            world.pollers["d7"].end(world.watch("op"))
            await anyio.sleep(60)

    assert world.transport.times("op") == [0.0]
    assert [line["event"] for line in logs if line["log_level"] != "debug"] == []


async def test_a_bug_that_one_watch_meets_stays_with_that_watch(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, d7={"concurrency": 1})
    await world.follow("buggy", "sound")

    with capture_logs() as logs:
        await world.run(seconds=61)

    assert world.transport.times("buggy") == [0.0, 60.0]
    assert world.transport.times("sound") == [float(second) for second in range(0, 61, 2)]
    faults = [line for line in logs if line["event"] == "daemon.fault"]
    assert faults == [
        {"event": "daemon.fault", "log_level": "error", "exc_info": True, "provider": "d7", "watch": "buggy"}
    ] * len(world.transport.times("buggy"))


async def test_a_throttled_provider_is_left_alone_until_retry_after_and_the_others_are_not(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock, d7={}, other={})
    await world.follow("throttled", "waiting")
    await world.follow("elsewhere", provider="other")
    limit = Answer(429, headers={"retry-after": "120"}, takes=0.5)
    world.transport.script("throttled", limit, log_of("throttled", "sent"))

    with capture_logs() as logs:
        await world.run(seconds=122)

    assert world.transport.times("throttled") == [0.0, 120.5]
    assert world.transport.times("waiting") == [0.0, 120.5]  # in flight when the limit came
    assert world.transport.times("elsewhere") == [float(second) for second in range(0, 122, 2)]
    assert [line for line in logs if line["event"] == "provider.throttled"] == [
        {"event": "provider.throttled", "log_level": "warning", "provider": "d7", "status": 429, "wait_s": 120.0}
    ]


async def test_a_pause_of_a_whole_day_is_told_as_such(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    world.transport.script("op", Answer(429, headers={"retry-after": "86400"}))

    with capture_logs() as logs:
        await world.run(seconds=1)

    assert [line["wait_s"] for line in logs if line["event"] == "provider.throttled"] == [86400.0]


async def test_the_last_poll_is_at_the_deadline_and_ends_the_watch_as_expired(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock, d7={"poll": {"min": "2s", "max": "5m", "mode": "backoff"}})
    await world.follow("op", deadline=timedelta(hours=1))

    await world.run(seconds=3 * 3600)

    assert world.transport.times("op")[-1] == 3600.0
    watch = await store.watch("uid-op")
    assert watch is not None
    assert watch.ending is Ending.EXPIRED


async def test_a_watch_that_has_not_answered_is_asked_more_and_more_slowly(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock, d7={"poll": {"min": "1s", "max": "20s"}})
    await world.follow("op", *(f"sound-{number}" for number in range(9)))  # so that it is not the provider that is down
    world.transport.script("op", Silence(NoAnswer(Fault.CONNECTION, "refused")))

    await world.run(seconds=300)

    times = world.transport.times("op")
    waits = [after - before for before, after in pairwise(times)]
    assert all(0.9 * due <= wait <= 1.1 * due for due, wait in zip((1, 2, 4, 8, 16), waits, strict=False))
    assert all(17.99 <= wait <= 20.01 for wait in waits[5:])


async def test_a_word_that_nobody_knows_is_told_once(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("a", "b")
    world.transport.script("a", log_of("a", "dreaming"))
    world.transport.script("b", log_of("b", "dreaming"))

    with capture_logs() as logs:
        await world.run(seconds=10)

    assert [line for line in logs if line["event"] == "status.unknown"] == [
        {"event": "status.unknown", "log_level": "warning", "provider": "d7", "status": "dreaming"}
    ]


async def test_watches_that_were_seen_are_asked_also_where_no_run_lasts_as_long_as_their_pace(
    store: SpiedStore, clock: VirtualClock
) -> None:
    random.seed(1)  # which of them is asked in a run is chance
    names, section = [f"op-{number}" for number in range(20)], {"poll": {"min": "2s", "max": "60s"}}
    first = Polling(store, clock, d7=section)
    await first.follow(*names)
    await first.run(seconds=3600)  # so quiet that their pace is all of `max`

    asked: Counter[str] = Counter()
    for _ in range(60):
        world = Polling(store, clock, d7=section)
        await world.run(seconds=20)
        asked.update(sent.last for sent in world.transport.sent)

    assert sorted(asked) == sorted(names)
    assert min(asked.values()) >= 60 * 20 / 60 / 2
    assert max(asked.values()) <= 60 * 20 / 60 * 2


async def test_stopping_finishes_the_polls_in_flight_and_begins_none(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, d7={"concurrency": 2})
    await world.follow("a", "b", "c")
    for operation in "abc":
        world.transport.script(operation, log_of(operation, "sent", takes=5))

    await world.run(seconds=1)

    assert sorted(sent.last for sent in world.transport.sent) == ["a", "b"]
    assert clock.monotonic() - 1000 > 5
    assert store.calls["commit"] == 2


async def test_a_poller_turns_while_it_has_nothing_to_do(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    poller = world.pollers["d7"]
    async with turning(poller):
        await anyio.sleep(3600)
        assert poller.is_turning
    await anyio.sleep(3600)
    assert not poller.is_turning
