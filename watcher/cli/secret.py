"""`watcher secret`."""

import base64
import secrets

import typer

app = typer.Typer(help="Keys for signing.", no_args_is_help=True)
BYTES = 32


@app.callback()
def _family() -> None:
    """Keep `new` a word of its own although it is the only one."""


@app.command()
def new() -> None:
    """Print a fresh secret for a webhook: `whsec_…`."""
    typer.echo(f"whsec_{base64.b64encode(secrets.token_bytes(BYTES)).decode()}")
