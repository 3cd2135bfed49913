"""`watcher listen`: a receiver to try a webhook out with. Reads the arguments; the rest is in `watcher.demo`."""

import os
from typing import Annotated

import typer

VARIABLE = "WATCHER_LISTEN_SECRET"


def listen(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where on 127.0.0.1; 0 takes a free port.")] = 8000,
    secret: Annotated[
        str, typer.Option(help=f"The whsec_… to verify with; else ${VARIABLE}, else a fresh one, which is printed.")
    ] = "",
    fail: Annotated[int | None, typer.Option(min=1, help="Answer the first so many POSTs with a failure.")] = None,
    status: Annotated[
        int | None, typer.Option(min=200, max=599, help="The failure's status (503); without --fail, of every answer.")
    ] = None,
    slow: Annotated[str, typer.Option(metavar="DURATION", help='Wait before each answer, such as "2s".')] = "0s",
    retry_after: Annotated[int | None, typer.Option(min=0, help="Send Retry-After with each failure.")] = None,
) -> None:
    """Receive webhooks on this machine, verify and print them. It misbehaves if asked to; Ctrl-C ends it."""
    import anyio

    from watcher.core.duration import parse_duration
    from watcher.demo.listening import listen as receive
    from watcher.demo.receiver import Manners
    from watcher.demo.terminal import open_console

    if retry_after is not None and fail is None and status is None:
        raise typer.BadParameter("is sent with failures: needs --fail or --status", param_hint="--retry-after")
    try:
        seconds = parse_duration(slow).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--slow") from None
    manners = Manners(
        fail=0 if fail is None and status is None else fail,
        status=status or 503,
        slow=seconds,
        retry_after=None if retry_after is None else str(retry_after),
    )
    chosen, written = _secret(secret)
    anyio.run(lambda: receive(open_console(), port=port, secret=chosen, written=written, manners=manners))


def _secret(given: str) -> tuple[str, str]:
    """Choose the secret, and how the configuration refers to it: only one that was just made is shown."""
    from watcher.demo.signature import fresh_secret, read_key

    secret = given or os.environ.get(VARIABLE, "")
    if not secret:
        fresh = fresh_secret()
        return fresh, fresh
    try:
        read_key(secret)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--secret" if given else f"${VARIABLE}") from None
    return secret, f"env:{VARIABLE}"
