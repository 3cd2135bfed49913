"""Asking a running daemon what only it knows, at its `listen`: for commands, which can do without an answer."""

from http import HTTPStatus
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


async def ask_next(id: str, *, address: Address, token: Secret | None) -> Next | str:
    """Ask when a watch is asked next; or say why there is no good answer within a second."""
    told = await _ask(f"/v1/watches/{quote(id, safe='')}/next", Next, address=address, token=token)
    if isinstance(told, Next) and not (told.due_at or told.in_flight or told.last_answer):
        return f"at {address} nobody polls it"
    return told


async def ask_status(*, address: Address, token: Secret | None) -> Status | str:
    """Ask how things stand; or say why there is no good answer within a second."""
    return await _ask("/v1/status", Status, address=address, token=token)


async def _ask(path: str, model: type[Told], *, address: Address, token: Secret | None) -> Told | str:
    connector = aiohttp.UnixConnector(str(address.path)) if isinstance(address, Unix) else aiohttp.TCPConnector()
    host = "localhost" if isinstance(address, Unix) else str(address)
    headers = {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}
    try:
        with anyio.fail_after(WITHIN):
            async with (
                aiohttp.ClientSession(connector=connector, headers=headers) as session,
                session.get(URL(f"http://{host}{path}", encoded=True), allow_redirects=False) as answer,
            ):
                if answer.status == HTTPStatus.UNAUTHORIZED:
                    return f"{address} refuses this `api_token`" if token else f"{address} asks for an `api_token`"
                return model.model_validate_json(await answer.read())
    except TimeoutError:
        return f"no answer from {address} within a second"
    except (aiohttp.ClientConnectionError, OSError):
        return f"nobody answers at {address}"
    except (aiohttp.ClientError, ValidationError):
        return f"{address} answers something else"
