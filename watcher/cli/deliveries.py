"""`watcher deliveries` and `watcher replay`: what was sent and what became of it, and sending it again."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from math import isnan
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.moments import ago, when
from watcher.cli.open import configuration, in_loop, named_or_origin, records
from watcher.cli.watches import Json, Limit, Since

if TYPE_CHECKING:
    from watcher.core.delivery import Attempt
    from watcher.core.intent import Replay
    from watcher.core.rows import DeliveryRow, Hold
    from watcher.core.webhook_section import Terms
    from watcher.ports import Records


class Status(StrEnum):
    """What may be asked for."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"


class GivenUp(StrEnum):
    """What a replay may be narrowed to."""

    EXHAUSTED = "exhausted"


@in_loop
async def deliveries(
    context: typer.Context,
    *,
    status: Annotated[Status | None, typer.Option(help="Only these.")] = None,
    webhook: Annotated[str | None, typer.Option(metavar="NAME", help="To one webhook.")] = None,
    watch: Annotated[str | None, typer.Option(metavar="ID", help="Of one watch.")] = None,
    event: Annotated[str | None, typer.Option(metavar="ID", help="Of one event, with each failed attempt.")] = None,
    since: Since = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List what was sent to webhooks, and what became of it. Oldest first."""
    from watcher.cli.listing import Form, pages, print_list
    from watcher.cli.standing import holding
    from watcher.core.shown import shown_delivery

    async with records(context) as store:
        if event:
            await _of_events([event], store)
        read = partial(store.deliveries, watch=watch, webhook=webhook, status=status, event=event, since=ago(since))
        found = pages(read, cursor=lambda row: row.id, limit=limit)
        hold = await holding(configuration(context), store)
        if event:
            await _print_in_detail(found, store, hold=hold, as_json=as_json)
            return
        heads = ["EVENT", "TYPE", "WATCH", "SEQ", "WEBHOOK", "STATUS", "ATTEMPTS", "LAST", "ANSWER", "NEXT"]
        form: Form[DeliveryRow] = Form(
            heads, lambda row: _columns(row, hold(row)), lambda row: shown_delivery(row, hold(row))
        )
        await print_list(found, form, as_json=as_json)


async def _print_in_detail(
    found: "AsyncIterator[list[DeliveryRow]]",
    store: "Records",
    *,
    hold: "Callable[[DeliveryRow], Hold | None]",
    as_json: bool,
) -> None:
    """Print the few deliveries of one event with their failed attempts."""
    from watcher.cli import text
    from watcher.core.shown import shown_delivery

    rows = [row async for page in found for row in page]
    attempts = {row.id: await store.attempts(delivery=row.id) for row in rows}
    if as_json:
        text.json([{**shown_delivery(row, hold(row)), "failed": attempts[row.id]} for row in rows])
        return
    for row in rows:
        for line in in_detail(row, attempts[row.id], hold(row)):
            typer.echo(line)


def _columns(row: "DeliveryRow", hold: "Hold | None") -> tuple[object, ...]:
    from watcher.cli.standing import goes_next

    return (
        *(row.event_id, row.type, row.watch, row.sequence, row.webhook, row.status, row.attempts),
        *(row.last_at, row.last_error or row.last_status, goes_next(row.due_at, hold)),
    )


def in_detail(row: "DeliveryRow", failed: list["Attempt"], hold: "Hold | None") -> Iterator[str]:
    """Yield all that is known of one delivery: each failed attempt with what was answered, then where it stands."""
    from watcher.cli.checkup import shortened, took
    from watcher.cli.standing import goes_next
    from watcher.cli.text import harmless

    now = datetime.now(UTC)
    whose = f", of {row.watch} #{row.sequence}" if row.watch else ""
    yield harmless(f"{row.event_id} {row.type} to {row.webhook}{whose}")
    for attempt in failed:
        what = attempt.error or attempt.status
        yield harmless(f"  attempt {attempt.number}  {when(attempt.at, now)}  {what}  from {attempt.address or '-'}")
        yield harmless(f"    took {took(attempt)}")
        yield from (harmless(f"    {name}: {value}") for name, value in attempt.headers.items())
        if attempt.body:
            yield f"    {harmless(shortened(attempt.body))}"
    last = f", last {when(row.last_at, now)}: {row.last_error or row.last_status}" if row.last_at else ""
    following = f", next: {goes_next(row.due_at, hold)}" if row.due_at else ""
    yield harmless(f"  {row.status}, attempts: {row.attempts}{last}{following}")


@in_loop
async def replay(
    context: typer.Context,
    more: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="More events, behind --event.")] = None,
    event: Annotated[list[str] | None, typer.Option("--event", metavar="ID", help="An event, by its id.")] = None,
    webhook: Annotated[str | None, typer.Option(metavar="NAME", help="All that is for this webhook,")] = None,
    since: Annotated[str | None, typer.Option(metavar="DURATION", help="and not older than this, such as 1h,")] = None,
    status: Annotated[GivenUp | None, typer.Option(help="and was given up.")] = None,
    rate: Annotated[float, typer.Option(metavar="N", min=0.1, max=1e6, help="Events a second.")] = 100,
) -> None:
    """Send events again, with the same ids. To a webhook also those that it was never sent."""
    from watcher import errand
    from watcher.cli.standing import resting
    from watcher.core.intent import Replay

    events, start = tuple(dict.fromkeys([*(event or []), *(more or [])])), ago(since)
    config = configuration(context)
    if isnan(rate):  # which is in every range
        raise typer.BadParameter("expected a number", param_hint="'--rate'")
    if event and not (webhook or since or status):
        wanted = Replay(0, rate, events)
    elif webhook and start and not (event or more):
        wanted = _all_for(webhook, named_or_origin(config, webhook), rate=rate, since=start, exhausted=bool(status))
    else:
        raise typer.BadParameter("expected either --event ID…, or --webhook NAME and --since, perhaps with --status")
    async with records(context) as store:
        rows = await _of_events(events, store)
        number, daemon = await store.replayable(wanted), (await store.overview()).owner
        names = [webhook] if webhook else sorted({row.webhook for row in rows if row.due_at is None})
        takes_nothing = await resting(names, store)
    if not number:
        typer.echo("nothing to send again: there is nothing, or it waits to be sent already")
        return
    await errand.want(config, wanted)
    by_whom = "the running daemon begins within a second" if daemon else "no daemon is running, the next one does it"
    typer.echo(f"to send again: {_amount(number, names)}, at {rate:g} a second; {by_whom}")
    for name, why in takes_nothing.items():
        typer.echo(f"{name} takes nothing now ({why}): what is for it waits")


def _amount(number: int, names: list[str]) -> str:
    """Say how many go where; of one event there may be several deliveries."""
    one, many = ("event", "events") if len(names) == 1 else ("delivery", "deliveries")
    return f"{number:,} {one if number == 1 else many} to {', '.join(names)}"


def _all_for(name: str, section: "Terms", *, rate: float, since: datetime, exhausted: bool) -> "Replay":
    from watcher.core.intent import Replay
    from watcher.core.model import EventType

    types = tuple(kind for kind in EventType if kind in section.types)
    return Replay(0, rate, webhook=name, since=since, exhausted=exhausted, types=types, providers=section.providers)


async def _of_events(ids: Iterable[str], store: "Records") -> list["DeliveryRow"]:
    """Return the deliveries of events, each of which must have some."""
    from watcher.core.errors import WatcherError

    found: list[DeliveryRow] = []
    for each in ids:
        rows = await store.deliveries(event=each, limit=1000)
        if not rows:
            raise WatcherError(f"there is no event {each!r}, or it was for no webhook")
        found += rows
    return found
