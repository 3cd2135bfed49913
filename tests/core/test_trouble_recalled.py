"""Trouble is remembered here and stored there: told once per spell, whatever becomes of commits and of the lease."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make import MIDDLE, SEEN_RUNNING, SNAPSHOT, START, after, terms, watch

from watcher.core.lifecycle import advance, recall
from watcher.core.model import EventType, Reason, Trouble, Watch
from watcher.core.outcome import Broken, Final, Refused, Seen, Throttled

SPELL = Trouble(Reason.SERVER_ERROR, START, 502, polls=2)
LONGER = replace(SPELL, polls=7)
TOLD, TOLD_LONGER = replace(SPELL, told=True), replace(LONGER, told=True)
TOLD_MISSING = replace(TOLD, missing=1)
ANOTHER_TOLD = replace(TOLD, since=after("1h"))


@pytest.mark.parametrize(
    ("stored", "remembered", "known"),
    [
        pytest.param(None, None, None, id="all-is-well"),
        pytest.param(None, SPELL, SPELL, id="a-spell-grows"),
        pytest.param(TOLD, None, TOLD, id="after-a-restart"),
        pytest.param(TOLD, TOLD_LONGER, TOLD_LONGER, id="a-spell-grows-after-it-was-told"),
        pytest.param(TOLD, LONGER, TOLD, id="told-by-a-commit-whose-answer-was-lost"),
        pytest.param(None, TOLD, None, id="over-by-a-commit-whose-answer-was-lost"),
        pytest.param(ANOTHER_TOLD, TOLD_LONGER, ANOTHER_TOLD, id="over-and-another-one-told"),
        pytest.param(TOLD_MISSING, TOLD_MISSING, TOLD_MISSING, id="missing-in-a-row"),
        pytest.param(TOLD_MISSING, None, TOLD, id="missing-and-nobody-knows-what-came-since"),
    ],
)
def test_what_was_told_is_what_the_store_says(
    stored: Trouble | None, remembered: Trouble | None, known: Trouble | None
) -> None:
    assert recall(watch(SNAPSHOT, trouble=stored), remembered) == watch(SNAPSHOT, trouble=known)


class Worker:
    """Polls one watch, as `poll.py` does: of a spell it knows what it remembers, and what is on disk."""

    def __init__(self) -> None:
        self.spell: Trouble | None = None

    def poll(self, stored: Watch, outcome: Final, *, minute: int, fate: str) -> tuple[Watch, list[EventType]]:
        """Return what is on disk then, and what it told that is kept."""
        if isinstance(outcome, Seen):
            self.spell = None
        before = recall(stored, self.spell)
        step = advance(before, outcome, now=after(f"{minute}m"), terms=terms(), dice=MIDDLE)
        if fate == "kept" or not step.writes:
            self.spell = step.watch.trouble
        if fate == "failed" or not step.writes:
            return stored, []
        return step.watch, [event.type for event in step.events]


OUTCOMES = st.sampled_from([SEEN_RUNNING, Broken(Reason.SERVER_ERROR, 502), Refused(400), Throttled(429)])
FATES = st.sampled_from(["kept", "kept", "answer lost", "failed"])


@given(polls=st.lists(st.tuples(OUTCOMES, FATES, st.integers(0, 4).map(lambda dice: dice == 0)), max_size=60))
def test_trouble_and_recovery_are_told_in_turn_whatever_becomes_of_commits_and_of_the_lease(
    polls: list[tuple[Final, str, bool]],
) -> None:
    stored, worker, told = watch(SNAPSHOT), Worker(), list[EventType]()
    for minute, (outcome, fate, is_handed_over) in enumerate(polls, start=1):
        if is_handed_over:
            worker = Worker()
        stored, events = worker.poll(stored, outcome, minute=minute, fate=fate)
        if EventType.TROUBLE in events and isinstance(outcome, Broken):
            assert not any(isinstance(each, Seen) for each, _, _ in polls[max(minute - 3, 0) : minute])
        told += events
    assert is_in_turn(told)
    assert (told[-1:] == [EventType.TROUBLE]) is (stored.trouble is not None)


def is_in_turn(told: Iterable[EventType]) -> bool:
    expected = [EventType.RECOVERED, *told]
    return set(expected) <= {EventType.TROUBLE, EventType.RECOVERED} and all(a is not b for a, b in pairwise(expected))
