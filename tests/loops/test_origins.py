"""Few pumps for many origins: who has one, for how long, and who is next."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import pytest
from calls import GOOD, A, B, Calls, section
from fakes import Answer, Silence, SpiedStore
from structlog.testing import capture_logs
from virtual import VirtualClock
from worlds import turning

from watcher.core.callbacks import origin
from watcher.core.delivery import Delivery
from watcher.core.endpoint import Endpoint
from watcher.core.intent import Replay
from watcher.core.wire import Fault, NoAnswer
from watcher.origins import TURN, Origins


@pytest.fixture
def calls(store: SpiedStore, clock: VirtualClock, tmp_path: Path) -> Calls:
    return Calls(store, clock, tmp_path)


def live(origins: Origins) -> set[str]:
    return set(origins._turns)


async def test_a_pump_ends_once_it_has_been_idle_and_is_made_again_when_there_is_news(calls: Calls) -> None:
    origins = calls.origins(most=10)
    async with turning(origins):
        await calls.tell(A, "a", wake=origins)
        await anyio.sleep(500)
        assert live(origins) == {origin(A)}
        await anyio.sleep(200)
        assert live(origins) == set()
        await calls.tell(A, "a", wake=origins)
        await anyio.sleep(1)

    assert calls.received() == [(f"{A}/a", 1), (f"{A}/a", 2)]


async def test_an_origin_that_waits_for_a_later_time_has_no_pump_until_then_whatever_others_do(calls: Calls) -> None:
    calls.transport.script("a", Answer(500), GOOD)
    calls.callbacks = section(retry=["2h"])
    origins = calls.origins(most=10)
    async with turning(origins):
        await calls.tell(A, "a", wake=origins)
        await anyio.sleep(3600)
        assert live(origins) == set()
        for _ in range(10):
            origins.wake_all()
            await anyio.sleep(20)
            assert live(origins) == set()
        await anyio.sleep(2 * 3600)
        assert origins._later == {}

    assert calls.transport.times("a") == [pytest.approx(0, abs=1), pytest.approx(2.2 * 3600, abs=0.2 * 3600)]


async def test_however_many_origins_there_are_few_have_pumps_and_each_gets_its_turn(calls: Calls) -> None:
    calls.transport._otherwise = lambda _: Answer(204, takes=10)  # each is busy for as long as it is let
    calls.callbacks = section(concurrency=1)
    origins = calls.origins(most=3)
    most = 0
    async with turning(origins):
        for number in range(12):
            await calls.tell(f"https://{number}.example", f"w{number}", events=60, wake=origins)
        for _ in range(480):
            await anyio.sleep(1)
            most = max(most, len(live(origins)))

    assert most == 3
    first = [calls.transport.times(f"w{number}")[0] for number in range(12)]
    assert first == sorted(first)
    assert max(first) < 3 * (TURN + 10) + 5  # three came before the last: each had a turn, and what was in flight then
    posts = [len(calls.transport.times(f"w{number}")) for number in range(12)]
    assert max(posts) - min(posts) <= 4  # of one turn


async def test_only_as_many_give_way_as_others_wait_for_and_the_oldest_first(calls: Calls) -> None:
    calls.transport._otherwise = lambda _: Answer(204, takes=10)
    calls.callbacks = section(concurrency=1)
    origins = calls.origins(most=3)
    async with turning(origins):
        for number in range(3):
            await calls.tell(f"https://{number}.example", f"w{number}", events=10, wake=origins)
            await anyio.sleep(1)
        await anyio.sleep(39)
        await calls.tell(A, "a", wake=origins)
        await anyio.sleep(7)
        assert [name for name, turn in origins._turns.items() if turn.is_over] == ["callback:https://0.example:443"]


async def test_who_has_nothing_to_send_now_gives_way_at_once_and_comes_back_in_time(calls: Calls) -> None:
    calls.callbacks = section(retry=["100s"])
    for number in range(20):
        calls.transport.script(f"w{number}", Answer(500), GOOD)
    origins = calls.origins(most=1)
    async with turning(origins):
        for number in range(20):
            await calls.tell(f"https://{number}.example", f"w{number}", wake=origins)
        await anyio.sleep(60)
        assert len(calls.transport.sent) == 20
        await anyio.sleep(140)

    assert {status for *_, status, _ in await calls.rows()} == {"delivered"}
    assert len(calls.transport.sent) == 40


async def test_a_breaker_and_a_pause_outlast_a_turn(calls: Calls) -> None:
    calls.transport.script("rest", Answer(429, headers={"retry-after": "100"}), GOOD)
    origins = calls.origins(most=1)
    async with turning(origins):
        await calls.tell(A, "rest", wake=origins)
        await anyio.sleep(2)
        await calls.tell(A, "behind", wake=origins)
        for number in range(100):
            await calls.tell(B, f"b{number}", wake=origins)
            await anyio.sleep(2)
        read = calls.store.calls["endpoint"]

    assert read < 20  # no turn is given before the pause is over
    assert calls.transport.times("rest") == [0, pytest.approx(101, abs=2)]
    assert calls.transport.times("behind") == [pytest.approx(101, abs=2)]
    assert len(calls.transport.sent) == 103


async def test_a_store_that_does_not_answer_costs_an_origin_nothing_but_time(calls: Calls) -> None:
    origins = calls.origins(most=10)
    calls.store.fail("endpoint", times=3)
    calls.store.fail("undelivered", times=1)
    await calls.tell(A, "a")
    with capture_logs() as logs:
        async with turning(origins):
            await anyio.sleep(30)

    assert calls.received() == [(f"{A}/a", 1)]
    assert [line["event"] for line in logs].count("store.slow") == 1


async def test_of_origins_where_nothing_arrives_only_a_few_are_fetched_at_a_time(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[int] = []
    heads = calls.store.heads

    async def counted(
        webhook: str, *, again: bool, now: datetime, limit: int, but: Collection[int] = ()
    ) -> list[Delivery]:
        found = await heads(webhook, again=again, now=now, limit=limit, but=but)
        fetched.append(len(found))
        return found

    monkeypatch.setattr(calls.store, "heads", counted)
    calls.transport._otherwise = lambda _: Silence(NoAnswer(Fault.CONNECTION, "refused"))
    calls.callbacks = section(concurrency=4, retry=["10s"] * 9)
    await calls.tell(A, *(f"w{number}" for number in range(60)))
    async with turning(calls.origins(most=10)):
        await anyio.sleep(25)
        assert sum(fetched) < 20  # five failures opened the breaker
        await anyio.sleep(3000)

    assert max(fetched) <= 4
    assert len(calls.transport.sent) < 20


async def test_what_is_replayed_is_found_whether_its_origin_has_a_pump_or_not(calls: Calls) -> None:
    async with calls.outbox() as outbox:
        await calls.tell(A, "a", wake=outbox)
        await anyio.sleep(700)
        await calls.store.want(Replay(0, rate=10, webhook=origin(A), since=calls.clock.now() - timedelta(hours=1)))
        (intent,) = await calls.store.intents()
        assert isinstance(intent, Replay)
        assert await calls.store.replay(intent, now=calls.clock.now(), limit=10) == 1
        outbox.wake_all()
        await anyio.sleep(20)

    assert calls.received() == [(f"{A}/a", 1)] * 2


async def test_what_others_found_out_of_one_origin_asks_nothing_of_those_that_wait_beside_it(calls: Calls) -> None:
    calls.transport._otherwise = lambda _: Answer(500)
    calls.callbacks = section(retry=["2h"])
    origins = calls.origins(most=10)
    async with turning(origins):
        await calls.tell(A, "a", wake=origins)
        await calls.tell(B, "b", wake=origins)
        await anyio.sleep(1000)
        assert (live(origins), set(origins._later)) == (set(), {origin(A), origin(B)})
        before = Counter(calls.store.calls)
        origins.learn(Endpoint(origin(A), version=1))
        await anyio.sleep(100)
        assert live(origins) == set()

    assert Counter(calls.store.calls) - before == {"undelivered": 1, "hasten": 1, "heads": 2, "endpoint": 1}


async def test_an_origin_is_disabled_and_enabled_by_name_whether_it_has_a_pump_or_not(calls: Calls) -> None:
    async with calls.outbox() as outbox:
        await outbox.switch(await calls.wanted(A, on=False))
        await calls.tell(A, "a", wake=outbox)
        await anyio.sleep(700)
        assert calls.received() == []
        await outbox.switch(await calls.wanted(A, on=True))
        await anyio.sleep(1)
        assert calls.received() == [(f"{A}/a", 1)]
        await outbox.switch(await calls.wanted(A, on=False))
        await calls.tell(A, "a", wake=outbox)
        await anyio.sleep(10)

    assert calls.received() == [(f"{A}/a", 1)]


async def test_a_stop_is_heard_while_a_turn_begins(calls: Calls) -> None:
    calls.store.slow["endpoint"] = 5
    origins = calls.origins(most=10)
    with anyio.fail_after(10):
        async with turning(origins):
            await calls.tell(A, "a", wake=origins)
            await anyio.sleep(1)

    assert calls.received() == []
