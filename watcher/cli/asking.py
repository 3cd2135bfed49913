"""Asking the running daemon what only it knows, and saying it; commands can do without an answer."""

from datetime import datetime
from typing import TYPE_CHECKING

import typer

from watcher.cli.moments import when
from watcher.cli.open import token

if TYPE_CHECKING:
    from watcher.config import Config
    from watcher.core.secret import Secret
    from watcher.http.address import Address
    from watcher.http.models import LastAnswer, Next
    from watcher.http.standing import Status


async def next_of(context: typer.Context, config: "Config", id: str) -> "Next | None":
    """Ask when a watch is asked next; None if there is no answer."""
    from watcher.http.client import ask_next

    address, secret = _place(context, config)
    return None if address is None else await ask_next(id, address=address, token=secret)


async def status_of(context: typer.Context, config: "Config") -> "Status | None":
    """Ask how things stand; None if there is no answer."""
    from watcher.http.client import ask_status

    address, secret = _place(context, config)
    return None if address is None else await ask_status(address=address, token=secret)


def _place(context: typer.Context, config: "Config") -> "tuple[Address | None, Secret | None]":
    """Return where the daemon listens, and its token; nowhere if we cannot read that."""
    from watcher.core.errors import ConfigError

    try:
        return config.watcher.address, token(context)
    except ConfigError:
        return None, None


def answered(last: "LastAnswer | None", now: datetime) -> str:
    """Say how the last poll of a watch ended."""
    if last is None:
        return "nothing yet, or too long ago: a daemon keeps the 1,000 latest answers of each provider"
    status = f", HTTP {last.http_status}" if last.http_status else ""
    return f"{last.outcome}{status}, {when(last.at, now)}" + (f": {last.detail}" if last.detail else "")
