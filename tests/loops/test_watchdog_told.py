"""What systemd is told as time goes by, over a real socket."""

from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from notified import Ear, listening
from structlog.testing import capture_logs

from watcher.metrics import OLDEST_DUE, OLDEST_UNDELIVERED, OUTBOX, WATCHES, Reading
from watcher.systemd import Standing, keep_told, status

QUIET = (
    Reading(WATCHES, ("d7", "pending"), 1000),
    Reading(WATCHES, ("d7", "in_progress"), 200),
    Reading(WATCHES, ("ukg", "pending"), 34),
    Reading(OLDEST_DUE, ("d7",), 0.2),
    Reading(OLDEST_DUE, ("ukg",), 0.0),
    Reading(OUTBOX, ("ops",), 3),
    Reading(OLDEST_UNDELIVERED, ("ops",), 99.0),
)
TOLD = "STATUS=1,234 open watches, on time, 3 deliveries waiting"


@pytest.fixture
def ear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    with listening(tmp_path, monkeypatch) as ear:
        yield ear


async def tell(look: Callable[[], Standing | None], *, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await keep_told(look)


async def test_how_things_stand_is_told_every_five_seconds(ear: Ear) -> None:
    await tell(lambda: Standing(QUIET), seconds=14)
    assert ear.heard() == [TOLD] * 3


async def test_the_watchdog_is_fed_three_times_as_often_as_it_must_be(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "6000000")
    await tell(lambda: Standing(QUIET), seconds=5)
    assert ear.heard() == [f"{TOLD}\nWATCHDOG=1"] * 3


async def test_a_patient_watchdog_is_fed_as_often_as_there_is_news(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    await tell(lambda: Standing(QUIET), seconds=14)
    assert ear.heard() == [f"{TOLD}\nWATCHDOG=1"] * 3


async def test_while_a_loop_is_stuck_the_watchdog_is_not_fed_and_the_log_says_so_once(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    standings = iter(Standing(QUIET, stuck) for stuck in ((), ("deliver ops",), ("deliver ops", "poll d7"), ()))
    with capture_logs() as logs:
        await tell(lambda: next(standings), seconds=19)

    rest = TOLD.removeprefix("STATUS=")
    assert ear.heard() == [
        f"{TOLD}\nWATCHDOG=1",
        f"STATUS=stuck: deliver ops, {rest}",
        f"STATUS=stuck: deliver ops, poll d7, {rest}",
        f"{TOLD}\nWATCHDOG=1",
    ]
    assert logs == [
        {
            "event": "daemon.fault",
            "log_level": "error",
            "message": "stuck: the watchdog is not fed",
            "loops": ["deliver ops"],
        }
    ]


async def test_nothing_is_told_before_there_is_anything_to_tell(ear: Ear) -> None:
    await tell(lambda: None, seconds=60)
    assert ear.heard() == []


def test_the_status_names_the_provider_that_is_latest() -> None:
    late = [*QUIET, Reading(OLDEST_DUE, ("kore",), 12.3), Reading(OLDEST_DUE, ("chime",), 4000.4)]
    assert status(Standing(late)) == "STATUS=1,234 open watches, chime 4,000 s late, 3 deliveries waiting"


def test_the_status_of_a_daemon_that_has_nothing_to_do() -> None:
    assert status(Standing(())) == "STATUS=0 open watches, on time, 0 deliveries waiting"
