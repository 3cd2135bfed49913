"""What programs are shown of a watch, also when its details are forgotten; and of a delivery."""

from dataclasses import replace

import pytest
from make import STARTED, after, event, watch

from watcher.core.model import Ending, EventType, State
from watcher.core.rows import DeliveryRow, EventRow, Held, Hold
from watcher.core.shown import shown_delivery, shown_event, shown_watch


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        (None, State.PENDING),
        (Ending.SUCCEEDED, State.SUCCEEDED),
        (Ending.PARTIALLY_SUCCEEDED, State.PARTIALLY_SUCCEEDED),
        (Ending.FAILED, State.FAILED),
        (Ending.EXPIRED, None),
        (Ending.CANCELLED, None),
    ],
)
def test_of_what_was_forgotten_or_never_seen_the_state_is_what_its_end_says(
    ending: Ending | None, state: State | None
) -> None:
    ended = replace(watch(), ending=ending, finished_at=None if ending is None else after("1m"))
    assert shown_watch(ended)["state"] is state


def test_of_a_delivery_all_is_shown_and_what_keeps_it_back() -> None:
    row = DeliveryRow(
        *(7, "ops", "evt_1", EventType.STATUS, "order-42", 1, "waiting", 2),
        due_at=after("1m"),
        last_at=after("1s"),
        last_status=500,
        last_error="500 Internal Server Error",
        duration=0.25,
        is_behind=True,
    )
    shown = {
        "id": 7,
        "webhook": "ops",
        "event_id": "evt_1",
        "type": "watch.status.changed",
        "watch": "order-42",
        "sequence": 1,
        "status": "waiting",
        "attempts": 2,
        "due_at": after("1m"),
        "last_at": after("1s"),
        "last_status": 500,
        "last_error": "500 Internal Server Error",
        "duration": 0.25,
    }
    assert shown_delivery(row, None) == {**shown, "held": None, "held_until": None}
    hold = Hold(Held.PAUSED, after("5m"))
    assert shown_delivery(row, hold) == {**shown, "held": "paused", "held_until": after("5m")}


def test_of_an_event_its_body_is_shown_with_its_id_and_its_place_in_the_log() -> None:
    told = event(message="m-1", to="sent")
    row = EventRow(42, told)
    data = {"message": "m-1", "to": "sent"}
    body = {"type": "message.status.changed", "timestamp": STARTED, "data": data}
    assert shown_event(row) == {"id": told.id, "cursor": 42, **body}
