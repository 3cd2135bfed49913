"""`watcher status`, the one screen for a look at night: is all well, and what is not. It decides nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.moments import when
from watcher.cli.open import configuration, in_loop, records
from watcher.cli.watches import Json

if TYPE_CHECKING:
    from watcher.config import Config
    from watcher.core.model import Condition
    from watcher.core.rows import Overview, RejectedRow
    from watcher.core.standing import Concern, Standing
    from watcher.http.standing import Concern as ToldConcern
    from watcher.http.standing import Status

LATELY = timedelta(hours=1)
MOST_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class Look:
    """All that the screen shows: what the store has, and what the daemon told, if it was asked and answered."""

    config: "Config"
    overview: "Overview"
    conditions: "Sequence[Condition]"
    webhooks: "Sequence[Standing]"
    refused: "Sequence[RejectedRow]"
    told: "Status | None"
    now: datetime


@in_loop
async def status(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="End with exit status 1 unless all is well.")] = False,
    as_json: Json = False,
) -> None:
    """Say on one screen whether all is well, and what is not. The exit status is 0 either way, but for --check."""
    look = await _look(context)
    wrong = list(problems(look))
    if as_json:
        _print_json(look, wrong)
    else:
        _print_screen(look, wrong)
    if check and wrong:
        raise typer.Exit(1)


async def _look(context: typer.Context) -> Look:
    from watcher.cli.asking import status_of
    from watcher.core.standing import standings

    config, now = configuration(context), datetime.now(UTC)
    async with records(context) as store:
        overview, conditions = await store.overview(), await store.conditions()
        webhooks = standings(config.webhooks, await store.endpoints(), overview, now=now)
        refused = [row for row in await store.rejected(limit=MOST_COUNTED) if now - row.at < LATELY]
    told = await status_of(context, config) if overview.owner else None
    return Look(config, overview, conditions, webhooks, refused, told, now)


def problems(look: Look) -> "Iterator[str]":
    """Say what is not well, a line each; what only the running daemon knows as it told it."""
    from watcher.core.standing import concerns

    known = concerns(look.webhooks, look.conditions, look.overview, providers=look.config.providers, now=look.now)
    if look.overview.owner is None:
        yield "no daemon is running"
    yield from (sentence(concern, now=look.now) for concern in _only_told(look.told))
    yield from (sentence(concern, now=look.now) for concern in known)
    if look.told is None:
        yield from _lack(look)
    if look.refused:
        number = f"{MOST_COUNTED:,} or more" if len(look.refused) == MOST_COUNTED else f"{len(look.refused):,}"
        yield f"requests refused in the last hour: {number}; `watcher rejected` says why"


def _only_told(told: "Status | None") -> "Iterator[ToldConcern]":
    """Leave out what the store says too, and says by the latest."""
    from watcher.core.standing import POLLED_LATE

    for concern in told.concerns if told else ():
        if concern.about in {"daemon", "source"} or concern.text == POLLED_LATE:
            yield concern


def _lack(look: Look) -> "Iterator[str]":
    """Say that sources wait, as far as the store shows it."""
    from watcher.core.standing import OPEN

    watches = sum(number for (_, word), number in look.overview.watches.items() if word in OPEN)
    most = look.config.watcher.max_watches
    if watches >= most:
        yield f"sources wait: {watches:,} watches are open, and watcher.max_watches is {most:,}"


def sentence(concern: "Concern | ToldConcern", *, now: datetime) -> str:
    """Write what is not well on one line."""
    from watcher.cli.text import harmless

    about = f"{concern.about} {concern.name}" if concern.name else f"the {concern.about}"
    comma = "," if "," in concern.text else ""
    since = f"{comma} since {when(concern.since, now)}" if concern.since else ""
    return harmless(f"{about} {concern.text}{since}" + (f"; {concern.so}" if concern.so else ""))


def _print_screen(look: Look, wrong: list[str]) -> None:
    from watcher.cli import text
    from watcher.cli.standing import sentence as stands

    overview, config = look.overview, look.config
    typer.echo("All is well." if not wrong else "\n".join(["Not all is well:", *(f"  {each}" for each in wrong)]))
    typer.echo(f"\nstore: {config.watcher.state}  daemon: {overview.owner or 'none'}  refused: {overview.rejected:,}")
    if overview.owner and look.told is None:
        why = "it does not answer at its `listen`" if config.watcher.address else "its `listen` is off"
        typer.echo(f"not known here is what only the daemon knows (sources that are down, late polls): {why}")
    typer.echo()
    text.table(["PROVIDER", "PENDING", "IN PROGRESS", "TROUBLE", "FINISHED", "STATE"], _providers(look))
    typer.echo()
    text.table(
        ["WEBHOOK", "WAITING", "OLDEST", "GIVEN UP", "STATE"],
        ((w.name, w.waiting, w.oldest_waiting, w.exhausted, stands(w, now=look.now)) for w in look.webhooks),
    )


def _providers(look: Look) -> Iterator[tuple[object, ...]]:
    """Yield a row for each provider that has a section, or watches."""
    from watcher.core.standing import OPEN

    conditions = {condition.provider: condition for condition in look.conditions}
    watches = look.overview.watches
    for name in sorted({*look.config.providers, *(name for name, _ in watches)}):
        opened = [watches.get((name, word), 0) for word in OPEN]
        finished = sum(number for (of, word), number in watches.items() if of == name and word not in OPEN)
        state = _stands(conditions.get(name), now=look.now) if name in look.config.providers else "no such section"
        yield (name, *opened, look.overview.troubled.get(name, 0), finished, state)


def _stands(condition: "Condition | None", *, now: datetime) -> str:
    if condition is None:
        return "ok"
    if condition.reason is not None:
        return f"down ({condition.reason}) since {when(condition.since, now)}"
    rests = condition.paused_until is not None and condition.paused_until > now
    return f"paused until {when(condition.paused_until, now)}, as it asked for" if rests else "ok"


def _print_json(look: Look, wrong: list[str]) -> None:
    from watcher.cli import text

    rows = [{"provider": name, "state": word, "watches": n} for (name, word), n in look.overview.watches.items()]
    text.json(
        {
            "is_well": not wrong,
            "problems": wrong,
            **text.fields(look.overview),
            "watches": rows,
            "conditions": [
                {
                    "provider": condition.provider,
                    "down": condition.reason,
                    "since": condition.since,
                    "paused_until": condition.paused_until,
                }
                for condition in look.conditions
            ],
            "webhooks": look.webhooks,
        }
    )
