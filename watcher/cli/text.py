"""How commands print: tables and JSON. Whatever came from outside is made harmless to a terminal first."""

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
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


class Table:
    """Prints rows under their heads as they come; each column is as wide as it needed to be so far."""

    def __init__(self, heads: Sequence[str]) -> None:
        self._heads: Sequence[str] | None = heads
        self._widths = [len(head) for head in heads]

    def add(self, rows: Iterable[Sequence[object]]) -> None:
        """Print some more rows; the heads go before the first of them, or stand alone."""
        lines = [[harmless(cell) for cell in row] for row in rows]
        if self._heads is not None:
            lines.insert(0, [*self._heads])
            self._heads = None
        for line in lines:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, line, strict=True)]
        for line in lines:
            typer.echo("  ".join(map(str.ljust, line, self._widths)).rstrip())


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their heads, each column as wide as it needs."""
    Table(heads).add(rows)


def json(value: object) -> None:
    """Print one JSON document."""
    typer.echo(written(value))


@contextmanager
def json_array() -> Iterator[Callable[[object], None]]:
    """Print one JSON array, whose members are given one by one; where it ends early it is not closed."""
    before = "[\n"

    def add(value: object) -> None:
        nonlocal before
        typer.echo(before + written(value), nl=False)
        before = ",\n"

    yield add
    typer.echo("[]" if before == "[\n" else "\n]")


def written(value: object) -> str:
    """Write one JSON value, indented for people on a terminal."""
    option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    return orjson.dumps(
        value, default=_plain, option=option | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
    ).decode()


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
