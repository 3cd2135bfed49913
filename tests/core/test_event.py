"""What an event says, key by key: SPEC, section 6."""

import re
from datetime import timedelta

import orjson
import pytest
from make import SNAPSHOT, START, STARTED, after, mark, message, saying, watch

from watcher.core import event
from watcher.core.diff import MessageChange
from watcher.core.event import Draft, event_id, provider_changed
from watcher.core.model import Condition, Ending, Event, EventType, Json, Reason, Snapshot, State, Trouble
from watcher.core.moment import rfc3339

SEEN = Snapshot(
    "RUNNING",
    State.IN_PROGRESS,
    progress=37.5,
    messages={"a": mark("delivered"), "b": mark("sent"), "c": mark("delivered")},
)


def test_a_message_that_changed_is_told_as_the_promise_shows_it() -> None:
    detail: dict[str, Json] = {"recipient": "+9715097526xx", "country": "AE", "number_of_sms": 4, "sms_cost": 0.0004}
    change = MessageChange(message("7053a678", "delivered", **detail), mark("sent"))
    (told,) = event.number(watch(sequence=2), [event.message_changed(change)], at=START)
    data = {
        "watch": "order-42",
        "provider": "d7",
        "params": {"request_id": "9d05"},
        "labels": {"order": "42"},
        "sequence": 3,
        "message": "7053a678",
        "from": "sent",
        "to": "delivered",
        "from_state": "in_progress",
        "to_state": "succeeded",
        "detail": detail,
    }
    body = {"type": "message.status.changed", "timestamp": STARTED, "data": data}
    assert told == Event(
        id=event.event_id("a-random-uid", 3),
        type=EventType.MESSAGE,
        at=START,
        uid="a-random-uid",
        watch="order-42",
        provider="d7",
        sequence=3,
        body=orjson.dumps(body),
    )


def test_a_message_that_is_new_comes_from_nothing() -> None:
    assert event.message_changed(MessageChange(message("a", "sent"), None)) == Draft(
        EventType.MESSAGE,
        {
            "message": "a",
            "from": None,
            "to": "sent",
            "from_state": None,
            "to_state": State.IN_PROGRESS,
            "detail": {},
        },
    )


@pytest.mark.parametrize(
    ("before", "start"),
    [
        pytest.param(None, None, id="seen-for-the-first-time"),
        pytest.param(SNAPSHOT, None, id="first-progress-of-a-watch-that-was-seen"),
        pytest.param(SEEN, 37.5, id="changed"),
    ],
)
def test_progress_is_told_from_number_to_number(before: Snapshot | None, start: float | None) -> None:
    now = Snapshot("RUNNING", State.IN_PROGRESS, progress=100)
    assert event.progress_changed(before, now) == Draft(EventType.PROGRESS, {"from": start, "to": 100})


def test_a_status_is_told_with_progress_counts_and_detail() -> None:
    before = Snapshot("QUEUED", State.PENDING)
    assert event.status_changed(before, SEEN, saying("RUNNING", State.IN_PROGRESS, comments="soon")) == Draft(
        EventType.STATUS,
        {
            "from": "QUEUED",
            "to": "RUNNING",
            "from_state": State.PENDING,
            "to_state": State.IN_PROGRESS,
            "progress": 37.5,
            "counts": {"delivered": 2, "sent": 1},
            "detail": {"comments": "soon"},
        },
    )


def test_a_first_status_comes_from_nothing() -> None:
    assert event.status_changed(None, SNAPSHOT, saying("RUNNING", State.IN_PROGRESS)) == Draft(
        EventType.STATUS,
        {
            "from": None,
            "to": "RUNNING",
            "from_state": None,
            "to_state": State.IN_PROGRESS,
            "progress": None,
            "counts": {},
            "detail": {},
        },
    )


@pytest.mark.parametrize("kind", [EventType.TROUBLE, EventType.RECOVERED])
def test_trouble_is_told_with_its_reason_and_since_when(kind: EventType) -> None:
    trouble = Trouble(Reason.SERVER_ERROR, START, 502, polls=3)
    assert event.trouble_told(kind, trouble) == Draft(
        kind, {"reason": Reason.SERVER_ERROR, "since": STARTED, "http_status": 502}
    )


