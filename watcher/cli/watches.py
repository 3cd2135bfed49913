"""Commands about single watches: `add`, `list`, `show`, `cancel`."""

from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.open import configuration, in_loop, records, sealing

if TYPE_CHECKING:
    from watcher.core.model import Watch

LINES = "-"
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def pairs(written: list[str], *, what: str) -> dict[str, str]:
    """Read `key=value` arguments."""
    found = {}
    for pair in written:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"expected {what} as key=value, got {pair!r}")
        found[key] = value
    return found


@in_loop
async def add(
    context: typer.Context,
    provider: Annotated[str, typer.Argument(help="The name of a [providers.…] section; or - to read JSON lines.")],
    params: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="What to watch there.")] = [],  # noqa: B006  # typer copies it
    *,
    id: Annotated[str | None, typer.Option("--id", help="Your own key; else one is made of the rest.")] = None,
    label: Annotated[list[str], typer.Option("--label", metavar="KEY=VALUE", help="Comes back in events.")] = [],  # noqa: B006  # typer copies it
    webhook: Annotated[list[str], typer.Option("--webhook", metavar="NAME", help="Where to; else all.")] = [],  # noqa: B006  # typer copies it
    deadline: Annotated[str | None, typer.Option(metavar="DURATION", help="When it expires, such as 24h.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Watch one operation, or all that standard input asks for: straight into the store, daemon running or not."""
    from watcher.cli.requests import take_in, take_lines

    if provider == LINES:
        if params or id or label or webhook or deadline:
            raise typer.BadParameter("expected nothing beside -: each line is a request with its own keys")
        is_well = await take_lines(sealing(context), as_json=as_json)
    elif not params:
        raise typer.BadParameter("expected params as key=value; or - alone, to read JSON lines")
    else:
        request = {
            "id": id,
            "provider": provider,
            "params": pairs(params, what="params"),
            "labels": pairs(label, what="labels"),
            "webhooks": webhook or None,
            "deadline": deadline,
        }
        is_well = await take_in(configuration(context), [request], as_json=as_json)
    if not is_well:
        raise typer.Exit(1)


@in_loop
async def list_(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="open, trouble, a state, or how it ended.")] = None,
    provider: Annotated[str | None, typer.Option(help="The name of a section.")] = None,
    label: Annotated[list[str], typer.Option("--label", metavar="KEY=VALUE")] = [],  # noqa: B006  # typer copies it
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 1000,
    as_json: Json = False,
) -> None:
    """List watches, oldest first."""
    from watcher.cli import text
    from watcher.core.model import Ending, State
    from watcher.core.shown import shown_watch

    labels = pairs(label, what="labels")
    words = ["open", "trouble", *State, *Ending]
    if state is not None and state not in words:
        raise typer.BadParameter(f"expected one of {', '.join(dict.fromkeys(words))}", param_hint="--state")
    async with records(context) as store:
        rows = await store.watches(state=state, provider=provider, labels=labels, limit=limit)
    if as_json:
        text.json([shown_watch(row.watch) for row in rows])
        return
    text.table(
        ["ID", "PROVIDER", "STATE", "STATUS", "PROGRESS", "EVENTS", "CHANGED", "DEADLINE"],
        (_as_row(row.watch) for row in rows),
    )


@in_loop
async def show(context: typer.Context, id: str, as_json: Json = False) -> None:
    """Show one watch: what is known, every event, and what became of each delivery."""
    from watcher.cli import text
    from watcher.cli.log import line
    from watcher.core.errors import WatcherError
    from watcher.core.shown import shown_event, shown_watch

    async with records(context) as store:
        watch = await store.find(id)
        if watch is None:
            raise WatcherError(f"there is no watch {id!r}")
        events = await store.events(watch=id, limit=10_000)
        deliveries = await store.deliveries(watch=id, limit=10_000)
    if as_json:
        bodies = [shown_event(row) for row in events]
        text.json({**shown_watch(watch), "events": bodies, "deliveries": deliveries})
        return
    for key, value in shown_watch(watch).items():
        shown = ", ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{key + ':':<14}{text.harmless('-' if shown in ('', []) else shown)}")
    typer.echo("\nEvents")
    for row in events:
        typer.echo(f"  {row.event.sequence:>4}  {line(row)}")
    typer.echo("\nDeliveries")
    text.table(
        ["SEQ", "WEBHOOK", "STATUS", "ATTEMPTS", "NEXT", "LAST ANSWER"],
        ((d.sequence, d.webhook, d.status, d.attempts, d.due_at, d.last_status or d.last_error) for d in deliveries),
    )


@in_loop
async def cancel(context: typer.Context, ids: Annotated[list[str], typer.Argument(metavar="ID…")]) -> None:
    """End watches: each gets a `watch.finished` with outcome `cancelled`."""
    from watcher.cli.requests import take_in

    if not await take_in(configuration(context), [{"cancel": each} for each in ids]):
        raise typer.Exit(1)


def _as_row(watch: "Watch") -> tuple[object, ...]:
    from watcher.core.model import State

    last = watch.snapshot
    trouble = f" ({watch.trouble.reason.value})" if watch.trouble else ""
    state = (watch.ending or (last.state if last else State.PENDING)) + trouble
    seen = (last.status, last.progress) if last else (None, None)
    return (watch.id, watch.provider, state, *seen, watch.sequence, watch.changed_at, watch.deadline_at)
