"""How the program logs: one JSON object a line on standard output, events from a closed list, no secret in any of them.

Everything else that Python would print (warnings, other packages' logs, tracebacks) becomes such a line too.
"""

import hashlib
import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import BinaryIO, Literal, TextIO, TypeAlias

import orjson
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from watcher.core.moment import rfc3339
from watcher.core.secret import MASK
from watcher.printer import nowhere, printer_of

Format: TypeAlias = Literal["json", "console", "auto"]
Level: TypeAlias = Literal["debug", "info", "warning", "error"]

FAULT = "daemon.fault"  # a bug, a warning, or another package's complaint: what no other event stands for
EVENTS = frozenset(
    {
        *("daemon.started", "daemon.ready", "daemon.stopping", "daemon.stopped", FAULT),
        *("config.reloaded", "config.rejected", "source.up", "source.down", "request.accepted", "request.rejected"),
        *("poll.done", "watch.changed", "watch.trouble", "watch.recovered", "watch.finished"),
        *("provider.down", "provider.up", "provider.throttled", "status.unknown"),
        *("delivery.attempted", "delivery.exhausted"),
        *("endpoint.paused", "endpoint.disabled", "endpoint.enabled", "store.slow", "lease.lost"),
    }
)


def configure(
    *,
    format: Format = "auto",
    level: Level = "info",
    stream: BinaryIO | None = None,
    secrets: Iterable[str] = (),
    strict: bool = False,
) -> None:
    """Send every line to `stream`, standard output by default; may be called again, as after a reload.

    `secrets` appear in no line. `strict` makes an event that is not in `EVENTS` a ValueError; without it the line
    is kept as `daemon.fault`.
    """
    out = stream or (sys.stdout.buffer if sys.stdout else nowhere())
    printer = structlog.BytesLogger(stream) if stream else printer_of(out, missing=_missing)
    on_terminal = format == "console" or (format == "auto" and out.isatty())
    structlog.configure(
        processors=[
            _Listed(strict=strict),
            structlog.processors.format_exc_info,
            _Redacted(secrets),
            _stamp,
            _Console(colors=out.isatty()) if on_terminal else _json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: printer,
        cache_logger_on_first_use=False,  # or a reload would not reach the loggers that exist
    )
    _take_over(level)


def logger() -> FilteringBoundLogger:
    """Return the logger; it follows every later `configure`."""
    log: FilteringBoundLogger = structlog.get_logger()
    return log


def hide(key: str) -> str:
    """Name a message without its key, which may be a telephone number: 8 letters, the same for the same key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:8]


# --- from call to line ----------------------------------------------------------------------------------------


class _Listed:
    """Refuses an event that SPEC.md does not list."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict

    def __call__(self, _logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        name = event_dict["event"]
        if name in EVENTS:
            return event_dict
        if self._strict:
            raise ValueError(f"{name!r} is not in the closed list of events")
        return {**event_dict, "event": FAULT, "unlisted": name}


class _Redacted:
    """Puts a mask in place of every known secret: the net below the rule that no secret is logged at all."""

    def __init__(self, secrets: Iterable[str]) -> None:
        longest_first = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, _logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        cleaned = {key: self._clean(value) for key, value in event_dict.items()}
        return cleaned | {"event": event_dict["event"]}  # of the closed list, also where a secret is as short as "s"

    def _clean(self, value: object) -> object:
        match value:
            case str():
                return self._pattern.sub(MASK, value) if self._pattern else value
            case None | bool() | int() | float():
                return value
            case bytes():
                return self._clean(value.decode("utf-8", "replace"))
            case datetime():
                return rfc3339(value)
            case Mapping():
                return {str(self._clean(key)): self._clean(inner) for key, inner in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._clean(inner) for inner in value]
            case _:
                return self._clean(str(value))


def _stamp(_logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
    event = event_dict.pop("event")
    return {"timestamp": rfc3339(datetime.now(UTC)), "level": method, "event": event, **event_dict}


def _json(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> bytes:
    try:
        return orjson.dumps(event_dict)
    except TypeError:  # integers beyond 64 bit, names of files that are not UTF-8: rare, and the line is kept
        return json.dumps(event_dict).encode()


def _missing(number: int) -> bytes:
    """Make the line that stands where others are missing."""
    told = {"event": FAULT, "message": "lines are missing: nobody read them, or there was no room", "lines": number}
    return orjson.dumps(_stamp(None, "error", told))


class _Console:
    """Renders for eyes."""

    def __init__(self, *, colors: bool) -> None:
        self._renderer = ConsoleRenderer(colors=colors, exception_formatter=plain_traceback)

    def __call__(self, logger: WrappedLogger, method: str, event_dict: EventDict) -> bytes:
        return str(self._renderer(logger, method, event_dict)).encode("utf-8", "replace")


# --- what others would print ----------------------------------------------------------------------------------


class _Foreign(logging.Handler):
    """Other packages' log records as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        logger().log(record.levelno, FAULT, message=record.getMessage(), logger=record.name, exc_info=record.exc_info)


def _take_over(level: Level) -> None:
    """Turn warnings, log records, and uncaught exceptions of every thread into lines."""
    # Others' records matter to our users from `warning` on; at `debug` they see everything.
    logging.basicConfig(handlers=[_Foreign()], level="DEBUG" if level == "debug" else "WARNING", force=True)
    logging.raiseExceptions = False
    warnings.showwarning = _on_warning
    sys.excepthook = _on_exception
    sys.unraisablehook = _on_unraisable
    threading.excepthook = _on_thread_exception


def _on_warning(  # the signature of warnings.showwarning
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    logger().warning(FAULT, message=str(message), category=category.__name__, where=f"{filename}:{lineno}")


def _on_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logger().critical(FAULT, message="uncaught exception", exc_info=(kind, error, trace))


def _on_unraisable(caught: "sys.UnraisableHookArgs") -> None:
    error = caught.exc_value or caught.exc_type()
    message = caught.err_msg or "exception ignored"
    logger().error(FAULT, message=message, exc_info=(caught.exc_type, error, caught.exc_traceback))


def _on_thread_exception(caught: threading.ExceptHookArgs) -> None:
    if caught.exc_type is SystemExit:
        return
    error = caught.exc_value or caught.exc_type()
    name = caught.thread.name if caught.thread else "unknown"
    message = f"uncaught exception in thread {name}"
    logger().critical(FAULT, message=message, exc_info=(caught.exc_type, error, caught.exc_traceback))
