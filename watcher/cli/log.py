"""Commands about what happened: `events`, `rejected`, and `status`, the one screen for a look at night."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.moments import ago
from watcher.cli.open import configuration, in_loop, records
from watcher.cli.watches import Json

if TYPE_CHECKING:
    from watcher.cli.standing import Standing
    from watcher.config import Config
    from watcher.core.rows import EventRow, Overview

LOOK_EVERY = 0.5
LATE = timedelta(minutes=1)  # a delivery that waits so long has failed at least once
PAGE = 500


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
    since: Annotated[str | None, typer.Option(help="Not older than this, such as 1h.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they happen.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Print the event log, oldest first."""
    import anyio
    import orjson

    from watcher.core.shown import shown_event

    after, start = 0, ago(since)
    async with records(context) as store:
        while True:
            rows = await store.events(after=after, watch=watch, since=start, limit=PAGE)
            for row in rows:
                shown = orjson.dumps(shown_event(row)).decode() if as_json else f"{_whose(row)}  {line(row)}"
                typer.echo(shown)
                after = row.cursor
            if not rows and not follow:
                return
            if not rows:
                await anyio.sleep(LOOK_EVERY)


@in_loop
async def rejected(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    as_json: Json = False,
) -> None:
    """Print the requests that were refused, as they came, and why; newest first."""
    from watcher.cli import text

    async with records(context) as store:
        rows = await store.rejected(limit=limit)
    if as_json:
        text.json(rows)
        return
    text.table(
        ["AT", "SOURCE", "WHERE", "WHY", "AS IT CAME"],
        ((r.at, r.source, r.where, r.reason, r.raw[:200].decode("utf-8", "backslashreplace")) for r in rows),
    )


@in_loop
async def status(context: typer.Context, as_json: Json = False) -> None:
    """Say on one screen whether all is well, and what is not."""
    from watcher.cli import text
    from watcher.cli.standing import sentence, standings

    config, at = configuration(context), datetime.now(UTC)
    async with records(context) as store:
        now, endpoints = await store.overview(), await store.endpoints()
    webhooks = standings(config.webhooks, endpoints, now, now=at)
    wrong = _problems(now, config, webhooks, at=at)
    if as_json:
        watches = [{"provider": provider, "state": state, "watches": n} for (provider, state), n in now.watches.items()]
        text.json({"problems": wrong, **text.fields(now), "watches": watches, "webhooks": webhooks})
        return
    typer.echo("All is well." if not wrong else "\n".join(["Not all is well:", *(f"  {each}" for each in wrong)]))
    typer.echo(f"\nstore: {config.watcher.state}  daemon: {now.owner or 'none'}  refused requests: {now.rejected}\n")
    text.table(["PROVIDER", "STATE", "WATCHES"], ((*key, n) for key, n in sorted(now.watches.items())))
    typer.echo()
    text.table(
        ["WEBHOOK", "WAITING", "OLDEST", "GIVEN UP", "STATE"],
        ((each.name, each.waiting, each.oldest_waiting, each.exhausted, sentence(each, now=at)) for each in webhooks),
    )


def _problems(now: "Overview", config: "Config", webhooks: "list[Standing]", *, at: datetime) -> list[str]:
    """Say what is not well, a line each."""
    from watcher.cli.standing import sentence

    late, resting = at - LATE, {"disabled", "breaker_open", "paused"}
    waits = {provider for provider, state in now.watches if state in {"pending", "in_progress"}}
    return [
        *(f"provider {name}: down, {reason}" for name, reason in now.down.items()),
        *(f"provider {name}: watches in trouble: {n}" for name, n in now.troubled.items()),
        *(f"provider {name}: watches wait for its section" for name in sorted(waits - config.providers.keys())),
        *(f"webhook {each.name}: {sentence(each, now=at)}" for each in webhooks if each.state in resting),
        *(f"webhook {name}: deliveries wait since {at:%H:%M}Z" for name, at in now.oldest_waiting.items() if at < late),
        *(f"webhook {each.name}: deliveries wait for its section" for each in webhooks if each.is_orphan),
        *(f"webhook {name}: deliveries given up: {n}" for name, n in now.exhausted.items()),
        *([] if now.owner else ["no daemon is running"]),
    ]


def _whose(row: "EventRow") -> str:
    return row.event.watch or f"({row.event.provider})"
