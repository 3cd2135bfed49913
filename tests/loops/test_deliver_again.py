from datetime import timedelta
from itertools import pairwise, product
from pathlib import Path

import anyio
import pytest
from fakes import Answer, SpiedStore
from outboxes import BAD, GOOD, Outbox
from structlog.testing import capture_logs
from virtual import EPOCH, VirtualClock
from worlds import turning

from watcher.core.wire import Request
from watcher.stores.sqlite_records import SqliteRecords

# --- retries ----------------------------------------------------------------------------------------------------


async def test_an_attempt_waits_as_the_schedule_says_and_up_to_a_fifth_longer(outbox: Outbox) -> None:
    schedule = {"5s": 5, "30s": 30, "2m": 120, "10m": 600}
    outbox.transport.script("ops", BAD)
    await outbox.tell("w")
    async with turning(await outbox.pump(retry=list(schedule))):
        await anyio.sleep(2000)

    times = outbox.transport.times("ops")
    assert times[0] == 0.0
    waits = [after - before for before, after in pairwise(times)]
    assert len(waits) == len(schedule)
    for wait, due in zip(waits, schedule.values(), strict=True):
        assert due - 0.001 <= wait <= due * 1.2 + 0.001


async def test_a_delivery_that_is_given_up_makes_way_for_the_next_of_its_watch(outbox: Outbox, tmp_path: Path) -> None:
    outbox.transport.script("ops", BAD, BAD, BAD, GOOD)
    await outbox.tell("w", events=2)
    with capture_logs() as logs:
        async with turning(await outbox.pump(retry=["1s", "1s"])):
            await anyio.sleep(10)

    assert outbox.received() == [("w", 1), ("w", 1), ("w", 1), ("w", 2)]
    assert [line["event"] for line in logs] == [*["delivery.attempted"] * 3, "delivery.exhausted", "delivery.attempted"]
    records = await SqliteRecords.open(tmp_path / "watcher.db")
    rows = await records.deliveries(watch="w")
    await records.close()
    assert [(row.sequence, row.status, row.attempts) for row in rows] == [(1, "exhausted", 3), (2, "delivered", 1)]


async def test_attempts_and_due_times_survive_a_restart(outbox: Outbox) -> None:
    outbox.transport.script("ops", BAD)
    await outbox.tell("w")
    async with turning(await outbox.pump(retry=["10s", "1m"])):
        await anyio.sleep(1)
    async with turning(await outbox.pump(retry=["10s", "1m"])):
        await anyio.sleep(100)
    async with turning(await outbox.pump(retry=["10s", "1m"])):
        await anyio.sleep(1000)

    times = outbox.transport.times("ops")
    assert len(times) == 3
    assert 10 <= times[1] <= 12.001
    assert 60 <= times[2] - times[1] <= 72.001
    assert [sent.request.headers["watcher-attempt"] for sent in outbox.transport.sent] == ["1", "2", "3"]


# --- what goes wrong on our side --------------------------------------------------------------------------------


async def test_what_was_sent_and_could_not_be_recorded_is_recorded_later_and_not_sent_again(
    outbox: Outbox, store: SpiedStore
) -> None:
    await outbox.tell("w", events=2)
    store.fail("settle", times=2)
    with capture_logs() as logs:
        async with turning(await outbox.pump()):
            await anyio.sleep(60)

    assert outbox.received() == [("w", 1), ("w", 2)]
    assert outbox.transport.times("ops") == [0.0, 2.0]
    assert [line["event"] for line in logs] == ["store.slow"] + ["delivery.attempted"] * 2


async def test_nothing_is_sent_twice_because_the_store_answered_late(outbox: Outbox, store: SpiedStore) -> None:
    ids = [f"w{number}" for number in range(12)]
    store.slow = {"heads": 0.07, "settle": 0.05}
    outbox.transport.script("ops", Answer(204, takes=0.03))
    pump = await outbox.pump(concurrency=4)
    async with turning(pump):
        for _ in range(5):
            await outbox.tell(*ids, events=2)
            pump.wake()
            await anyio.sleep(0.11)
        await anyio.sleep(60)

    assert sorted(outbox.received()) == sorted(product(ids, range(1, 11)))


async def test_a_retry_is_not_taken_from_an_answer_that_was_read_before_it_was_put_off(
    outbox: Outbox, store: SpiedStore
) -> None:
    store.slow = {"heads": 0.2}
    outbox.transport.script("ops", Answer(500, takes=0.1), GOOD)
    await outbox.tell("w")
    pump = await outbox.pump(retry=["30s"], concurrency=2)
    async with turning(pump):
        await anyio.sleep(60)

    first, second = outbox.transport.times("ops")
    assert second - first >= 30


async def test_a_bug_that_one_delivery_meets_stays_with_that_delivery(outbox: Outbox) -> None:
    def buggy(request: Request) -> Answer:
        if request.headers["ce-subject"] == "buggy":
            raise RuntimeError("a bug")
        return GOOD

    outbox.transport._otherwise = buggy
    await outbox.tell("buggy", "sound", events=3)
    with capture_logs() as logs:
        async with turning(await outbox.pump(concurrency=1)):
            await anyio.sleep(25)

    sound = [sent for sent in outbox.transport.sent if sent.request.headers["ce-subject"] == "sound"]
    assert [sent.request.headers["ce-sequence"] for sent in sound] == ["1", "2", "3"]
    assert sound[-1].at - EPOCH < 0.1
    assert [line["event"] for line in logs].count("daemon.fault") == 3


async def test_a_store_that_cannot_be_read_for_a_while_delays_and_ends_nothing(
    outbox: Outbox, store: SpiedStore
) -> None:
    await outbox.tell("w")
    store.fail("heads", times=3)
    async with turning(await outbox.pump()):
        await anyio.sleep(20)

    assert outbox.transport.times("ops") == [2.0]


async def test_a_pump_that_waits_for_an_answer_does_not_keep_asking_the_store(
    outbox: Outbox, store: SpiedStore
) -> None:
    outbox.transport.script("ops", Answer(204, takes=14))
    await outbox.tell("w")
    async with turning(await outbox.pump()):
        await anyio.sleep(13)
        assert store.calls["heads"] <= 10


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_step_of_the_wall_clock_loses_nothing_and_holds_nothing_up(
    outbox: Outbox, clock: VirtualClock, hours: int
) -> None:
    outbox.transport.script("ops", BAD, GOOD)
    await outbox.tell("retried")
    pump = await outbox.pump(retry=["20s"])
    async with turning(pump):
        await anyio.sleep(5)
        clock.step(timedelta(hours=hours))
        await outbox.tell("fresh")
        pump.wake()
        await anyio.sleep(60)

    assert sorted(outbox.received()) == [("fresh", 1), ("retried", 1), ("retried", 1)]
    times = {sent.request.headers["ce-subject"]: sent.at - EPOCH for sent in outbox.transport.sent}
    assert times["fresh"] == pytest.approx(5, abs=0.01)
    assert times["retried"] <= 24.01


async def test_after_a_step_back_what_was_told_before_it_is_not_held_up(outbox: Outbox, clock: VirtualClock) -> None:
    pump = await outbox.pump()
    async with turning(pump):
        await anyio.sleep(1)
        await outbox.tell("w")  # stamped an hour ahead of the clock that comes
        clock.step(timedelta(hours=-1))
        pump.wake()
        await anyio.sleep(0.1)
        assert outbox.received() == [("w", 1)]
