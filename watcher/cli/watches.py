"""Commands about single watches: `add`, `list`, `show`, `cancel`."""

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.open import configuration, in_loop, records, sealing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.core.model import Watch
    from watcher.core.rows import DeliveryRow, WatchRow
    from watcher.http.models import Next

LINES = "-"
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="How many at most; else all.")]
Since = Annotated[str | None, typer.Option(metavar="DURATION", help="Not older than this, such as 1h.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The watch, by its sender's own key.")]


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
    """Watch one operation, or all that standard input asks for. Straight into the store, daemon running or not."""
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
    state: Annotated[str | None, typer.Option(metavar="WORD", help="open, trouble, a state, or how it ended.")] = None,
    provider: Annotated[str | None, typer.Option(metavar="NAME", help="Of one provider.")] = None,
    label: Annotated[list[str], typer.Option("--label", metavar="KEY=VALUE", help="May be repeated.")] = [],  # noqa: B006  # typer copies it
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List watches, oldest first."""
    from watcher.cli.listing import Form, pages, print_list
    from watcher.core.model import Ending, State
    from watcher.core.shown import shown_watch

    labels = pairs(label, what="labels")
    words = ["open", "trouble", *State, *Ending]
    if state is not None and state not in words:
        raise typer.BadParameter(f"expected one of {', '.join(dict.fromkeys(words))}", param_hint="--state")
    form: Form[WatchRow] = Form(
        ["ID", "PROVIDER", "STATE", "STATUS", "PROGRESS", "EVENTS", "CHANGED", "DEADLINE"],
        lambda row: _as_row(row.watch),
        lambda row: shown_watch(row.watch),
    )
    async with records(context) as store:
        read = partial(store.watches, state=state, provider=provider, labels=labels)
        await print_list(pages(read, cursor=lambda row: row.row, limit=limit), form, as_json=as_json)


@in_loop
async def show(context: typer.Context, id: Id, as_json: Json = False) -> None:
    """Show one watch, every event, and what became of each delivery."""
    from watcher.cli import text
    from watcher.cli.asking import next_of
    from watcher.cli.listing import every
    from watcher.cli.log import line
    from watcher.cli.standing import goes_next, holding
    from watcher.core.errors import WatcherError
    from watcher.core.shown import shown_delivery, shown_event, shown_watch

    config = configuration(context)
    async with records(context) as store:
        watch = await store.find(id)
        if watch is None:
            raise WatcherError(f"there is no watch {id!r}")
        events = await every(partial(store.events, watch=id), cursor=lambda row: row.cursor)
        deliveries = await every(partial(store.deliveries, watch=id), cursor=lambda row: row.id)
        hold = await holding(config, store)
    said = await next_of(context, config, id) if watch.ending is None else None
    told = None if isinstance(said, str) else said
    deliveries.sort(key=lambda row: row.sequence or 0)
    if as_json:
        shown = shown_watch(watch) | {"next": told and told.model_dump()}
        sent = [shown_delivery(row, hold(row)) for row in deliveries]
        text.json({**shown, "events": [shown_event(row) for row in events], "deliveries": sent})
        return
    for name, fact in _facts(watch, told):
        typer.echo(f"{name + ':':<14}{text.harmless(fact)}")
    typer.echo("\nEvents")
    for event in events:
        typer.echo(f"  {event.event.sequence:>4}  {line(event)}")
    typer.echo("\nDeliveries")
    heads = ["SEQ", "WEBHOOK", "STATUS", "ATTEMPTS", "NEXT", "LAST ANSWER"]
    text.table(heads, (_delivery(row, goes_next(row.due_at, hold(row))) for row in deliveries))


def _facts(watch: "Watch", told: "Next | None") -> "Iterator[tuple[str, object]]":
    """Yield what is known of a watch, and of its last poll if the daemon told."""
    from watcher.cli.asking import answered
    from watcher.core.shown import shown_watch

    for name, value in shown_watch(watch).items():
        match value:
            case dict():
                yield name, ", ".join(f"{key}={inner}" for key, inner in value.items()) or "-"
            case list():
                yield name, ", ".join(map(str, value)) or "none"
            case _:
                yield name, "all" if name == "webhooks" else value
    if told is not None:
        yield "failures", f"{told.failures} since the last success"
        yield "answered", answered(told.last_answer, datetime.now(UTC))


def _delivery(row: "DeliveryRow", following: str) -> tuple[object, ...]:
    return (row.sequence, row.webhook, row.status, row.attempts, following, row.last_error or row.last_status)


@in_loop
async def cancel(
    context: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Watches, by their senders' own keys.")],
) -> None:
    """End watches. Each gets a `watch.finished` with outcome `cancelled`."""
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
