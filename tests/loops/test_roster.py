"""Loops that come and go with their sections, while the others turn on. In virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest
from structlog.testing import capture_logs
from virtual import EPOCH

from watcher.core.errors import ConfigError, LeaseLostError, StoreError
from watcher.roster import CHANGE_WITHIN, Roster, patiently


@dataclass
class Work:
    """A loop that ends so many seconds after it was stopped."""

    lasts: float = 0.0
    is_turning: bool = True
    stopping: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        await self.stopping.wait()
        await anyio.sleep(self.lasts)

    def stop(self) -> None:
        self.stopping.set()


class World:
    """A roster of loops that last as long as their sections say; `told` is what happened, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str]] = []
        self.failures: list[Exception] = []
        self.roster = Roster[float, Work]("turn", self._make, forget=lambda name: self._tell(f"{name} is forgotten"))

    def _tell(self, what: str) -> None:
        self.told.append((round(anyio.current_time() - EPOCH, 3), what))

    @asynccontextmanager
    async def _make(self, name: str, section: float) -> AsyncIterator[Work]:
        if self.failures:
            raise self.failures.pop()
        self._tell(f"{name} {section} begins")
        yield Work(section)
        self._tell(f"{name} {section} has ended")


async def test_loops_whose_sections_stay_are_not_touched() -> None:
    world = World()
    async with world.roster.open():
        await world.roster.change({"a": 1.0, "b": 1.0})
        before = world.roster.loops
        await world.roster.change({"b": 1.0, "c": 1.0})
        assert world.roster.loops["b"] is before["b"]
        assert not before["b"].stopping.is_set()

    assert sorted(world.told) == [
        (0, "a 1.0 begins"),
        (0, "b 1.0 begins"),
        (0, "c 1.0 begins"),
        (1, "a 1.0 has ended"),
        (1, "a is forgotten"),
        (2, "b 1.0 has ended"),
        (2, "c 1.0 has ended"),
    ]


async def test_the_loop_of_a_changed_section_begins_when_the_old_one_has_ended_and_no_other_waits_for_it() -> None:
    world = World()
    async with world.roster.open():
        await world.roster.change({"a": 3.0, "b": 1.0})
        await world.roster.change({"a": 0.0, "b": 0.0})

    assert world.told[2:6] == [
        (1, "b 1.0 has ended"),
        (1, "b 0.0 begins"),
        (3, "a 3.0 has ended"),
        (3, "a 0.0 begins"),
    ]


async def test_what_lasts_too_long_is_cut_off() -> None:
    world = World()
    async with world.roster.open():
        await world.roster.change({"a": 60.0})
        await world.roster.change({"a": 0.0})
        assert anyio.current_time() - EPOCH == pytest.approx(CHANGE_WITHIN)

    assert [what for _, what in world.told] == ["a 60.0 begins", "a 60.0 has ended", "a 0.0 begins", "a 0.0 has ended"]


async def test_a_loop_that_has_ended_by_itself_is_not_begun_again_until_its_section_changes() -> None:
    world = World()
    async with world.roster.open():
        await world.roster.change({"a": 0.0})
        world.roster.loops["a"].stop()
        await anyio.sleep(1)
        await world.roster.change({"a": 0.0})
        assert [what for _, what in world.told] == ["a 0.0 begins", "a 0.0 has ended"]
        await world.roster.change({"a": 1.0})
        assert [what for _, what in world.told][2:] == ["a 1.0 begins"]


async def test_a_change_waits_for_a_store_that_does_not_answer_and_the_log_says_so_once() -> None:
    world = World()
    world.failures = [StoreError("the disk is full")] * 3
    with capture_logs() as logs:
        async with world.roster.open():
            await world.roster.change({"a": 0.0})
            assert world.told == [(3, "a 0.0 begins")]

    assert logs == [{"event": "store.slow", "log_level": "error", "error": "the disk is full"}]


async def test_a_change_waits_for_a_file_that_is_just_being_replaced() -> None:
    world = World()
    world.failures = [ConfigError("ca_file: ca.pem: expected certificates in PEM")] * 2
    with capture_logs() as logs:
        async with world.roster.open():
            await world.roster.change({"a": 0.0})
            assert world.told == [(2, "a 0.0 begins")]

    error = "ca_file: ca.pem: expected certificates in PEM"
    assert logs == [{"event": "config.rejected", "log_level": "error", "error": error}]


async def test_a_loop_that_is_renewed_ends_first_and_one_that_there_is_not_is_none() -> None:
    world = World()
    async with world.roster.open():
        await world.roster.change({"a": 1.0, "b": 1.0})
        await world.roster.renew("a")
        await world.roster.renew("c")
    assert [what for _, what in world.told if what.startswith("a")][:3] == [
        "a 1.0 begins",
        "a 1.0 has ended",
        "a 1.0 begins",
    ]
    assert len(world.told) == 6


async def test_who_has_lost_the_lease_does_not_wait_for_it() -> None:
    async def lost() -> None:
        raise LeaseLostError("the store belongs to another owner")

    with pytest.raises(LeaseLostError):
        await patiently(lost)


async def test_a_bug_in_a_loop_that_came_with_a_change_ends_all() -> None:
    @asynccontextmanager
    async def make(name: str, section: float) -> AsyncIterator[Work]:
        yield Buggy() if section else Work()

    async def turn() -> None:
        roster = Roster[float, Work]("turn", make, forget=lambda _: None)
        async with roster.open():
            await roster.change({"sound": 0.0})
            await roster.change({"sound": 0.0, "buggy": 1.0})
            await anyio.sleep_forever()

    with pytest.raises(ExceptionGroup) as raised:
        await turn()
    assert raised.group_contains(RuntimeError, match="a bug in a loop")


class Buggy(Work):
    async def run(self) -> None:
        await anyio.sleep(1)
        raise RuntimeError("a bug in a loop")


async def test_a_stop_in_the_midst_of_a_change_stops_what_is_there_and_begins_nothing() -> None:
    world = World()
    async with world.roster.open():
        await world.roster.change({"a": 4.0, "b": 4.0})
        with anyio.move_on_after(1):
            await world.roster.change({"a": 0.0, "b": 4.0, "c": 1.0})

    assert sorted(world.told) == [
        (0, "a 4.0 begins"),
        (0, "b 4.0 begins"),
        (0, "c 1.0 begins"),
        (2, "c 1.0 has ended"),
        (4, "a 4.0 has ended"),
        (5, "b 4.0 has ended"),
    ]


async def test_what_does_not_turn_is_named() -> None:
    world = World()
    async with world.roster.open():
        await world.roster.change({"a": 0.0, "b": 0.0})
        world.roster.loops["b"].is_turning = False
        assert world.roster.stuck == ["turn b"]
