"""Trouble is told once per spell, and so is recovery: also where nobody knows whether it is on disk."""

from collections.abc import Sequence

import anyio
import pytest
from fakes import Answer, SpiedStore
from virtual import VirtualClock
from worlds import Polling, log_of

from watcher.core.errors import StoreError
from watcher.core.model import EventType, Step

QUICK = {"trouble_after": "0s", "poll": {"min": "2s", "max": "2s"}}
TROUBLE, RECOVERED = EventType.TROUBLE, EventType.RECOVERED


class Overheard:
    """What a store has on disk of what a watch told; it may say nothing of what it kept."""

    def __init__(self, store: SpiedStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[EventType] = []
        self.losing = self.failing = 0
        self._commit = store.commit
        monkeypatch.setattr(store, "commit", self.commit)

    async def commit(self, steps: Sequence[Step]) -> list[Exception | None]:
        if self.failing:
            self.failing -= 1
            raise StoreError("the disk is full")
        answers = await self._commit(steps)
        kept = [step for step, answer in zip(steps, answers, strict=True) if answer is None]
        self.told += [event.type for step in kept for event in step.events if event.type in {TROUBLE, RECOVERED}]
        if self.losing:
            self.losing -= 1
            raise StoreError("the connection broke at COMMIT")
        return answers


async def test_trouble_and_recovery_are_told_once_where_the_answers_to_their_commits_are_lost(
    store: SpiedStore, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    overheard, world = Overheard(store, monkeypatch), Polling(store, clock, d7=QUICK)
    await world.follow("op")
    world.transport.script("op", log_of("op", "sent"), *[Answer(400)] * 3, log_of("op", "sent"))
    async with world.polling():
        await anyio.sleep(1)
        overheard.losing = 1
        await anyio.sleep(5.5)
        assert overheard.told == [TROUBLE]
        overheard.losing = 1
        await anyio.sleep(20)
    assert overheard.told == [TROUBLE, RECOVERED]


async def test_a_spell_that_lasts_is_told_once_where_the_answer_to_its_commit_is_lost(
    store: SpiedStore, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    overheard, world = Overheard(store, monkeypatch), Polling(store, clock, d7=QUICK)
    await world.follow("op", *(f"sound-{number}" for number in range(5)))  # so that it is not the provider that is down
    world.transport.script("op", log_of("op", "sent"), *[Answer(500)] * 7, log_of("op", "sent"))
    async with world.polling():
        await anyio.sleep(5.5)
        overheard.losing = 1
        await anyio.sleep(30)
    assert overheard.told == [TROUBLE, RECOVERED]


async def test_an_untold_spell_goes_on_over_a_commit_that_failed_and_is_over_once_the_watch_was_seen(
    store: SpiedStore, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    overheard, world = Overheard(store, monkeypatch), Polling(store, clock, d7=QUICK)
    await world.follow("op", *(f"sound-{number}" for number in range(5)))
    bad = Answer(500)
    world.transport.script("op", log_of("op", "sent"), bad, bad, log_of("op", "queued"), bad, bad, bad, bad)
    async with world.polling():
        await anyio.sleep(5.5)
        overheard.failing = 1
        await anyio.sleep(0.6)  # seen, and not written
        assert (len(world.transport.times("op")), overheard.failing) == (4, 0)
        await anyio.sleep(4.5)
        assert (len(world.transport.times("op")), overheard.told) == (6, [])
        overheard.failing = 1
        await anyio.sleep(2)
        assert (len(world.transport.times("op")), overheard.failing, overheard.told) == (7, 0, [])
        await anyio.sleep(2)
        assert (len(world.transport.times("op")), overheard.told) == (8, [TROUBLE])
