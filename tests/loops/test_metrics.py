"""What is done moves these samples by so much, and no other. In virtual time; metrics of a process only ever add up."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

import anyio
import orjson
import pytest
from fakes import Answer, ScriptedSource, Silence, SpiedStore
from scraping import moved, only, sample, samples
from store_values import a_step, a_watch
from virtual import VirtualClock, VirtualLoop
from worlds import SECTION, Polling, cancel, log_of, take_in, turning

from watcher import metrics
from watcher.bell import Bell
from watcher.core.model import Ending
from watcher.core.wire import Fault, NoAnswer
from watcher.intake import Desk, Intake
from watcher.ports import Batch, Item
from watcher.providers.d7 import D7
from watcher.providers.http import Http

Moves: TypeAlias = Mapping[str, float]


def scraped(world: Polling) -> dict[str, float]:
    return samples(world.feed, *world.pollers.values())


# --- polls ------------------------------------------------------------------------------------------------------


def polled(**outcomes: int) -> Moves:
    """What polls of `d7` move that begin when they are due and take no time."""
    polls = {sample("watcher_polls_total", provider="d7", outcome=word): number for word, number in outcomes.items()}
    number = sum(outcomes.values())
    return polls | {
        sample("watcher_poll_seconds_count", provider="d7"): number,
        sample("watcher_poll_lag_seconds_count", provider="d7"): number,
    }


def took(seconds: float) -> Moves:
    return {sample("watcher_poll_seconds_sum", provider="d7"): seconds}


def watches(**states: int) -> Moves:
    return {sample("watcher_watches", provider="d7", state=state): number for state, number in states.items()}


def told(*kinds: str, provider: str = "d7") -> Moves:
    return {sample("watcher_events_total", provider=provider, type=kind): 1 for kind in kinds}


MESSAGE, STATUS, FINISHED = "message.status.changed", "watch.status.changed", "watch.finished"
ONE_POLL: dict[str, tuple[Answer | Silence, Moves]] = {
    "something new": (
        log_of("op", "sent", takes=0.25),
        {**polled(changed=1), **took(0.25), **watches(in_progress=1), **told(MESSAGE, STATUS)},
    ),
    "the end": (log_of("op", "delivered"), {**polled(changed=1), **told(MESSAGE, STATUS, FINISHED)}),
    "missing": (Answer(404), {**polled(missing=1), **watches(pending=1)}),
    "throttled": (Answer(429), {**polled(throttled=1), **watches(pending=1)}),
    "denied": (Answer(403), {**polled(denied=1), **watches(pending=1), **told("watch.trouble")}),
    "refused": (Answer(400), {**polled(refused=1), **watches(pending=1), **told("watch.trouble")}),
    "broken": (Answer(500, takes=1.5), {**polled(broken=1), **took(1.5), **watches(pending=1)}),
    "no answer": (Silence(NoAnswer(Fault.TIMEOUT, "none")), {**polled(broken=1), **watches(pending=1)}),
}


@pytest.mark.parametrize(("answer", "moves"), ONE_POLL.values(), ids=ONE_POLL)
async def test_a_poll_counts_by_what_it_brought(
    store: SpiedStore, clock: VirtualClock, answer: Answer | Silence, moves: Moves
) -> None:
    world = Polling(store, clock)
    world.transport.script("op", answer)
    await world.follow("op")
    before = scraped(world)
    await world.run(seconds=1.9)
    assert moved(before, scraped(world)) == moves


async def test_the_same_bytes_and_the_same_meaning_are_unchanged(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    sent = log_of("op", "sent")
    world.transport.script("op", sent, sent, replace(sent, body=sent.body + b" "))
    await world.follow("op")
    before = scraped(world)
    await world.run(seconds=5)
    expected = {**polled(changed=1, unchanged=2), **watches(in_progress=1), **told(MESSAGE, STATUS)}
    assert moved(before, scraped(world)) == expected


async def test_a_change_that_could_not_be_stored_counts_when_it_is(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    store.fail("commit")
    before = scraped(world)
    async with world.polling():
        await anyio.sleep(1)
        between = scraped(world)
        await anyio.sleep(2)
    assert moved(before, between) == {**polled(unchanged=1), **watches(pending=1)}
    expected = {**polled(changed=1), **watches(pending=-1, in_progress=1), **told(MESSAGE, STATUS)}
    assert moved(between, scraped(world)) == expected


async def test_lag_is_how_late_a_poll_begins(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, d7={"rate": 2, "burst": 1})
    await world.follow("a", "b", "c")
    before = scraped(world)
    await world.run(seconds=1.9)
    after = moved(before, scraped(world))
    assert after[sample("watcher_poll_lag_seconds_count", provider="d7")] == 3
    assert after[sample("watcher_poll_lag_seconds_sum", provider="d7")] == 0 + 0.5 + 1


async def test_oldest_due_grows_while_nobody_may_ask(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, d7={"rate": 2, "burst": 1})
    world.transport.script("a", Answer(429, headers={"retry-after": "60"}))
    await world.follow("a", "b")
    oldest = []
    async with world.polling():
        for _ in range(3):
            oldest.append(round(scraped(world)[sample("watcher_oldest_due_seconds", provider="d7")], 3))
            await anyio.sleep(20)
    assert oldest == [0, 20, 40]


async def test_a_whole_provider_that_goes_down_is_counted_as_an_event(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    names = [f"op-{number}" for number in range(8)]
    for name in names:
        world.transport.script(name, Answer(503))
    await world.follow(*names)
    before = scraped(world)
    await world.run(seconds=30)
    assert only("watcher_events_total", moved(before, scraped(world)).items()) == told("provider.down")


# --- watches ----------------------------------------------------------------------------------------------------


async def test_open_watches_are_known_by_state_from_the_first_scrape_after_a_restart(
    store: SpiedStore, clock: VirtualClock
) -> None:
    first = Polling(store, clock)
    await first.follow("going", "new", "ended")
    first.transport.script("new", Answer(404))
    first.transport.script("ended", log_of("ended", "delivered"))
    await first.run(seconds=1)

    again = Polling(store, clock)
    await again.feed.load()
    assert only("watcher_watches", scraped(again).items()) == watches(pending=1, in_progress=1)


async def test_a_watch_that_is_cancelled_or_expires_is_open_no_more(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock)
    await world.follow("cancelled")
    await world.follow("expired", deadline=timedelta(seconds=3))
    async with turning(*world.loops):
        await anyio.sleep(1)
        assert only("watcher_watches", scraped(world).items()) == watches(pending=0, in_progress=2)
        await cancel(store, "cancelled")
        await anyio.sleep(10)
    assert only("watcher_watches", scraped(world).items()) == watches(pending=0, in_progress=0)


async def test_a_watch_that_expires_while_nobody_may_ask_is_open_no_more(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    world.transport.script("a", Answer(429, headers={"retry-after": "600"}))
    world.transport.script("b", Answer(429, headers={"retry-after": "600"}))
    await world.follow("a")
    await world.follow("b", deadline=timedelta(minutes=1))
    await world.run(seconds=100)
    assert only("watcher_watches", scraped(world).items()) == watches(pending=1, in_progress=0)


async def test_a_watch_whose_end_was_stored_and_not_told_is_open_no_more(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await world.follow("op")
    async with world.polling():
        await anyio.sleep(1)
        watch = await store.watch("uid-op")
        assert watch is not None
        assert await store.commit([a_step(watch, ending=Ending.SUCCEEDED)]) == [None]
        world.transport.script("op", log_of("op", "delivered"))
        await anyio.sleep(10)
    assert only("watcher_watches", scraped(world).items()) == watches(pending=0, in_progress=0)


async def test_a_status_that_got_another_state_in_the_configuration_counts_as_it_is_on_disk(
    store: SpiedStore, clock: VirtualClock
) -> None:
    for state in ("pending", "in_progress"):
        world = Polling(store, clock)
        jobs = {"url": "https://jobs.example/{request_id}", "status": "status", "states": {"busy": state}}
        world.pollers["d7"]._asker._provider = Http.model_validate(jobs | {"poll": SECTION["poll"]})
        world.transport.script("op", Answer(200, b'{"status": "busy"}'))
        await world.follow("op")
        async with turning(*world.loops):
            await anyio.sleep(10)
            assert only("watcher_watches", scraped(world).items()) == watches(pending=1, in_progress=0)
            if state == "in_progress":
                await cancel(store, "op")
                await anyio.sleep(5)
    assert only("watcher_watches", scraped(world).items()) == watches(pending=0, in_progress=0)


async def test_watches_and_events_of_a_section_that_is_gone_go_under_one_name(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await world.follow("a", "b", provider="section-that-is-gone")
    waiting = sample("watcher_watches", provider="unknown", state="pending")
    await world.feed.load()
    before = scraped(world)
    assert before[waiting] == 2

    async with turning(world.feed):
        await cancel(store, "a")
        await anyio.sleep(2)
    assert moved(before, scraped(world)) == {waiting: -1, **told(FINISHED, provider="unknown")}
    assert "section-that-is-gone" not in metrics.text([world.feed]).decode()


# --- requests, the store, the loop ------------------------------------------------------------------------------


def request(id: str, operation: str = "9d056a09") -> bytes:
    return orjson.dumps({"id": id, "provider": "d7", "params": {"request_id": operation}})


async def test_requests_count_by_what_became_of_them(store: SpiedStore, clock: VirtualClock) -> None:
    raws = [request("a"), request("b"), request("a"), request("a", "another"), b"rubbish"]
    raws += [b'{"cancel": "a"}', b'{"cancel": "nobody"}', b'{"cancel": "nobody else"}']
    source = ScriptedSource()
    source.push(Batch(tuple(Item(raw, f"watches.jsonl:{line}") for line, raw in enumerate(raws, start=1))))
    source.end()
    desk = Desk({"d7": D7.model_validate(SECTION)}, frozenset(), clock)
    intake = Intake("inbox", source, desk=desk, store=store, feed=Bell())
    before = samples()
    await intake.run()

    results = {"new": 2, "known": 1, "conflict": 1, "rejected": 1, "cancelling": 1, "unknown": 2}
    names = {sample("watcher_requests_total", source="inbox", result=word): n for word, n in results.items()}
    assert moved(before, samples()) == names
    assert names.keys() <= before.keys()


async def test_each_writing_transaction_of_the_store_is_timed_and_no_reading_one(store: SpiedStore) -> None:
    count = "watcher_store_commit_seconds_count"
    before = samples()[count]
    await take_in(store, [a_watch()])
    watch = await store.watch(a_watch().uid)
    assert watch is not None
    await store.commit([a_step(watch)])
    assert samples()[count] - before == 2


async def test_the_loop_lags_as_long_as_it_is_held_up(clock: VirtualClock) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    before = samples()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(metrics.measure_loop_lag, clock)
        await anyio.sleep(1.05)
        loop._jumps.now += 0.5
        await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    after, name = samples(), "watcher_loop_lag_seconds"
    assert after[f"{name}_count"] - before[f"{name}_count"] == 11
    assert after[f"{name}_sum"] - before[f"{name}_sum"] == pytest.approx(0.45)
