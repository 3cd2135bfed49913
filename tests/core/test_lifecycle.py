"""What one answered poll does to a watch: what was seen, and how a watch ends. SPEC, sections 4 to 6."""

from dataclasses import replace
from datetime import datetime

import orjson
import pytest
from make import (
    DONE,
    MIDDLE,
    RUNNING,
    SEEN_RUNNING,
    SNAPSHOT,
    START,
    after,
    listing,
    mark,
    message,
    saying,
    span,
    terms,
    told,
    types,
    watch,
)

from watcher.core.lifecycle import advance, begin, cancel
from watcher.core.model import Ending, Observation, Reason, Snapshot, State, Step, Trouble, Watch
from watcher.core.outcome import Broken, Final, Missing, Seen, Throttled
from watcher.core.request import WatchRequest

SOON = after("10s")
TOLD = Trouble(Reason.MISSING, START, 404, polls=3, missing=1, told=True)


def poll(before: Watch, outcome: Final, *, at: datetime = SOON, grace: str = "60s") -> Step:
    return advance(before, outcome, now=at, terms=terms(grace=grace), dice=MIDDLE)


# --- a beginning ----------------------------------------------------------------------------------------------


def test_a_watch_begins_with_what_its_request_says() -> None:
    request = WatchRequest.model_validate(
        {
            "id": "order-42",
            "provider": "d7",
            "params": {"request_id": "9d05"},
            "webhooks": ["ops"],
            "labels": {"order": "42"},
            "deadline": "24h",
            "submitted_at": "2026-11-23T07:00:00Z",
        }
    )
    assert begin(request, uid="a-random-uid", now=START, deadline=span("3d")) == watch(
        webhooks=("ops",), deadline=span("24h"), submitted_at=datetime.fromisoformat("2026-11-23T07:00:00Z")
    )


def test_a_watch_whose_request_says_nothing_begins_now_for_all_webhooks_and_the_provider_s_deadline() -> None:
    request = WatchRequest(provider="d7", params={"request_id": "9d05"})
    assert begin(request, uid="a-random-uid", now=START, deadline=span("3d")) == watch(id=request.watch_id, labels={})


def test_a_deadline_of_nothing_is_not_the_provider_s() -> None:
    request = WatchRequest(provider="d7", params={}, deadline=span("0s"))
    assert begin(request, uid="a-random-uid", now=START, deadline=span("3d")).deadline_at == START


# --- seen -----------------------------------------------------------------------------------------------------


def test_the_first_answer_is_a_change() -> None:
    step = poll(watch(), SEEN_RUNNING)
    after_it = watch(sequence=1, changed_at=after("10s"), snapshot=SNAPSHOT)
    assert step == Step(after_it, before=0, events=step.events, wait=span("2s"), writes=True)
    assert types(step) == ["watch.status.changed"]


def test_the_same_answer_again_changes_and_writes_nothing() -> None:
    before = watch(SNAPSHOT)
    assert poll(before, SEEN_RUNNING) == Step(before, before=1, wait=span("7s"))


def test_another_detail_alone_is_no_event() -> None:
    before = watch(SNAPSHOT)
    assert poll(before, Seen(saying("RUNNING", State.IN_PROGRESS, Detail="soon"))) == Step(before, 1, wait=span("7s"))


def test_another_scheduled_start_is_written_without_an_event() -> None:
    before = watch(Snapshot("pending", State.PENDING, messages={"a": mark("scheduled")}))
    step = poll(before, Seen(listing(message("a", "scheduled"), not_before=after("1h"))))
    snapshot = Snapshot("pending", State.PENDING, messages={"a": mark("scheduled")}, not_before=after("1h"))
    assert step == Step(replace(before, snapshot=snapshot), before=1, wait=span("5m"), writes=True)


def test_a_scheduled_watch_lives_until_a_deadline_that_counts_from_its_start() -> None:
    step = poll(watch(deadline=span("1m")), Seen(listing(not_before=after("1h"))), at=after("58s"))
    assert (step.watch.ending, step.watch.deadline_at, step.wait) == (None, after("61m"), span("5m"))


def test_an_answer_that_asks_to_wait_is_seen_and_waited_for() -> None:
    step = poll(watch(), Seen(RUNNING, retry_after=span("90s")))
    assert (types(step), step.wait) == (["watch.status.changed"], span("90s"))


def test_one_poll_tells_recovered_then_messages_in_order_then_progress_then_status() -> None:
    before = watch(SNAPSHOT, trouble=TOLD)
    listed = (message("z", "sent"), message("a", "delivered"))
    step = poll(before, Seen(Observation("SENDING", State.IN_PROGRESS, 50, listed)))
    assert types(step) == [
        "watch.recovered",
        "message.status.changed",
        "message.status.changed",
        "watch.progress.changed",
        "watch.status.changed",
    ]
    assert [body["sequence"] for body in told(step)] == [2, 3, 4, 5, 6]
    assert [body.get("message") for body in told(step)] == [None, "z", "a", None, None]
    assert step.watch.sequence == 6


