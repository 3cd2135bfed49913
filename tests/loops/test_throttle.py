"""An account with a limit, as its other side measures it; and one that says itself that it is asked too much."""

import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from email.utils import format_datetime
from itertools import pairwise

import anyio
import orjson
import pytest
from fakes import Answer, ScriptedTransport, SpiedStore
from structlog.testing import capture_logs
from virtual import EPOCH, START, VirtualClock
from worlds import Polling, all_sent, log_of, take_in, turning

from watcher.core.model import Condition, Ending
from watcher.core.wire import Request
from watcher.poll import Poller
from watcher.providers.kore import Kore
from watcher.record import Recorder

RATE, BURST, WATCHES = 5, 5, 10_000
BUSY = {"rate": RATE, "burst": BURST, "concurrency": 16}
QUIET = {"rate": 50, "burst": 10, "poll": {"min": "10s", "max": "10s", "mode": "fixed"}}


def names(number: int, *, prefix: str = "op") -> list[str]:
    return [f"{prefix}-{each}" for each in range(number)]


def most_in_a_second(times: Sequence[float]) -> int:
    """Count the most that lie in any second."""
    first = most = 0
    for last, at in enumerate(times):
        while at - times[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def moments(transport: ScriptedTransport, *, prefix: str = "") -> list[float]:
    return [sent.at - EPOCH for sent in transport.sent if sent.last.startswith(prefix)]


async def follow(world: Polling, number: int, *, provider: str = "d7", prefix: str = "op") -> None:
    await take_in(world.store, [world.watch(one, provider=provider) for one in names(number, prefix=prefix)])


# --- the rate -----------------------------------------------------------------------------------------------------


async def test_ten_thousand_watches_never_cost_more_than_burst_and_rate_in_any_second(
    store: SpiedStore, clock: VirtualClock
) -> None:
    times: list[float] = []

    def answer(_: Request) -> Answer:
        now = clock.monotonic() - EPOCH
        limit = {"retry-after": "20"} if 40 <= now < 41 else {}
        return Answer(429 if limit else 404, headers=limit, takes=0.3)

    for start in range(3):
        world = Polling(store, clock, d7={**BUSY, "grace": "1h"})
        world.transport._otherwise = answer
        if start == 0:
            await follow(world, WATCHES)
        await world.run(seconds=90)
        times += moments(world.transport)

    assert most_in_a_second(times) <= BURST + RATE
    assert [at for at in times if 41 < at < 60] == []
    assert len(times) >= 3 * 90 * RATE * 0.75  # 20 s of pause, and then at half the rate and more and more
    last = [at for at in times if at >= 200]
    assert len(last) == pytest.approx(RATE * (times[-1] - 200), abs=2)


async def test_a_busy_account_does_not_change_when_another_is_asked(store: SpiedStore, clock: VirtualClock) -> None:
    store.slow = {"commit": 0.002}
    world = Polling(store, clock, quiet=QUIET)
    await follow(world, 300, provider="quiet", prefix="quiet")
    await world.run(seconds=10)

    alone = await lateness(store, clock)
    await follow(world, WATCHES)
    beside = await lateness(store, clock)

    assert len(alone) == len(beside)
    assert alone[-1] > 1  # the quiet one has waits of its own
    for part in (0.5, 0.9, 0.99, 1.0):
        assert quantile(beside, part) == pytest.approx(quantile(alone, part), rel=0.1, abs=0.001)


async def lateness(store: SpiedStore, clock: VirtualClock) -> list[float]:
    """Restart, and say by how much each poll of the quiet account came later than 10 s after the one before."""
    world = Polling(store, clock, d7=BUSY, quiet=QUIET)
    asked = {name: [clock.monotonic()] for name in names(300, prefix="quiet")}
    await world.run(seconds=100)
    for sent in world.transport.sent:
        if sent.last in asked:
            asked[sent.last].append(sent.at)
    return sorted(after - before - 10 for times in asked.values() for before, after in pairwise(times))


def quantile(values: Sequence[float], part: float) -> float:
    return values[math.ceil(part * len(values)) - 1]


# --- told to slow down ----------------------------------------------------------------------------------------------

LIMIT_AT = 60.0
HTTP_DATE = format_datetime(START + timedelta(seconds=LIMIT_AT + 30), usegmt=True)
KORE_SAYS = orjson.dumps({"errors": [{"msg": "Rate limit for this API has been reached", "code": 429}]})
LIMITS = {
    "429": (Answer(429, headers={"retry-after": "30"}), 30.0),
    "429 without a word": (Answer(429), 30.0),
    "503 with a date": (Answer(503, headers={"retry-after": HTTP_DATE}), 30.0),
    "kore's text in a 200": (Answer(200, KORE_SAYS), 30.0),
}


def job(_: Request) -> Answer:
    return Answer(200, b'{"status": "IN_PROGRESS", "statusLogs": []}')


def kore(store: SpiedStore, clock: VirtualClock, transport: ScriptedTransport) -> Poller:
    section = {"client_id": "cs-1", "client_secret": "s" * 32, "bot_id": "st-1", "rate": 10, "burst": 10}
    provider = Kore.model_validate({**section, "poll": {"min": "2s", "max": "2s", "mode": "fixed"}})
    recorder = Recorder(store=store, webhooks={}, wake=lambda _: None)
    condition = Condition("kore", uid="condition of kore")
    return Poller(
        "kore", provider, condition=condition, store=store, recorder=recorder, transport=transport, clock=clock
    )


@pytest.mark.parametrize(("limit", "pause"), LIMITS.values(), ids=LIMITS)
async def test_an_account_that_is_asked_too_much_is_paused_and_then_asked_at_half_the_rate_and_more_and_more(
    store: SpiedStore, clock: VirtualClock, limit: Answer, pause: float
) -> None:
    def answer(request: Request) -> Answer:
        return limit if LIMIT_AT <= clock.monotonic() - EPOCH < LIMIT_AT + 1 else job(request)

    world = Polling(store, clock)
    transport = ScriptedTransport(clock, otherwise=answer)
    poller = kore(store, clock, transport)
    await follow(world, 100, provider="kore")
    for opened in await store.load(after=0, limit=1000):
        poller.add(opened)
    with capture_logs() as logs:
        async with turning(poller):
            await anyio.sleep(LIMIT_AT + pause + 175)

    told = [line for line in logs if line["event"] in {"provider.throttled", "watch.trouble", "provider.down"}]
    (paused,) = told
    assert (paused["event"], paused["status"]) == ("provider.throttled", limit.status)
    assert paused["wait_s"] == pytest.approx(pause, abs=1)
    times = moments(transport)
    again = LIMIT_AT + pause
    assert [at for at in times if LIMIT_AT + 0.2 < at < again - 1] == []
    assert per_second(times, again + 1, again + 11) == pytest.approx(5, rel=0.1)
    assert per_second(times, again + 70, again + 80) == pytest.approx(7.5, rel=0.1)
    assert per_second(times, again + 160, again + 170) == pytest.approx(10, rel=0.05)


def per_second(times: Sequence[float], begin: float, end: float) -> float:
    return len([at for at in times if begin <= at < end]) / (end - begin)


async def test_what_was_in_flight_when_the_limit_was_told_is_one_pause_and_halves_the_rate_once(
    store: SpiedStore, clock: VirtualClock
) -> None:
    dice = iter(range(10**6))

    def answer(request: Request) -> Answer:
        if LIMIT_AT <= clock.monotonic() - EPOCH < LIMIT_AT + 2:
            return Answer(429, headers={"retry-after": "0"}, takes=3 + next(dice) % 7)
        return all_sent(request)

    world = Polling(store, clock, d7={"rate": 10, "burst": 10})
    world.transport._otherwise = answer
    await follow(world, 100)
    with capture_logs() as logs:
        await world.run(seconds=120)

    assert [line["event"] for line in logs].count("provider.throttled") == 1
    assert per_second(moments(world.transport), 80, 90) == pytest.approx(5.5, rel=0.1)


# --- told to slow down, and restarted -----------------------------------------------------------------------------

SLOW = {**BUSY, "poll": {"min": "2s", "max": "1h"}}


async def restarted(store: SpiedStore, clock: VirtualClock, answer: Callable[[Request], Answer]) -> Polling:
    """Make a daemon that knows what is stored, and nothing else."""
    conditions = {one.provider: one for one in await store.conditions()}
    world = Polling(store, clock, conditions, d7=SLOW)
    world.transport._otherwise = answer
    return world


@pytest.mark.parametrize(("limit", "pause"), [LIMITS["429"], LIMITS["503 with a date"]], ids=["429", "a date"])
async def test_a_pause_goes_on_after_each_restart_and_then_the_rate_is_half_and_more_and_more(
    store: SpiedStore, clock: VirtualClock, limit: Answer, pause: float
) -> None:
    def answer(request: Request) -> Answer:
        return limit if LIMIT_AT <= clock.monotonic() - EPOCH < LIMIT_AT + 1 else all_sent(request)

    await follow(await restarted(store, clock, answer), 1000)
    times: list[float] = []
    for until in (LIMIT_AT + 5, LIMIT_AT + 6, LIMIT_AT + 29, LIMIT_AT + 200):
        world = await restarted(store, clock, answer)
        await world.run(seconds=EPOCH + until - clock.monotonic())
        times += moments(world.transport)

    assert store.calls["pause"] == 1
    told_at = max(at for at in times if at < LIMIT_AT + 1)
    again = min(at for at in times if at > told_at)
    assert told_at < LIMIT_AT + 0.5
    assert LIMIT_AT + pause <= again <= LIMIT_AT + pause + 1
    assert most_in_a_second(times) <= BURST + RATE
    assert per_second(times, again, again + 10) == pytest.approx(RATE / 2, rel=0.15)
    assert per_second(times, again + 155, again + 165) == pytest.approx(RATE, rel=0.1)


async def test_a_pause_is_stored_once_however_many_are_told_of_it_and_again_if_one_is_told_of_a_longer_one(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock)
    await follow(world, 10)
    for number in range(10):
        told = {"retry-after": "300" if number == 8 else "20"}
        world.transport.script(f"op-{number}", Answer(429, headers=told, takes=3 + number / 10))
    stored = []

    async with world.polling():
        for _ in range(2):
            await anyio.sleep(3.45)
            (condition,) = await store.conditions()
            assert condition.paused_until is not None
            stored.append((store.calls["pause"], round((condition.paused_until - START).total_seconds(), 3)))

    assert stored == [(1, 23.0), (2, 303.8)]


async def test_a_pause_that_cannot_be_stored_is_kept_as_long_as_the_daemon_lives(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = await restarted(store, clock, all_sent)
    await world.follow("op")
    world.transport.script("op", Answer(429, headers={"retry-after": "20"}), log_of("op", "delivered"))
    store.fail("pause")

    with capture_logs() as logs:
        await world.run(seconds=60)

    assert len(world.transport.sent) == 2
    assert 20 <= world.transport.times("op")[-1] <= 21
    watch = await store.watch("uid-op")
    assert watch is not None
    assert watch.ending is Ending.SUCCEEDED
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["store.slow"]


async def test_a_clock_that_is_put_back_between_two_runs_stops_nobody_for_longer_than_was_said(
    store: SpiedStore, clock: VirtualClock
) -> None:
    world = await restarted(store, clock, all_sent)
    await world.follow("op")
    world.transport.script("op", Answer(429, headers={"retry-after": "600"}))
    await world.run(seconds=1)
    clock.step(timedelta(days=-300))

    again = await restarted(store, clock, all_sent)
    await again.run(seconds=3600)
    assert again.transport.times("op")[0] == pytest.approx(601, abs=3)
