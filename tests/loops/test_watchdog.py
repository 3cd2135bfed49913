"""What feeds the watchdog: a loop that is stuck in what it began does not turn, one that has nothing to do does."""

import anyio
import orjson
import pytest
from fakes import Answer, ScriptedSource, SpiedStore
from outboxes import Outbox
from virtual import VirtualClock
from worlds import SECTION, Polling, log_of, turning

from watcher.bell import Bell
from watcher.intake import Desk, Intake
from watcher.ports import Batch, Item
from watcher.providers.d7 import D7
from watcher.pulse import Pulse

FOR_EVER = 86400.0


def batch(operation: str) -> Batch:
    request = {"provider": "d7", "params": {"request_id": operation}}
    return Batch((Item(orjson.dumps(request), "watches.jsonl:1"),), b"position 1")


@pytest.fixture
def source() -> ScriptedSource:
    return ScriptedSource()


@pytest.fixture
async def intake(store: SpiedStore, clock: VirtualClock, source: ScriptedSource) -> Intake:
    desk = Desk({"d7": D7.model_validate(SECTION)}, frozenset(), clock)
    return Intake("inbox", source, desk=desk, store=store, feed=Bell())


# --- intake -----------------------------------------------------------------------------------------------------


async def test_an_intake_that_waits_for_requests_turns(intake: Intake) -> None:
    async with turning(intake):
        await anyio.sleep(FOR_EVER)
        assert intake.is_turning


async def test_an_intake_whose_source_cannot_be_reached_turns(intake: Intake, source: ScriptedSource) -> None:
    source.fail(*[ConnectionRefusedError("refused")] * 10_000)
    async with turning(intake):
        await anyio.sleep(FOR_EVER)
        assert intake.is_turning


async def test_an_intake_that_hangs_in_the_store_does_not_turn(
    intake: Intake, source: ScriptedSource, store: SpiedStore
) -> None:
    store.slow["add"] = FOR_EVER
    async with turning(intake):
        source.push(batch("a"))
        await anyio.sleep(59)
        assert intake.is_turning
        await anyio.sleep(2)
        assert not intake.is_turning


# --- deliver ----------------------------------------------------------------------------------------------------


async def test_a_pump_that_has_nothing_to_send_turns(outbox: Outbox) -> None:
    pump = await outbox.pump()
    async with turning(pump):
        await anyio.sleep(FOR_EVER)
        assert pump.is_turning


async def test_a_pump_whose_webhook_answers_nobody_turns(outbox: Outbox) -> None:
    outbox.transport.script("ops", Answer(500, takes=15))
    pump = await outbox.pump(timeout="15s")
    await outbox.tell(*"abcdef", events=3)
    async with turning(pump):
        for _ in range(100):
            await anyio.sleep(7)
            assert pump.is_turning


@pytest.mark.parametrize(("call", "patience"), [("heads", 30), ("settle", 60)])
async def test_a_pump_that_hangs_in_the_store_does_not_turn(
    call: str, patience: float, outbox: Outbox, store: SpiedStore
) -> None:
    pump = await outbox.pump(timeout="15s")
    await outbox.tell("a")
    store.slow[call] = FOR_EVER
    async with turning(pump):
        await anyio.sleep(patience - 1)
        assert pump.is_turning
        await anyio.sleep(2)
        assert not pump.is_turning


async def test_a_pump_that_hangs_in_one_post_of_many_does_not_turn(outbox: Outbox) -> None:
    outbox.transport.script("ops", Answer(204, takes=FOR_EVER), Answer(204))
    pump = await outbox.pump(timeout="15s")
    await outbox.tell(*"abcdef", events=3)
    async with turning(pump):
        await anyio.sleep(59)
        assert pump.is_turning
        await anyio.sleep(2)
        assert (len(outbox.received()), pump.is_turning) == (16, False)


# --- poll -------------------------------------------------------------------------------------------------------


async def test_a_poller_that_has_nothing_to_ask_turns(store: SpiedStore, clock: VirtualClock) -> None:
    poller = Polling(store, clock).pollers["d7"]
    async with turning(poller):
        await anyio.sleep(FOR_EVER)
        assert poller.is_turning


async def test_a_poller_all_of_whose_polls_take_their_time_turns(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, d7={"concurrency": 2, "timeout": "15s"})
    await world.follow(*"abcd")
    for operation in "abcd":
        world.transport.script(operation, log_of(operation, "sent", takes=15))
    async with world.polling():
        for _ in range(100):
            await anyio.sleep(7)
            assert world.pollers["d7"].is_turning


async def test_a_poller_that_hangs_in_one_poll_of_many_does_not_turn(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, d7={"timeout": "15s"})
    await world.follow("a", "b")
    world.transport.script("a", log_of("a", "sent", takes=FOR_EVER))
    await _stalls(world)
    assert len(world.transport.times("b")) > 50


@pytest.mark.parametrize("call", ["watch", "commit"])
async def test_a_poller_that_hangs_in_the_store_does_not_turn(
    call: str, store: SpiedStore, clock: VirtualClock
) -> None:
    world = Polling(store, clock, d7={"timeout": "15s"})
    await world.follow("a", "b")
    store.slow[call] = FOR_EVER
    await _stalls(world)


async def _stalls(world: Polling) -> None:
    async with world.polling():
        await anyio.sleep(119)
        assert world.pollers["d7"].is_turning
        await anyio.sleep(2)
        assert not world.pollers["d7"].is_turning


# --- what they share --------------------------------------------------------------------------------------------


async def test_a_pulse_is_steady_while_its_oldest_work_is_young(clock: VirtualClock) -> None:
    pulse = Pulse(clock, patience=10)
    seen = []
    with pulse.at_work():
        await anyio.sleep(6)
        with pulse.at_work():
            seen.append(pulse.is_steady)
            await anyio.sleep(6)
            seen.append(pulse.is_steady)
        seen.append(pulse.is_steady)
    with pulse.at_work():
        seen.append(pulse.is_steady)
    await anyio.sleep(100)
    assert [*seen, pulse.is_steady] == [True, False, False, True, True]


async def test_work_that_fails_is_over(clock: VirtualClock) -> None:
    pulse = Pulse(clock, patience=10)
    with pytest.raises(RuntimeError), pulse.at_work():
        raise RuntimeError
    await anyio.sleep(11)
    assert pulse.is_steady