def test_progress_that_an_answer_has_not_is_no_change() -> None:
    before = watch(replace(SNAPSHOT, progress=50))
    assert types(poll(before, SEEN_RUNNING)) == []
    assert types(poll(before, Seen(replace(RUNNING, progress=50)))) == []
    assert types(poll(before, Seen(replace(RUNNING, progress=49.5)))) == ["watch.progress.changed"]


# --- finished -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [state for state in State if state.is_final])
def test_a_final_status_ends_the_watch_under_its_name(state: State) -> None:
    step = poll(watch(SNAPSHOT), Seen(saying("OVER", state)))
    assert (step.wait, step.watch.ending) == (None, Ending(state.value))
    assert (step.watch.finished_at, step.watch.changed_at) == (after("10s"), after("10s"))
    assert types(step) == ["watch.status.changed", "watch.finished"]


def test_a_watch_that_ends_at_once_tells_all_and_brings_its_result() -> None:
    observation = Observation("SUCCESSFUL", State.SUCCEEDED, 100, (message("a", "delivered"),), result={"n": 1})
    step = poll(watch(), Seen(observation))
    assert types(step) == [
        "message.status.changed",
        "watch.progress.changed",
        "watch.status.changed",
        "watch.finished",
    ]
    assert orjson.loads(step.events[-1].body) == {
        "type": "watch.finished",
        "timestamp": "2026-11-23T07:30:10.123456Z",
        "data": {
            "watch": "order-42",
            "provider": "d7",
            "params": {"request_id": "9d05"},
            "labels": {"order": "42"},
            "sequence": 4,
            "outcome": "succeeded",
            "status": "SUCCESSFUL",
            "progress": 100,
            "counts": {"delivered": 1},
            "reason": None,
            "result": {"n": 1},
            "messages": {"a": "delivered"},
            "started": "2026-11-23T07:30:00.123456Z",
        },
    }


@pytest.mark.parametrize(
    ("outcome", "at"),
    [
        pytest.param(Seen(DONE), "10s", id="succeeded"),
        pytest.param(SEEN_RUNNING, "3d", id="expired"),
        pytest.param(Missing(), "10s", id="gone"),
    ],
)
def test_no_recovery_is_told_where_the_end_follows(outcome: Final, at: str) -> None:
    step = poll(watch(SNAPSHOT, trouble=TOLD), outcome, at=after(at))
    assert "watch.recovered" not in types(step)
    assert (types(step)[-1], step.watch.trouble) == ("watch.finished", None)


def test_a_d7_watch_of_no_messages_is_not_all_delivered() -> None:
    step = poll(watch(), Seen(listing()))
    assert (types(step), step.watch.ending) == (["watch.status.changed"], None)


def test_a_d7_watch_ends_when_messages_that_are_no_longer_listed_were_final_too() -> None:
    before = watch(Snapshot("in_progress", State.IN_PROGRESS, messages={"a": mark("rejected"), "b": mark("sent")}))
    step = poll(before, Seen(listing(message("b", "delivered"), total=2)))
    assert step.watch.ending is Ending.PARTIALLY_SUCCEEDED
    assert told(step)[-1]["messages"] == {"a": "rejected", "b": "delivered"}


@pytest.mark.parametrize(
    ("outcome", "events"),
    [
        pytest.param(SEEN_RUNNING, ["watch.finished"], id="nothing-new"),
        pytest.param(
            Seen(saying("SENDING", State.IN_PROGRESS)), ["watch.status.changed", "watch.finished"], id="a-change"
        ),
        pytest.param(Missing(), ["watch.finished"], id="missing-once"),
        pytest.param(Throttled(429, span("1h")), ["watch.finished"], id="throttled"),
        pytest.param(Broken(Reason.UNREACHABLE), ["watch.finished"], id="broken"),
    ],
)
def test_at_its_deadline_a_watch_expires_after_one_last_poll(outcome: Final, events: list[str]) -> None:
    step = poll(watch(SNAPSHOT), outcome, at=after("3d"))
    assert (types(step), step.watch.ending, step.wait) == (events, Ending.EXPIRED, None)


def test_a_last_poll_that_is_final_is_no_expiry() -> None:
    assert poll(watch(SNAPSHOT), Seen(DONE), at=after("9d")).watch.ending is Ending.SUCCEEDED


def test_the_last_poll_before_the_deadline_leads_to_the_one_at_it() -> None:
    assert poll(watch(SNAPSHOT), SEEN_RUNNING, at=after("3d") - span("3s")).wait == span("3s")


def test_a_cancellation_ends_a_watch_and_carries_its_intent() -> None:
    step = cancel(watch(SNAPSHOT, trouble=TOLD), now=after("10s"), intent=7)
    ended = watch(SNAPSHOT, sequence=2, changed_at=after("10s"), ending=Ending.CANCELLED, finished_at=after("10s"))
    assert step == Step(ended, before=1, events=step.events, writes=True, intent=7)
    assert types(step) == ["watch.finished"]
