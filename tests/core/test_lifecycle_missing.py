"""What a 404 does to a watch: never an end by itself. SPEC, section 4."""

from datetime import datetime

import pytest
from make import MIDDLE, SEEN_RUNNING, SNAPSHOT, START, after, span, terms, told, types, watch

from watcher.core.lifecycle import advance, expire
from watcher.core.model import Ending, Reason, Snapshot, State, Step, Watch
from watcher.core.outcome import Broken, Final, Missing, Throttled


def poll(before: Watch, outcome: Final, *, at: datetime, grace: str = "60s") -> Step:
    return advance(before, outcome, now=at, terms=terms(grace=grace), dice=MIDDLE)


def missing_for(before: Watch, outcomes: list[Final], *, every: str, grace: str = "60s") -> list[Step]:
    """Poll at a steady pace until the end, or until there are no more outcomes."""
    steps, current = [], before
    for number, outcome in enumerate(outcomes):
        steps.append(poll(current, outcome, at=START + number * span(every), grace=grace))
        current = steps[-1].watch
        if current.ending:
            break
    return steps


@pytest.mark.parametrize(
    ("every", "grace", "polls"),
    [
        pytest.param("2m", "60s", 3, id="asked-again-twice-although-grace-is-over"),
        pytest.param("20s", "60s", 4, id="until-grace-is-over"),
        pytest.param("20s", "0s", 3, id="asked-again-twice-without-grace"),
    ],
)
def test_a_watch_that_was_never_seen_is_gone_after_grace_and_two_more_polls(every: str, grace: str, polls: int) -> None:
    steps = missing_for(watch(), [Missing()] * 9, every=every, grace=grace)
    assert [step.watch.ending for step in steps] == [None] * (polls - 1) + [Ending.GONE]
    assert types(steps[-1]) == ["watch.finished"]


def test_grace_counts_from_submission() -> None:
    submitted = watch(submitted_at=START - span("1h"))
    assert len(missing_for(submitted, [Missing()] * 9, every="2s")) == 3


def test_while_it_is_not_there_yet_it_is_asked_at_its_pace() -> None:
    assert poll(watch(), Missing(), at=after("10s")).wait == span("7s")


def test_a_watch_that_was_seen_is_gone_when_missing_twice_and_min_apart() -> None:
    first, second = missing_for(watch(SNAPSHOT), [Missing()] * 9, every="2s", grace="1h")
    assert (first.wait, first.writes, first.events) == (span("2s"), False, ())
    assert (types(second), second.watch.ending) == (["watch.finished"], Ending.GONE)


@pytest.mark.parametrize(
    "between", [SEEN_RUNNING, Broken(Reason.UNREACHABLE), Throttled(429)], ids=lambda one: type(one).__name__
)
def test_twice_missing_with_another_answer_between_is_not_two_in_a_row(between: Final) -> None:
    steps = missing_for(watch(SNAPSHOT), [Missing(), between, Missing(), Missing()], every="2s")
    assert [step.watch.ending for step in steps] == [None, None, None, Ending.GONE]


@pytest.mark.parametrize(
    ("before", "missing", "end"),
    [
        pytest.param(
            watch(Snapshot("PENDING", State.IN_PROGRESS)),
            Missing(ending=Ending.FAILED, reason="denied_or_deleted"),
            ("failed", "denied_or_deleted", "PENDING", 2),
            id="chime-denied-or-deleted",
        ),
        pytest.param(
            watch(submitted_at=START - span("1h")),
            Missing(ending=Ending.FAILED, reason="denied_or_deleted"),
            ("gone", None, None, 3),
            id="chime-never-seen",
        ),
        pytest.param(
            watch(),
            Missing(reason="result_expired", existed=True),
            ("gone", "result_expired", None, 2),
            id="ukg-whose-303-proves-that-it-was",
        ),
        pytest.param(
            watch(SNAPSHOT),
            Missing(reason="result_expired", existed=True),
            ("gone", "result_expired", "RUNNING", 2),
            id="ukg-seen-before",
        ),
    ],
)
def test_how_a_missing_watch_ends(
    before: Watch, missing: Missing, end: tuple[str, str | None, str | None, int]
) -> None:
    steps = missing_for(before, [missing] * 9, every="2s")
    data = told(steps[-1])[-1]
    assert (data["outcome"], data["reason"], data["status"], len(steps)) == end


def test_a_result_that_had_expired_stays_the_reason_when_the_status_goes_missing_too() -> None:
    expired = Missing(reason="result_expired", existed=True)
    *_, last = missing_for(watch(), [expired, Missing()], every="2s")
    assert (last.watch.ending, told(last)[-1]["reason"]) == (Ending.GONE, "result_expired")


def test_a_watch_that_cannot_be_asked_any_more_expires() -> None:
    step = expire(watch(SNAPSHOT), now=after("1h"))
    assert (step.watch.ending, step.wait, types(step)) == (Ending.EXPIRED, None, ["watch.finished"])
