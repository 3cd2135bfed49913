"""`watcher deliveries` and `watcher replay`: what was sent and what became of it, and sending it again."""

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.moments import ago, clock, when
from watcher.cli.open import configuration, in_loop, named_or_origin, records
from watcher.cli.watches import Json

if TYPE_CHECKING:
    from watcher.core.delivery import Attempt
    from watcher.core.intent import Replay
    from watcher.core.rows import DeliveryRow
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
    since: Annotated[str | None, typer.Option(help="Of events not older than this, such as 1h.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 1000,
    as_json: Json = False,
) -> None:
    """List what was sent to webhooks, and what became of it, oldest first."""
    from watcher.cli import text

    async with records(context) as store:
        await _expect((event,) if event else (), store)
        rows = await store.deliveries(
            watch=watch, webhook=webhook, status=status, event=event, since=ago(since), limit=limit
        )
        attempts = {row.id: await store.attempts(delivery=row.id) for row in rows} if event else {}
    if as_json:
        more = {row.id: {"failed": attempts[row.id]} if event else {} for row in rows}
        text.json([{**text.fields(row), **more[row.id]} for row in rows])
        return
    if event:
        for row in rows:
            for line in in_detail(row, attempts[row.id]):
                typer.echo(line)
        return
    heads = ["EVENT", "TYPE", "WATCH", "SEQ", "WEBHOOK", "STATUS", "ATTEMPTS", "LAST", "ANSWER", "NEXT"]
    text.table(heads, (_columns(row) for row in rows))
    if len(rows) == limit:
        typer.echo(f"only the first {limit} are shown: --limit shows more, --since fewer", err=True)


def _columns(row: "DeliveryRow") -> tuple[object, ...]:
    return (
        *(row.event_id, row.type, row.watch, row.sequence, row.webhook, row.status, row.attempts),
        *(row.last_at, row.last_error or row.last_status, row.due_at),
    )


def in_detail(row: "DeliveryRow", failed: list["Attempt"]) -> Iterator[str]:
    """Yield all that is known of one delivery: each failed attempt with what was answered, then where it stands."""
    from watcher.cli.checkup import shortened, took
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
    following = f", next {when(row.due_at, now)}" if row.due_at else ""
    yield harmless(f"  {row.status}, attempts: {row.attempts}{last}{following}")


@in_loop
async def replay(
    context: typer.Context,
    more: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="More events, behind --event.")] = None,
    event: Annotated[list[str] | None, typer.Option("--event", metavar="ID", help="An event, by its id.")] = None,
    webhook: Annotated[str | None, typer.Option(metavar="NAME", help="All that is for this webhook,")] = None,
    since: Annotated[str | None, typer.Option(help="and not older than this, such as 1h,")] = None,
    status: Annotated[GivenUp | None, typer.Option(help="and was given up.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Events a second.")] = 100,
) -> None:
    """Send events again, with the same ids; to a webhook also those that it was never sent."""
    from watcher import errand
    from watcher.core.intent import Replay

    events, start = tuple(dict.fromkeys([*(event or []), *(more or [])])), ago(since)
    config = configuration(context)
    if event and not (webhook or since or status):
        wanted, what = Replay(0, rate, events), f"{len(events)} event" + ("s" if len(events) > 1 else "")
    elif webhook and start and not (event or more):
        wanted = _all_for(webhook, named_or_origin(config, webhook), rate=rate, since=start, exhausted=bool(status))
        what = f"what {webhook} is for since {clock(start, datetime.now(UTC))}"
    else:
        raise typer.BadParameter("expected either --event ID…, or --webhook NAME and --since, perhaps with --status")
    async with records(context) as store:
        await _expect(events, store)
        daemon = (await store.overview()).owner
    await errand.want(config, wanted)
    by_whom = "the running daemon begins within a second" if daemon else "no daemon is running, the next one does it"
    typer.echo(f"to send again: {what}, at most {rate:g} a second; {by_whom}")


def _all_for(name: str, section: "Terms", *, rate: float, since: datetime, exhausted: bool) -> "Replay":
    from watcher.core.intent import Replay
    from watcher.core.model import EventType

    types = tuple(kind for kind in EventType if kind in section.types)
    return Replay(0, rate, webhook=name, since=since, exhausted=exhausted, types=types, providers=section.providers)


async def _expect(events: tuple[str, ...], store: "Records") -> None:
    from watcher.core.errors import WatcherError

    for each in events:
        if not await store.deliveries(event=each, limit=1):
            raise WatcherError(f"there is no event {each!r}, or it was for no webhook")
