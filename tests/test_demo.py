"""`watcher demo` shows that everything arrives, and is not content with less."""

import subprocess
import sys
import time
from dataclasses import replace

import pytest

from watcher.demo.receiver import Arrival
from watcher.demo.story import Change, Plot
from watcher.demo.verdict import Tally, tallies


def came(sequence: int, before: str | None, after: str) -> Arrival:
    return Arrival(
        at=0.0,
        id=f"evt_{sequence}",
        attempt=1,
        type="watch.status.changed",
        watch="w-1",
        provider="d7",
        sequence=sequence,
        message=None,
        before=before,
        after=after,
        problem=None,
        answered=204,
        is_repeat=False,
        is_in_order=True,
        headers={},
        body=b"",
    )


PLOT = Plot(
    *("d7", "w-1", "op-1", {}, []),
    expected=[Change("watch.status.changed", None, None, "a"), Change("watch.status.changed", None, "a", "b")],
)
FIRST, SECOND = came(1, None, "a"), came(2, "a", "b")


@pytest.mark.parametrize(
    ("arrivals", "tally"),
    [
        ([FIRST, SECOND], Tally("d7", 1, 2, 2, 2, is_in_order=True, retried=0)),
        ([FIRST, SECOND, replace(SECOND, is_repeat=True)], Tally("d7", 1, 2, 2, 2, is_in_order=True, retried=0)),
        (
            [replace(FIRST, answered=503), replace(FIRST, attempt=2), SECOND],
            Tally("d7", 1, 2, 2, 2, is_in_order=True, retried=1),
        ),
        ([], Tally("d7", 1, 2, 0, 0, is_in_order=False, retried=0)),
        ([FIRST], Tally("d7", 1, 2, 1, 1, is_in_order=False, retried=0)),
        ([SECOND, FIRST], Tally("d7", 1, 2, 2, 2, is_in_order=False, retried=0)),
        ([FIRST, came(3, "a", "b")], Tally("d7", 1, 2, 2, 2, is_in_order=False, retried=0)),
        ([FIRST, came(2, "a", "c")], Tally("d7", 1, 2, 2, 2, is_in_order=False, retried=0)),
        ([FIRST, SECOND, came(3, "b", "c")], Tally("d7", 1, 2, 3, 3, is_in_order=False, retried=0)),
        (
            [FIRST, replace(SECOND, problem="no signature matches", answered=401)],
            Tally("d7", 1, 2, 2, 1, is_in_order=False, retried=0),
        ),
    ],
)
def test_only_exactly_the_expected_events_in_order_are_well(arrivals: list[Arrival], tally: Tally) -> None:
    assert tallies([PLOT], arrivals) == [tally]
    assert tally.is_well == tally.is_in_order


def test_the_demo_ends_by_itself_and_every_event_arrived_verified_and_in_order() -> None:
    begun_at = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "watcher", "demo"], capture_output=True, text=True, timeout=60, check=False
    )
    took = time.monotonic() - begun_at
    rows = [
        [cell.strip() for cell in line.split("|")[1:7]] for line in ended.stdout.splitlines() if line.startswith("| ")
    ]
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert rows == [
        ["provider", "watches", "expected", "arrived", "verified", "in order"],
        ["d7", "1", "10", "10", "10", "yes"],
        ["kore", "1", "8", "8", "8", "yes"],
        ["chime", "2", "6", "6", "6", "yes"],
        ["ukg", "1", "7", "7", "7", "yes"],
    ]
    assert "answered 503 on purpose" in ended.stdout
    assert "refused: watches.jsonl:2: " in ended.stdout
    assert "\x1b" not in ended.stdout
    assert took < 20
