"""How long lists are printed: page by page as they are read, whole unless a limit was asked for, as a table or JSON."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import anyio
import typer

from watcher.cli import text

PAGE = 1000
LOOK_EVERY = 0.5
NOTHING = "there is nothing of that"
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Form(Generic[Row]):
    """How a row is shown: to people in columns under `heads`, to programs as one value."""

    heads: Sequence[str]
    columns: Callable[[Row], Sequence[object]]
    shown: Callable[[Row], object]


class Read(Protocol[Row]):
    """Reads at most `limit` rows behind the cursor `after`."""

    def __call__(self, *, after: int, limit: int) -> Awaitable[list[Row]]:
        """Read them."""


async def pages(read: Read[Row], *, cursor: Callable[[Row], int], limit: int | None = None) -> AsyncIterator[list[Row]]:
    """Read on behind the cursor of the last row until there are no more; say so if `limit` cuts any off."""
    after, left = 0, limit
    while left is None or left > 0:
        wanted = PAGE if left is None else min(left, PAGE)
        rows = await read(after=after, limit=wanted + 1)
        yield rows[:wanted]
        if len(rows) <= wanted:
            return
        after, left = cursor(rows[wanted - 1]), None if left is None else left - wanted
    typer.echo(f"only the first {limit} are shown: --limit shows more, and all without it", err=True)


async def every(read: Read[Row], *, cursor: Callable[[Row], int]) -> list[Row]:
    """Read all rows."""
    return [row async for rows in pages(read, cursor=cursor) for row in rows]


async def following(read: Read[Row], *, cursor: Callable[[Row], int]) -> AsyncIterator[list[Row]]:
    """Read on behind the cursor of the last row, and go on as there are more; it never ends by itself."""
    after = 0
    while True:
        rows = await read(after=after, limit=PAGE)
        if rows:
            yield rows
            after = cursor(rows[-1])
        else:
            await anyio.sleep(LOOK_EVERY)


async def print_list(found: AsyncIterator[list[Row]], form: Form[Row], *, as_json: bool) -> None:
    """Print rows as they come: a table, or one JSON array."""
    if as_json:
        await print_array(found, shown=form.shown)
        return
    table, number = text.Table(form.heads), 0
    async for rows in found:
        table.add(map(form.columns, rows))
        number += len(rows)
    if not number:
        typer.echo(NOTHING, err=True)


async def print_array(found: AsyncIterator[list[Row]], *, shown: Callable[[Row], object]) -> None:
    """Print rows as they come, as one JSON array with a member a line."""
    with text.json_array() as add:
        async for rows in found:
            for row in rows:
                add(shown(row))


async def print_lines(found: AsyncIterator[list[Row]], *, line: Callable[[Row], str]) -> None:
    """Print rows as they come, a line each."""
    number = 0
    async for rows in found:
        for row in rows:
            typer.echo(line(row))
        number += len(rows)
    if not number:
        typer.echo(NOTHING, err=True)
