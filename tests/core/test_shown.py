"""What programs are shown of a watch, also when its details are forgotten."""

from dataclasses import replace

import pytest
from make import after, watch

from watcher.core.model import Ending, State
from watcher.core.shown import shown_watch


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
