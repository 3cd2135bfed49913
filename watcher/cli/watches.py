"""Commands about single watches: `add`, `list`, `show`, `cancel`."""

from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.open import configuration, in_loop, records

if TYPE_CHECKING:
    from watcher.core.model import Watch

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
    provider: Annotated[str, typer.Argument(help="The name of a [providers.…] section.")],
    params: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="What to watch there.")],
    id: Annotated[str | None, typer.Option("--id", help="Your own key; else one is made of the rest.")] = None,
    label: Annotated[list[str], typer.Option("--label", metavar="KEY=VALUE", help="Comes back in events.")] = [],  # noqa: B006  # typer copies it
    webhook: Annotated[list[str], typer.Option("--webhook", metavar="NAME", help="Where to; else all.")] = [],  # noqa: B006  # typer copies it
) -> None:
    """Watch one operation: straight into the store, whether the daemon runs or not."""
    import orjson

    from watcher import errand
    from watcher.core.rows import REFUSALS, Admission
    from watcher.ports import Item

    request = {
        "id": id,
        "provider": provider,
        "params": pairs(params, what="params"),
        "labels": pairs(label, what="labels"),
        "webhooks": webhook or None,
    }
    arrival, admission = await errand.add(
        configuration(context), Item(orjson.dumps(request), "command line"), source="command"
    )
    if arrival.watch is None or admission in REFUSALS:
        typer.echo(f"watcher: {arrival.reason or REFUSALS[admission]}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{arrival.watch.id}  {'known already' if admission is Admission.KNOWN else admission.value}")


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

    labels = pairs(label, what="labels")
    words = ["open", "trouble", *State, *Ending]
    if state is not None and state not in words:
        raise typer.BadParameter(f"expected one of {', '.join(dict.fromkeys(words))}", param_hint="--state")
    async with records(context) as store:
        rows = await store.watches(state=state, provider=provider, labels=labels, limit=limit)
    if as_json:
        text.json([_as_json(row.watch) for row in rows])
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

    async with records(context) as store:
        watch = await store.find(id)
        if watch is None:
            raise WatcherError(f"there is no watch {id!r}")
        events = await store.events(watch=id, limit=10_000)
        deliveries = await store.deliveries(watch=id, limit=10_000)
    if as_json:
        bodies = [text.event(row) for row in events]
        text.json({**_as_json(watch), "events": bodies, "deliveries": deliveries})
        return
    for key, value in _as_json(watch).items():
        pairs = ", ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{key + ':':<14}{text.harmless(pairs or '-')}")
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
    import orjson

    from watcher import errand
    from watcher.core.rows import REFUSALS, Admission
    from watcher.ports import Item

    config, failed = configuration(context), False
    for each in ids:
        arrival, admission = await errand.add(
            config, Item(orjson.dumps({"cancel": each}), "command line"), source="command"
        )
        refusal = arrival.reason or REFUSALS.get(admission)
        failed = failed or refusal is not None
        done = "finished already" if admission is Admission.KNOWN else "cancelled"
        typer.echo(f"{each}  {refusal or done}", err=refusal is not None)
    await errand.carry_out(config)
    if failed:
        raise typer.Exit(1)


def _as_json(watch: "Watch") -> dict[str, object]:
    """Return what is shown of a watch; the same keys for people and for programs."""
    from watcher.core.model import State

    last, trouble = watch.snapshot, watch.trouble
    return {
        "id": watch.id,
        "provider": watch.provider,
        "params": dict(watch.params),
        "labels": dict(watch.labels),
        "webhooks": list(watch.webhooks) if watch.webhooks is not None else None,
        "state": last.state if last else State.PENDING,
        "status": last.status if last else None,
        "progress": last.progress if last else None,
        "messages": {key: mark.status for key, mark in last.messages.items()} if last else {},
        "trouble": trouble.reason if trouble else None,
        "outcome": watch.ending,
        "sequence": watch.sequence,
        "submitted_at": watch.submitted_at,
        "accepted_at": watch.accepted_at,
        "changed_at": watch.changed_at,
        "deadline_at": watch.deadline_at,
        "finished_at": watch.finished_at,
    }


def _as_row(watch: "Watch") -> tuple[object, ...]:
    from watcher.core.model import State

    last = watch.snapshot
    trouble = f" ({watch.trouble.reason.value})" if watch.trouble else ""
    state = (watch.ending or (last.state if last else State.PENDING)) + trouble
    seen = (last.status, last.progress) if last else (None, None)
    return (watch.id, watch.provider, state, *seen, watch.sequence, watch.changed_at, watch.deadline_at)
