"""`watcher webhook`: how the webhooks stand, a test POST to one, and whether anything is sent to it at all."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.open import configuration, in_loop, named_or_origin, quiet, records, resolved, unwritten
from watcher.cli.watches import Json

if TYPE_CHECKING:
    from watcher.core.standing import Standing

app = typer.Typer(help="Where events are sent to.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of a [webhooks.…] section.")]
Secret = Annotated[
    str | None, typer.Option("--secret", metavar="env:NAME", help="Sign with this one, not with the section's.")
]


@app.command("list")
@in_loop
async def list_(context: typer.Context, as_json: Json = False) -> None:
    """List webhooks: where they lead, how they stand, and what waits."""
    from watcher.cli import text
    from watcher.core.standing import standings

    now = datetime.now(UTC)
    async with records(context) as store:
        endpoints, overview = await store.endpoints(), await store.overview()
    rows = standings(configuration(context).webhooks, endpoints, overview, now=now)
    if as_json:
        text.json(rows)
        return
    text.table(
        ["NAME", "URL", "WAITING", "OLDEST", "GIVEN UP", "LAST GOOD", "STATE"],
        ((r.name, r.url, r.waiting, r.oldest_waiting, r.exhausted, r.last_good_at, _state(r, now)) for r in rows),
    )


def _state(standing: "Standing", now: datetime) -> str:
    from watcher.cli.standing import sentence

    ended = f"; {standing.ended:,} given up, as their receiver ended the callback" if standing.ended else ""
    return sentence(standing, now=now) + ended


@app.command("test")
@in_loop
async def send(context: typer.Context, name: Name, secret: Secret = None) -> None:
    """Send a signed test event to a webhook. The exit status is 1 if it does not take it."""
    from watcher.cli.checkup import answer
    from watcher.clock import SystemClock
    from watcher.doctor import send_test
    from watcher.errand import AGENT

    trial = await send_test(resolved(context, name, secret=secret), clock=SystemClock(), agent=AGENT)
    for line in answer(trial):
        typer.echo(line)
    if not trial.is_accepted:
        raise typer.Exit(1)


@app.command()
@in_loop
async def doctor(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL|NAME", help="Any address, or the name of a section.")],
    secret: Secret = None,
    as_json: Json = False,
) -> None:
    """Examine a receiver, and say what to do.

    DNS, addresses, TLS, latency, redirects, a signed test event; and of a webhook that is configured, how it stands.
    """
    from watcher.cli import text
    from watcher.cli.checkup import advice, screen
    from watcher.clock import SystemClock
    from watcher.doctor import examine
    from watcher.errand import AGENT

    is_url = "://" in url
    webhook = unwritten(url, secret=secret) if is_url else resolved(context, url, secret=secret)
    known = await _known(context, url)
    found = await examine(webhook, clock=SystemClock(), agent=AGENT)
    if as_json:
        told = advice(found, webhook, known)
        text.json({"url": webhook.url.partition("?")[0], **text.fields(found), "webhooks": known, "advice": told})
    else:
        for line in screen(found, webhook, known):
            typer.echo(line)
    if found.trial is None or not found.trial.is_accepted:
        raise typer.Exit(1)


async def _known(context: typer.Context, target: str) -> "list[Standing]":
    """Say how the webhooks stand that have this name or URL; none where no configuration or no store can be read."""
    from watcher.core.errors import ConfigError, StoreError
    from watcher.core.standing import standings

    try:
        config = configuration(context)
    except ConfigError:  # of any URL, the receiver can be examined all the same
        return []
    names = {name for name, section in config.webhooks.items() if target in {name, section.url}}
    if not names:
        return []
    try:
        async with records(context) as store:
            endpoints, overview = await store.endpoints(), await store.overview()
    except StoreError as error:
        typer.echo(f"how it stands is not known: {error}", err=True)
        return []
    found = standings(config.webhooks, endpoints, overview, now=datetime.now(UTC))
    return [each for each in found if each.name in names]


@app.command()
@in_loop
async def enable(context: typer.Context, name: Name) -> None:
    """Send to a webhook again, from where it stopped. A pause ends, and what waits for a retry goes now."""
    await _switch(context, name, on=True)


@app.command()
@in_loop
async def disable(context: typer.Context, name: Name) -> None:
    """Send nothing to a webhook any more; what is for it waits."""
    await _switch(context, name, on=False)


async def _switch(context: typer.Context, name: str, *, on: bool) -> None:
    from watcher import errand
    from watcher.core.intent import Switch

    quiet()
    config = configuration(context)
    named_or_origin(config, name)
    await errand.want(config, Switch(0, name, on))
    is_done = await errand.carry_out(config)
    done = "enabled" if on else "disabled"
    typer.echo(f"{name}  {done}" if is_done else f"{name}  {done} within a second, by the running daemon")
