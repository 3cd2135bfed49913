"""How commands print: tables and JSON. Whatever came from outside is made harmless to a terminal first."""

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum

import orjson
import typer

from watcher.core.duration import format_duration
from watcher.core.moment import rfc3339


def harmless(value: object) -> str:
    """Show any value on one line, without a character that a terminal would obey."""
    match value:
        case None:
            return "-"
        case datetime():
            return rfc3339(value)[:19] + "Z"
        case timedelta():
            return format_duration(value)
        case float():
            return f"{value:g}"
        case Enum():
            return str(value.value)
        case _:
            return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their heads, each column as wide as it needs."""
    lines = [heads, *([harmless(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def json(value: object) -> None:
    """Print one JSON value, indented for people on a terminal."""
    option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    typer.echo(
        orjson.dumps(
            value, default=_plain, option=option | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
        ).decode()
    )


def _plain(value: object) -> object:
    match value:
        case datetime():
            return rfc3339(value)
        case timedelta():
            return value.total_seconds()
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case _:
            return fields(value)


def fields(value: object) -> dict[str, object]:
    """Return a dataclass as a dict, not deep."""
    if not dataclasses.is_dataclass(value):
        raise TypeError(type(value).__name__)
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
