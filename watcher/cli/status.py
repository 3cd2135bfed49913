"""`watcher status`, the one screen for a look at night: is all well, and what is not. It decides nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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
    wrong = dict(problems(look))
    if as_json:
        _print_json(look, wrong)
    else:
        _print_screen(look, wrong)
    if check and wrong:
        raise typer.Exit(1)


async def _look(context: typer.Context) -> Look:
    from watcher.cli.asking import status_of
    from watcher.core.standing import MOST_REFUSED, standings

    config, now = configuration(context), datetime.now(UTC)
    async with records(context) as store:
        overview, conditions = await store.overview(), await store.conditions()
        webhooks = standings(config.webhooks, await store.endpoints(), overview, now=now)
        refused = await store.rejected(limit=MOST_REFUSED)
    told = await status_of(context, config) if overview.owner else None
    return Look(config, overview, conditions, webhooks, refused, told, now)


def problems(look: Look) -> "Iterator[tuple[str, str | None]]":
    """Say what is not well, and what to do about it; what only the running daemon knows as it told it."""
    from watcher.core.standing import concerns

    if look.overview.owner is None:
        yield "no daemon is running", "`systemctl start watcher`, or `watcher run`"
    told = [concern for concern in look.told.concerns if concern.is_only_told] if look.told else []
    known = concerns(
        look.webhooks,
        look.conditions,
        look.overview,
        providers=look.config.providers,
        refused=look.refused,
        now=look.now,
    )
    every: Sequence[Concern | ToldConcern] = [*told, *known]
    yield from ((sentence(concern, now=look.now), concern.remedy) for concern in every)
    if look.told is None:
        yield from _lack(look)


def _lack(look: Look) -> "Iterator[tuple[str, str | None]]":
    """Say that sources wait, as far as the store shows it."""
    from watcher.core.standing import OPEN

    watches = sum(number for (_, word), number in look.overview.watches.items() if word in OPEN)
    most = look.config.watcher.max_watches
    if watches >= most:
        yield f"sources wait: {watches:,} watches are open, and watcher.max_watches is {most:,}", None


def sentence(concern: "Concern | ToldConcern", *, now: datetime) -> str:
    """Write what is not well on one line."""
    from watcher.cli.text import harmless

    about = f"{concern.about} {concern.name}" if concern.name else f"the {concern.about}"
    comma = "," if "," in concern.text else ""
    since = f"{comma} since {when(concern.since, now)}" if concern.since else ""
    until = f", until {when(concern.until, now)}" if concern.until else ""
    return harmless(f"{about} {concern.text}{since}{until}" + (f"; {concern.so}" if concern.so else ""))


def _print_screen(look: Look, wrong: "Mapping[str, str | None]") -> None:
    from watcher.cli import text
    from watcher.cli.standing import sentence as stands

    overview, config = look.overview, look.config
    typer.echo("Not all is well:" if wrong else "All is well.")
    for each, remedy in wrong.items():
        typer.echo(f"  {each}" + (f"\n    {text.harmless(remedy)}." if remedy else ""))
    for hint in _hints(look):
        typer.echo(f"{text.harmless(hint)}.")
    typer.echo(f"\nstore: {config.watcher.state}  daemon: {overview.owner or 'none'}  refused: {overview.rejected:,}")
    if overview.owner and look.told is None:
        why = "it does not answer at its `listen`" if config.watcher.address else "its `listen` is off"
        typer.echo(f"not known here is what only the daemon knows (sources that are down, late polls): {why}")
    typer.echo()
    if config.sources:
        text.table(["SOURCE", "TYPE", "STATE"], sources(look))
        typer.echo()
    text.table(["PROVIDER", "PENDING", "IN PROGRESS", "TROUBLE", "FINISHED", "STATE"], _providers(look))
    typer.echo()
    text.table(
        ["WEBHOOK", "WAITING", "OLDEST", "GIVEN UP", "STATE"],
        ((w.name, w.waiting, w.oldest_waiting, w.exhausted, stands(w, now=look.now)) for w in look.webhooks),
    )


def _hints(look: Look) -> list[str]:
    from watcher.core.standing import hints

    is_told = bool(look.config.webhooks) or look.config.callbacks is not None
    return hints(look.overview, providers=look.config.providers, is_told=is_told)


def sources(look: Look) -> Iterator[tuple[object, ...]]:
    """Yield a row for each source; whether it can be read only the daemon knows."""
    told = look.told.concerns if look.told else ()
    down = {concern.name: concern.since for concern in told if concern.about == "source" and concern.is_only_told}
    for name, section in look.config.sources.items():
        state = f"down since {when(down[name], look.now)}" if name in down else "ok"
        yield name, section.type, state if look.told else "not known"


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
    until = condition.rests_until(now=now)
    return f"paused until {when(until, now)}, as it asked for" if until else "ok"


def _print_json(look: Look, wrong: "Mapping[str, str | None]") -> None:
    from watcher.cli import text

    rows = [{"provider": name, "state": word, "watches": n} for (name, word), n in look.overview.watches.items()]
    text.json(
        {
            "is_well": not wrong,
            "problems": list(wrong),
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
