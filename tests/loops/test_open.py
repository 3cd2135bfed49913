"""How many watches are open at an account, as `provider.down` tells it, whatever way a watch ends."""

from collections.abc import Sequence
from datetime import timedelta

import anyio
import orjson
import pytest
from fakes import Silence, SpiedStore
from virtual import EPOCH, VirtualClock
from worlds import Polling, all_sent, cancel, log_of, turning

from watcher.core.errors import StoreError
from watcher.core.model import Report, Step
from watcher.core.wire import Fault, NoAnswer

DOWN = Silence(NoAnswer(Fault.CONNECTION, "refused"))


@pytest.fixture
def told(store: SpiedStore, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is told of accounts as a whole, and how many watches are open there then."""
    kept, report = [], store.report

    async def overheard(one: Report) -> None:
        kept.append((one.event.type.value, orjson.loads(one.event.body)["data"]["open"]))
        await report(one)

    monkeypatch.setattr(store, "report", overheard)
    return kept


async def test_a_watch_that_ended_by_a_commit_that_only_seemed_to_fail_is_forgotten_once(
    store: SpiedStore, clock: VirtualClock, told: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, commit = Polling(store, clock), store.commit
    await world.follow("a", "b", "c", "ended")
    world.transport.script("ended", log_of("ended", "delivered"))

    async def lost(steps: Sequence[Step]) -> list[Exception | None]:
        answers = await commit(steps)
        if any(step.watch.id == "ended" for step in steps):
            raise StoreError("the disk did not say whether it is done")
        return answers

    monkeypatch.setattr(store, "commit", lost)
    async with world.polling():
        await anyio.sleep(60)
        for operation in "abc":
            world.transport.script(operation, DOWN)
        await anyio.sleep(60)

    assert world.transport.times("ended") == [0.0, 2.0, 4.0]  # again, once more in case it was cancelled, never more
    assert told == [("provider.down", 3)]


async def test_a_watch_that_is_cancelled_while_it_is_asked_is_forgotten_once(
    store: SpiedStore, clock: VirtualClock, told: list[tuple[str, int]]
) -> None:
    world = Polling(store, clock)
    await world.follow("a", "b", "c", "cancelled")
    world.transport.script("cancelled", log_of("cancelled", "sent", takes=5))
    async with turning(*world.loops):
        await anyio.sleep(2)
        await cancel(store, "cancelled")
        await anyio.sleep(58)
        for operation in "abc":
            world.transport.script(operation, DOWN)
        await anyio.sleep(60)

    assert world.transport.times("cancelled") == [0.0]
    assert told == [("provider.down", 3)]


async def test_a_watch_that_is_cancelled_while_nobody_may_ask_is_forgotten_once_though_its_deadline_passes_too(
    store: SpiedStore, clock: VirtualClock, told: list[tuple[str, int]]
) -> None:
    world = Polling(store, clock, d7={"poll": {"min": "20s", "max": "5m"}})
    await world.follow("a", "b", "c", "d")
    await world.follow("late", "cancelled", deadline=timedelta(seconds=80))
    world.transport._otherwise = lambda request: DOWN if clock.monotonic() < EPOCH + 300 else all_sent(request)
    async with turning(*world.loops):
        await anyio.sleep(60)
        await cancel(store, "cancelled")
        await anyio.sleep(600)

    assert told == [("provider.down", 6), ("provider.up", 4)]