def test_an_end_is_told_with_all_that_was_seen_last() -> None:
    draft = event.finished(watch(SEEN), Ending.FAILED, reason="denied_or_deleted", result={"a": [1]})
    assert draft == Draft(
        EventType.FINISHED,
        {
            "outcome": Ending.FAILED,
            "status": "RUNNING",
            "progress": 37.5,
            "counts": {"delivered": 2, "sent": 1},
            "reason": "denied_or_deleted",
            "result": {"a": [1]},
            "messages": {"a": "delivered", "b": "sent", "c": "delivered"},
            "started": STARTED,
        },
    )


def test_an_end_of_a_watch_that_was_never_seen_knows_nothing_of_it() -> None:
    assert event.finished(watch(accepted_at=after("1h")), Ending.GONE) == Draft(
        EventType.FINISHED,
        {
            "outcome": Ending.GONE,
            "status": None,
            "progress": None,
            "counts": {},
            "reason": None,
            "result": None,
            "messages": {},
            "started": STARTED,
        },
    )


@pytest.mark.parametrize(
    ("length", "is_told"), [pytest.param(64 * 1024, True, id="64 KiB"), pytest.param(64 * 1024 + 1, False, id="more")]
)
def test_messages_of_more_than_64_kib_are_null(length: int, *, is_told: bool) -> None:
    key = "k" * (length - len('{"":"sent"}'))
    ended = event.finished(watch(Snapshot("s", State.SUCCEEDED, messages={key: mark("sent")})), Ending.SUCCEEDED)
    assert ended.data["messages"] == ({key: "sent"} if is_told else None)
    assert ended.data["counts"] == {"sent": 1}


def test_every_event_says_whose_it_is_and_has_the_next_number() -> None:
    kinds = [kind for kind in EventType if not kind.startswith("provider.")]
    drafts = [Draft(kind, {}) for kind in kinds]
    told = event.number(watch(sequence=7), drafts, at=START)
    assert [orjson.loads(one.body) for one in told] == [
        {
            "type": kind,
            "timestamp": STARTED,
            "data": {
                "watch": "order-42",
                "provider": "d7",
                "params": {"request_id": "9d05"},
                "labels": {"order": "42"},
                "sequence": 8 + place,
            },
        }
        for place, kind in enumerate(kinds)
    ]


def test_an_id_is_for_ever_and_of_one_uid_and_sequence() -> None:
    assert event.event_id("a-random-uid", 3) == "evt_7unqj5srbzddbfhbdh4t7nudxxe2nx6b"
    assert len({event.event_id(uid, sequence) for uid in ("a", "b", "a:1") for sequence in (1, 11, 2)}) == 9
    assert re.fullmatch(r"evt_[a-z0-9]{32}", event.event_id("a", 1))


def test_a_provider_that_goes_down_and_comes_back_is_told_in_two_events_of_one_condition() -> None:
    down = provider_changed(Condition("d7", uid="u"), reason=Reason.DENIED, at=START, watches=3)
    up = provider_changed(down.condition, reason=None, at=START + timedelta(seconds=90), watches=2)
    assert orjson.loads(down.event.body) == {
        "type": "provider.down",
        "timestamp": rfc3339(START),
        "data": {
            "watch": None,
            "provider": "d7",
            "sequence": None,
            "reason": "denied",
            "since": rfc3339(START),
            "open": 3,
        },
    }
    assert orjson.loads(up.event.body)["data"]["since"] == rfc3339(START)
    assert orjson.loads(up.event.body)["data"]["reason"] == "denied"
    assert (up.event.type, up.event.watch, up.event.sequence) == (EventType.PROVIDER_UP, None, None)
    assert [down.event.id, up.event.id] == [event_id("u", 1), event_id("u", 2)]
    assert up.condition == Condition("d7", "u", 2, None, None)
