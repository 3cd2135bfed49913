"""Commands about what happened: `events` and `rejected`."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.moments import ago
from watcher.cli.open import in_loop, records
from watcher.cli.watches import Json, Limit, Since

if TYPE_CHECKING:
    from watcher.core.rows import EventRow

MOST_SHOWN = 500  # bytes of a request, for people


def line(row: "EventRow") -> str:
    """Show an event on one line."""
    import orjson

    from watcher.cli.text import harmless

    data = orjson.loads(row.event.body)["data"]
    what = [row.event.type.value]
    if data.get("message"):
        what.append(harmless(data["message"]))
    if "to" in data:
        what.append(f"{harmless(data['from'])} → {harmless(data['to'])}")
    what += [harmless(data[key]) for key in ("outcome", "reason") if data.get(key)]
    return f"{harmless(row.event.at)}  {'  '.join(what)}"


@in_loop
async def events(
    context: typer.Context,
    watch: Annotated[str | None, typer.Option("--watch", metavar="ID", help="Of one watch.")] = None,
    since: Since = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they happen. Ctrl-C ends it.")] = False,
    limit: Limit = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document; with --follow one object a line.")
    ] = False,
) -> None:
    """Print the event log, oldest first."""
    from watcher.cli.listing import following, pages, print_array, print_lines
    from watcher.core.shown import shown_event

    if follow and limit:
        raise typer.BadParameter("expected without --follow, which never ends", param_hint="--limit")
    async with records(context) as store:
        read = partial(store.events, watch=watch, since=ago(since))
        found = following(read, cursor=_cursor) if follow else pages(read, cursor=_cursor, limit=limit)
        if as_json and not follow:
            await print_array(found, shown=shown_event)
        else:
            await print_lines(found, line=_as_json if as_json else lambda row: f"{_whose(row)}  {line(row)}")


def _cursor(row: "EventRow") -> int:
    return row.cursor


def _as_json(row: "EventRow") -> str:
    import orjson

    from watcher.core.shown import shown_event

    return orjson.dumps(shown_event(row)).decode()


def _whose(row: "EventRow") -> str:
    from watcher.cli.text import harmless

    return harmless(row.event.watch or f"({row.event.provider})")


@in_loop
async def rejected(
    context: typer.Context,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many at most.")] = 100,
    as_json: Json = False,
) -> None:
    """Print requests that were refused, as they came, and why. The latest first."""
    from watcher.cli import text

    async with records(context) as store:
        rows = await store.rejected(limit=limit + 1)
    if as_json:
        text.json(rows[:limit])
    else:
        for row in rows[:limit]:
            typer.echo(f"{text.harmless(row.at)}  {text.harmless(row.source)}  {text.harmless(row.where)}")
            typer.echo(f"    {text.harmless(row.reason)}")
            typer.echo(f"    {text.harmless(_beginning(row.raw))}")
    if len(rows) > limit:
        typer.echo(f"only the latest {limit} are shown: --limit shows more", err=True)


def _beginning(raw: bytes) -> str:
    return raw[:MOST_SHOWN].decode("utf-8", "backslashreplace") + ("…" if len(raw) > MOST_SHOWN else "")
