"""Asking a running daemon what only it knows, at its `listen`: for commands, which can do without an answer."""

from urllib.parse import quote

import aiohttp
import anyio
from pydantic import ValidationError
from yarl import URL

from watcher.core.secret import Secret
from watcher.http.address import Address, Unix
from watcher.http.models import Next

WITHIN = 1.0


async def ask_next(id: str, *, address: Address, token: Secret | None) -> Next | None:
    """Ask when a watch is asked next; None if there is no good answer within a second."""
    connector = aiohttp.UnixConnector(str(address.path)) if isinstance(address, Unix) else aiohttp.TCPConnector()
    host = "localhost" if isinstance(address, Unix) else str(address)
    place = f"http://{host}/v1/watches/{quote(id, safe='')}/next"
    headers = {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}
    try:
        with anyio.fail_after(WITHIN):
            async with (
                aiohttp.ClientSession(connector=connector, headers=headers) as session,
                session.get(URL(place, encoded=True), allow_redirects=False, raise_for_status=True) as answer,
            ):
                return Next.model_validate_json(await answer.read())
    except (aiohttp.ClientError, OSError, ValidationError):
        return None
