"""`watcher run` and `watcher check`."""

import errno
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.open import configuration

if TYPE_CHECKING:
    from watcher.config import Config
    from watcher.core.model import Params
    from watcher.core.outcome import Seen, Unseen

NO_HANDLES = "no file handle is left: raise `ulimit -n`, or `LimitNOFILE=` of the unit"


def run(context: typer.Context) -> None:
    """Be the daemon: read requests, poll, deliver, until SIGTERM. It logs to standard output."""
    import anyio
    import structlog

    from watcher import app
    from watcher.core.errors import ConfigError
    from watcher.log import configure
    from watcher.printer import last_words, plug

    plug()
    context.call_on_close(last_words)
    configure()
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    try:
        config = configuration(context, resolve=True)
    except ConfigError as error:
        for problem in str(error).splitlines():
            log.error("config.rejected", error=problem)  # noqa: TRY400  # a user's mistake needs no traceback
        raise typer.Exit(2) from None
    _log_as(config)
    _raise_limit()
    try:
        anyio.run(
            lambda: app.run(config, read_again=lambda: _log_as(configuration(context, resolve=True))),
            backend_options={"use_uvloop": True},
        )
    except Exception as error:  # a bug in a loop ends the process, and systemd starts it again
        if reason := _explained(error):
            log.error("daemon.stopped", error=reason)  # noqa: TRY400  # as above
        else:
            log.exception("daemon.fault")
        raise typer.Exit(1) from None


def _explained(error: BaseException) -> str | None:
    """Return the words of what ended the daemon, also in groups, if there is one that we can explain and no bug."""
    from watcher.core.errors import WatcherError

    if isinstance(error, BaseExceptionGroup):
        reasons = [_explained(one) for one in error.exceptions]
        return reasons[0] if all(reasons) else None
    if isinstance(error, WatcherError):
        return str(error)
    return NO_HANDLES if _lacks_handles(error) else None


def _lacks_handles(error: BaseException) -> bool:
    """Whether the system gave no more file handles: then also what cleans up after that fails, in words of its own."""
    if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
        return True
    return error.__context__ is not None and _lacks_handles(error.__context__)


def _raise_limit() -> None:
    """Take as many file handles as we may have: each connection needs one."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _log_as(config: "Config") -> "Config":
    """Log as a configuration says, from now on, and return it."""
    from watcher.log import configure
    from watcher.masking import secrets

    configure(format=config.watcher.log.format, level=config.watcher.log.level, secrets=secrets(config))
    return config


def reload(context: typer.Context) -> None:
    """Have the running daemon read its configuration again. Nothing changes if it cannot be used."""
    import os
    import signal

    from watcher.core.errors import WatcherError
    from watcher.database import PostgresUrl
    from watcher.stores.sqlite_lock import owner_process

    state = configuration(context).watcher.state
    if isinstance(state, PostgresUrl):
        raise WatcherError(
            "a PostgreSQL has many daemons, on many machines: try `systemctl reload 'watcher@*'` on each"
        )
    process = owner_process(state.path)
    if process is None:
        raise WatcherError("no daemon is running")
    try:
        os.kill(process, signal.SIGHUP)
    except PermissionError:
        raise WatcherError(f"process {process} belongs to another user: try `systemctl reload watcher`") from None
    typer.echo(f"process {process} reads its configuration again: its log says `config.reloaded` or `config.rejected`")


def check(
    context: typer.Context,
    probe: Annotated[
        bool, typer.Option("--probe", help="Connect to all that it names; or ask --provider once.")
    ] = False,
    provider: Annotated[str | None, typer.Option(metavar="NAME", help="The name of a [providers.…] section.")] = None,
    param: Annotated[list[str], typer.Option("--param", metavar="KEY=VALUE", help="What to ask for.")] = [],  # noqa: B006  # typer copies it
) -> None:
    """Read the configuration, and print it with secrets masked. All that it refers to is read, too."""
    from watcher.cli.watches import pairs
    from watcher.masking import literals, masked
    from watcher.survey import doubts

    if (provider is not None and not probe) or (param and provider is None):
        raise typer.BadParameter("expected --provider only beside --probe, and --param only with both")
    config, params = configuration(context, resolve=True), pairs(param, what="params")
    if provider is not None:
        _expect(config, provider, params)
    typer.echo(masked(config), nl=False)
    for name, webhook in config.webhooks.items():
        if webhook.key:
            typer.echo(f"\n# webhooks.{name}.signing_key: {webhook.key.public}")
    for key in literals(config):
        elsewhere = "PGPASSWORD and PGPASSFILE" if key == "watcher.state" else '"env:", "file:" and "cred:"'
        sys.stderr.write(f"warning: {key} is written in the file itself; {elsewhere} keep it out\n")
    for doubt in doubts(config):
        sys.stderr.write(f"warning: {doubt}\n")
    if probe:
        typer.echo()
        if provider is None:
            _survey(config)
        else:
            _ask(config, provider, params=params)


def _survey(config: "Config") -> None:
    """Print a line for all that can be connected to; status 1 if anything cannot."""
    import anyio

    from watcher.cli.text import harmless
    from watcher.survey import survey

    found = anyio.run(survey, config)
    width = max(map(len, found))
    for path, wrong in found.items():
        typer.echo(f"{path:<{width}}  {harmless(wrong or 'ok')}")
    if any(found.values()):
        raise typer.Exit(1)


def _expect(config: "Config", name: str, params: "Params") -> None:
    """Accept what is to be asked."""
    from watcher.core.errors import RequestError

    if name not in config.providers:
        raise typer.BadParameter(f"provider {name!r} is not configured; expected one of {', '.join(config.providers)}")
    try:
        config.providers[name].check(params)
    except RequestError as error:
        raise typer.BadParameter(str(error)) from None


def _ask(config: "Config", name: str, *, params: "Params") -> None:
    """Ask a provider once and print what its answer means; status 1 if it was not seen."""
    import anyio

    from watcher import errand
    from watcher.cli import text
    from watcher.core.outcome import Seen

    http_status, outcome = anyio.run(errand.probe, config.providers[name], params)
    understood = _understood(outcome) if isinstance(outcome, Seen) else _hindered(outcome)
    facts = {"provider": name, "http_status": http_status, "outcome": type(outcome).__name__.lower(), **understood}
    for key, value in facts.items():
        typer.echo(f"{key + ':':<14}{text.harmless(value)}")
    if not isinstance(outcome, Seen):
        raise typer.Exit(1)
    if outcome.observation.messages:
        typer.echo()
        rows = ((message.key, message.status, message.state) for message in outcome.observation.messages)
        text.table(["MESSAGE", "STATUS", "STATE"], rows)


def _understood(seen: "Seen") -> dict[str, object]:
    from watcher.core.diff import merge

    observation, snapshot = seen.observation, merge(None, seen.observation)
    of_total = "" if observation.total is None else f" of {observation.total}"
    return {
        "status": snapshot.status,
        "state": snapshot.state,
        "progress": snapshot.progress,
        "messages": f"{len(observation.messages)}{of_total}",
        "unknown": ", ".join(observation.unknown) or None,
        "retry_after": seen.retry_after,
    }


def _hindered(outcome: "Unseen") -> dict[str, object]:
    from watcher.cli.text import fields

    return {
        key: value for key, value in fields(outcome).items() if key in {"reason", "detail", "retry_after"} and value
    }
