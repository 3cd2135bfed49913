"""Asking the running daemon what only it knows, and saying it; commands can do without an answer."""

from datetime import datetime
from typing import TYPE_CHECKING

import typer

from watcher.cli.moments import when
from watcher.cli.open import token

if TYPE_CHECKING:
    from watcher.config import Config
    from watcher.http.models import LastAnswer, Next
    from watcher.http.standing import Status


async def next_of(context: typer.Context, config: "Config", id: str) -> "Next | str":
    """Ask when a watch is asked next; or say why there is no answer."""
    from watcher.core.errors import ConfigError
    from watcher.http.client import ask_next

    address = config.watcher.address
    if address is None:
        return "it does not listen"
    try:
        return await ask_next(id, address=address, token=token(context))
    except ConfigError as error:
        return str(error)


async def status_of(context: typer.Context, config: "Config") -> "Status | None":
    """Ask how things stand; None if there is no answer."""
    from watcher.core.errors import ConfigError
    from watcher.http.client import ask_status

    address = config.watcher.address
    try:
        told = "" if address is None else await ask_status(address=address, token=token(context))
    except ConfigError:
        return None
    return None if isinstance(told, str) else told


def answered(last: "LastAnswer | None", now: datetime) -> str:
    """Say how the last poll of a watch ended."""
    if last is None:
        return "nothing yet, or too long ago: a daemon keeps the 1,000 latest answers of each provider"
    status = f", HTTP {last.http_status}" if last.http_status else ""
    return f"{last.outcome}{status}, {when(last.at, now)}" + (f": {last.detail}" if last.detail else "")
