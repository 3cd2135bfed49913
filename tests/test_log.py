import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
import time_machine

from watcher.log import EVENTS, configure, hide, logger

CANARY = "canary-7f3a"
NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    for hook in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, hook, getattr(sys, hook))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    with time_machine.travel(NOW, tick=False):
        yield
    structlog.reset_defaults()


@pytest.fixture
def out() -> io.BytesIO:
    return io.BytesIO()


def lines(out: io.BytesIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def line(level: str, event: str, **values: object) -> dict[str, object]:
    return {"timestamp": "2026-11-23T07:30:00.000000Z", "level": level, "event": event, **values}


def test_a_line_is_one_json_object_with_time_level_and_event_first(out: io.BytesIO) -> None:
    configure(format="json", stream=out)
    logger().info("delivery.attempted", webhook="ops", status=200, duration_ms=1.5, error=None)
    assert out.getvalue() == (
        b'{"timestamp":"2026-11-23T07:30:00.000000Z","level":"info","event":"delivery.attempted",'
        b'"webhook":"ops","status":200,"duration_ms":1.5,"error":null}\n'
    )


def test_lines_below_the_level_are_not_written(out: io.BytesIO) -> None:
    configure(format="json", level="warning", stream=out)
    logger().info("poll.done")
    logger().warning("source.down")
    assert lines(out) == [line("warning", "source.down")]


def test_a_logger_follows_a_later_set_up(out: io.BytesIO) -> None:
    configure(format="json", stream=io.BytesIO())
    log = logger()
    log.info("daemon.started")
    configure(format="json", stream=out)
    log.info("config.reloaded")
    assert lines(out) == [line("info", "config.reloaded")]


def test_an_event_that_is_not_listed_is_refused_where_it_is_strict(out: io.BytesIO) -> None:
    configure(format="json", stream=out, strict=True)
    with pytest.raises(ValueError, match=r"'something\.else' is not in the closed list of events"):
        logger().info("something.else")
    assert lines(out) == []


def test_an_event_that_is_not_listed_is_kept_as_a_fault_where_it_is_not_strict(out: io.BytesIO) -> None:
    configure(format="json", stream=out)
    logger().info("something.else", watch="w")
    assert lines(out) == [line("info", "daemon.fault", watch="w", unlisted="something.else")]


def test_events_are_things_that_happened() -> None:
    assert len(EVENTS) == 27
    assert all(event.count(".") == 1 and event.islower() for event in EVENTS)


def test_an_event_keeps_its_name_however_short_a_secret_is(out: io.BytesIO) -> None:
    configure(format="json", stream=out, secrets=["t"])
    logger().info("daemon.started", state="watcher.db")
    assert lines(out) == [line("info", "daemon.started", state="wa********cher.db")]


def test_no_line_shows_a_secret_wherever_it_stands(out: io.BytesIO) -> None:
    configure(format="json", stream=out, secrets=[CANARY, "", f"{CANARY}-longer"])
    try:
        raise RuntimeError(CANARY)  # noqa: TRY301  # a traceback is wanted
    except RuntimeError as error:
        logger().exception(
            "daemon.fault",
            text=f"<{CANARY}-longer>",
            raw=CANARY.encode(),
            table={CANARY: [CANARY, (CANARY, 1)]},
            error=error,
            path=Path(CANARY),
        )
    [found] = lines(out)
    assert CANARY not in out.getvalue().decode()
    assert str(found.pop("exception")).endswith("RuntimeError: ********")
    assert found == line(
        "error",
        "daemon.fault",
        text="<********>",
        raw="********",
        table={"********": ["********", ["********", 1]]},
        error="********",
        path="********",
    )


def test_no_value_loses_its_line(out: io.BytesIO) -> None:
    configure(format="json", stream=out)
    logger().info("request.rejected", big=2**70, where="\udcff", raw=b"\xff", at=NOW, wait=timedelta(seconds=1))
    assert lines(out) == [
        line(
            "info",
            "request.rejected",
            big=2**70,
            where="\udcff",
            raw="�",
            at="2026-11-23T07:30:00.000000Z",
            wait="0:00:01",
        )
    ]


def test_on_a_terminal_lines_are_for_eyes(out: io.BytesIO) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    configure(stream=terminal)
    logger().info("daemon.ready", watches=3)
    assert b"\x1b[" in terminal.getvalue()
    configure(format="console", stream=out)
    logger().info("daemon.ready", watches=3, where="\udcff")
    assert out.getvalue().split() == b"2026-11-23T07:30:00.000000Z [info ] daemon.ready watches=3 where=?".split()


def test_without_a_terminal_auto_is_json(out: io.BytesIO) -> None:
    configure(stream=out)
    logger().info("daemon.ready")
    assert lines(out) == [line("info", "daemon.ready")]


def test_standard_output_is_where_lines_go(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    configure(format="json")
    logger().info("daemon.ready")
    assert structlog.get_config()["logger_factory"]().flush(within=20)
    assert capfdbinary.readouterr() == (
        b'{"timestamp":"2026-11-23T07:30:00.000000Z","level":"info","event":"daemon.ready"}\n',
        b"",
    )


def test_warnings_become_lines(out: io.BytesIO) -> None:
    configure(format="json", stream=out, secrets=[CANARY])
    warnings.showwarning(f"old {CANARY}", DeprecationWarning, "x.py", 7)
    assert lines(out) == [
        line("warning", "daemon.fault", message="old ********", category="DeprecationWarning", where="x.py:7")
    ]


def test_other_packages_records_become_lines_from_warning_on(out: io.BytesIO) -> None:
    configure(format="json", stream=out)
    foreign = logging.getLogger("foreign")
    foreign.info("chatter")
    foreign.warning("%s broke", "it")
    try:
        raise RuntimeError("why")  # noqa: TRY301  # a traceback is wanted
    except RuntimeError:
        foreign.exception("it broke")
    warned, failed = lines(out)
    assert warned == line("warning", "daemon.fault", message="it broke", logger="foreign")
    assert str(failed.pop("exception")).endswith("RuntimeError: why")
    assert failed == line("error", "daemon.fault", message="it broke", logger="foreign")


def test_at_debug_other_packages_records_are_all_lines(out: io.BytesIO) -> None:
    configure(format="json", level="debug", stream=out)
    logging.getLogger("foreign").debug("chatter")
    assert lines(out) == [line("debug", "daemon.fault", message="chatter", logger="foreign")]


def test_uncaught_exceptions_become_lines(out: io.BytesIO) -> None:
    configure(format="json", stream=out)
    error = ValueError("why")
    sys.excepthook(ValueError, error, None)
    assert lines(out) == [line("critical", "daemon.fault", message="uncaught exception", exception="ValueError: why")]


def test_uncaught_exceptions_of_threads_become_lines(out: io.BytesIO) -> None:
    def fail() -> None:
        raise ValueError("why")

    configure(format="json", stream=out)
    thread = threading.Thread(target=fail, name="writer")
    thread.start()
    thread.join()
    threading.excepthook(threading.ExceptHookArgs((SystemExit, None, None, None)))
    threading.excepthook(threading.ExceptHookArgs((ValueError, None, None, None)))
    known, unknown = lines(out)
    assert str(known.pop("exception")).endswith("ValueError: why")
    assert known == line("critical", "daemon.fault", message="uncaught exception in thread writer")
    assert unknown == line(
        "critical", "daemon.fault", message="uncaught exception in thread unknown", exception="ValueError"
    )


def test_exceptions_that_python_ignores_become_lines(out: io.BytesIO) -> None:
    configure(format="json", stream=out)
    for message in (None, "ignored in x"):
        caught = SimpleNamespace(exc_type=ValueError, exc_value=None, exc_traceback=None, err_msg=message, object=None)
        sys.unraisablehook(caught)
    assert lines(out) == [
        line("error", "daemon.fault", message="exception ignored", exception="ValueError"),
        line("error", "daemon.fault", message="ignored in x", exception="ValueError"),
    ]


def test_a_message_is_named_by_a_short_hash_of_its_key() -> None:
    assert hide("+971509752655") == hide("+971509752655") == "fdae6702"
    assert hide("+971509752656") != hide("+971509752655")
