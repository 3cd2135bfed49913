"""`watcher secret`."""

import base64
import secrets
from typing import Annotated

import typer

app = typer.Typer(help="Keys for signing.", no_args_is_help=True)
BYTES = 32


@app.callback()
def _family() -> None:
    """Keep `new` a word of its own although it is the only one."""


@app.command()
def new(
    asymmetric: Annotated[bool, typer.Option("--asymmetric", help="Print a whsk_… and its public whpk_….")] = False,
) -> None:
    """Print a fresh secret for a webhook, `whsec_…`; or a key to sign with and one to verify with."""
    if not asymmetric:
        typer.echo(f"whsec_{_encoded(secrets.token_bytes(BYTES))}")
        return
    from watcher.core.errors import WatcherError
    from watcher.core.signature import SigningKey

    seed = secrets.token_bytes(BYTES)
    try:
        public = SigningKey.read(f"whsk_{_encoded(seed)}").public
    except ValueError as error:  # the extra is missing
        raise WatcherError(str(error)) from None
    typer.echo(f"whsk_{_encoded(seed + base64.b64decode(public.removeprefix('whpk_')))}")
    typer.echo(public)


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
