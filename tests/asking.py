"""One request of a test to a server, byte for byte as it is written."""

from collections.abc import Mapping

import aiohttp
from yarl import URL

from watcher.core.model import Json


async def ask(
    url: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", form: Mapping[str, str] | None = None
) -> tuple[int, Json, Mapping[str, str]]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, URL(url, encoded=True), headers=headers, data=form, allow_redirects=False) as answer,
    ):
        body: Json = await answer.json(content_type=None) if await answer.read() else None
        return answer.status, body, answer.headers
