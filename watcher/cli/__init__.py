"""Arguments → call → exit status (0 done, 1 failed, 2 wrong usage or configuration). One file for each family.

What a command needs beyond typer is imported inside it, so that `watcher --help` is there at once.
"""

import codecs
import os
import signal
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from watcher import __version__
from watcher.cli import daemon, deliveries, demo, explain, listen, log, secret, status, watches, webhooks
from watcher.core.errors import ConfigError, WatcherError

WRONG_USAGE = 2
NOBODY_READS = 128 + signal.SIGPIPE  # as of other programs whose output is cut off, such as by `head`

app = typer.Typer(
    name="watcher",
    help="Polls the status APIs of message providers and tells your webhooks what changed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"watcher {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "-c",
            "--config",
            help="The configuration; else $WATCHER_CONFIG, else ./watcher.toml, else /etc/watcher/watcher.toml.",
        ),
    ] = None,
    _asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = config


app.command()(daemon.run)
app.command()(daemon.check)
app.command()(daemon.reload)
app.command()(demo.demo)
app.command()(watches.add)
app.command()(status.status)
app.command("list")(watches.list_)
app.command()(watches.show)
app.command()(watches.cancel)
app.command()(explain.explain)
app.command()(log.events)
app.command()(deliveries.deliveries)
app.command()(deliveries.replay)
app.add_typer(webhooks.app, name="webhook")
app.command()(log.rejected)
app.command()(listen.listen)
app.add_typer(secret.app, name="secret")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Write what an output cannot hold as JSON does."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)), error.end


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, TextIOWrapper):
        codecs.register_error("escape", _escaped)
        sys.stdout.reconfigure(errors="escape")  # not every terminal has each character; an arrow is no fault
    try:
        app()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            sys.exit(NOBODY_READS)
        _, *arguments = sys.argv
        if ended.code == WRONG_USAGE and {"-c", "--config"} & {*arguments} and not arguments[0].startswith("-"):
            sys.stderr.write(f"-c goes before the command: watcher -c FILE {arguments[0]} …\n")
        raise
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(WRONG_USAGE)
    except WatcherError as error:
        sys.stderr.write(f"watcher: {error}\n")
        sys.exit(1)
    except OSError as error:  # such as of a full disk, where the output goes to a file
        sys.stderr.write(f"watcher: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python tries to write again as it ends
        sys.exit(1)
