"""Asking a running daemon what only it knows, at its `listen`: for commands, which can do without an answer."""

from typing import TypeVar
from urllib.parse import quote

import aiohttp
import anyio
from pydantic import BaseModel, ValidationError
from yarl import URL

from watcher.core.secret import Secret
from watcher.http.address import Address, Unix
from watcher.http.models import Next
from watcher.http.standing import Status

WITHIN = 1.0


Told = TypeVar("Told", bound=BaseModel)


async def ask_next(id: str, *, address: Address, token: Secret | None) -> Next | None:
    """Ask when a watch is asked next; None if there is no good answer in a second, or nobody asks for it there."""
    told = await _ask(f"/v1/watches/{quote(id, safe='')}/next", Next, address=address, token=token)
    return told if told and (told.due_at or told.in_flight or told.last_answer) else None


async def ask_status(*, address: Address, token: Secret | None) -> Status | None:
    """Ask how things stand; None if there is no good answer within a second."""
    return await _ask("/v1/status", Status, address=address, token=token)


async def _ask(path: str, model: type[Told], *, address: Address, token: Secret | None) -> Told | None:
    connector = aiohttp.UnixConnector(str(address.path)) if isinstance(address, Unix) else aiohttp.TCPConnector()
    host = "localhost" if isinstance(address, Unix) else str(address)
    headers = {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}
    try:
        with anyio.fail_after(WITHIN):
            async with (
                aiohttp.ClientSession(connector=connector, headers=headers) as session,
                session.get(
                    URL(f"http://{host}{path}", encoded=True), allow_redirects=False, raise_for_status=True
                ) as answer,
            ):
                return model.model_validate_json(await answer.read())
    except (aiohttp.ClientError, OSError, ValidationError):
        return None
