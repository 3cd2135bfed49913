from datetime import UTC, datetime, timedelta

import pytest
from make import START, after, span, watch

from watcher.core.model import END_OF_TIME, Condition, Ending, Snapshot, State
from watcher.core.outcome import Grant


@pytest.mark.parametrize(
    ("state", "is_final"),
    [
        (State.PENDING, False),
        (State.IN_PROGRESS, False),
        (State.SUCCEEDED, True),
        (State.PARTIALLY_SUCCEEDED, True),
        (State.FAILED, True),
    ],
)
def test_three_states_are_final(state: State, *, is_final: bool) -> None:
    assert state.is_final is is_final


def test_every_final_state_is_an_outcome_of_the_same_name() -> None:
    assert {state.value for state in State if state.is_final} == set(Ending) - {"expired", "gone", "cancelled"}


def scheduled(not_before: datetime | None) -> Snapshot:
    return Snapshot("pending", State.PENDING, not_before=not_before)


@pytest.mark.parametrize(
    ("snapshot", "deadline_at"),
    [
        pytest.param(None, after("24h"), id="never-seen"),
        pytest.param(scheduled(None), after("24h"), id="not-scheduled"),
        pytest.param(scheduled(after("2h")), after("26h"), id="scheduled-later"),
        pytest.param(scheduled(START - span("2h")), after("24h"), id="scheduled-earlier"),
        pytest.param(scheduled(datetime(9999, 12, 31, tzinfo=UTC)), END_OF_TIME, id="scheduled-at-the-end-of-time"),
    ],
)
def test_the_deadline_counts_from_submission_or_a_scheduled_start(
    snapshot: Snapshot | None, deadline_at: datetime
) -> None:
    assert watch(snapshot, accepted_at=after("1h"), deadline=timedelta(hours=24)).deadline_at == deadline_at


def test_what_a_login_brought_is_in_no_repr() -> None:
    assert "canary" not in repr(Grant({"token": "canary"}))


def test_a_watch_is_pending_until_something_else_is_seen() -> None:
    assert watch().state is State.PENDING
    assert watch(Snapshot("RUNNING", State.IN_PROGRESS)).state is State.IN_PROGRESS


@pytest.mark.parametrize(
    ("paused_at", "paused_until", "until"),
    [
        (None, None, None),
        (START, after("10s"), after("10s")),
        (None, after("10s"), after("10s")),
        (START - span("10s"), START, None),
        (after("1h"), after("61m"), after("1m")),  # as a clock said that was ahead
        (after("1h"), after("1h"), None),
    ],
)
def test_a_provider_rests_no_longer_than_was_said(
    paused_at: datetime | None, paused_until: datetime | None, until: datetime | None
) -> None:
    condition = Condition("d7", "uid", paused_at=paused_at, paused_until=paused_until)
    assert condition.rests_until(now=START) == until
