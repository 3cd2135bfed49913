"""`/v1/status` and `/v1/webhooks`: how things stand, and whether a webhook is sent to."""

from functools import partial
from http import HTTPStatus

import orjson
from aiohttp import web

from watcher.core.intent import Switch
from watcher.http.answers import answer
from watcher.http.asked import SwitchAsked
from watcher.http.backing import Backing
from watcher.http.look import Look
from watcher.http.problems import ProblemError, busy, validated
from watcher.http.route import Route, read_body
from watcher.http.standing import Status, Switched, Webhooks


class WebhookRoutes:
    """The routes about how things stand."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._look = Look(backing)

    def routes(self) -> list[Route]:
        """List them."""
        return [
            Route(
                path="/v1/status",
                summary="Is all well, and what is not?",
                call=self.status,
                answers={200: Status},
            ),
            Route(
                path="/v1/webhooks",
                summary="List webhooks: where they lead, how they stand, and what waits.",
                call=self.find,
                answers={200: Webhooks},
            ),
            self._switch(
                "enable", "Send to a webhook again from where it stopped, now, whatever it waits for.", on=True
            ),
            self._switch("disable", "Send nothing to a webhook any more; what is for it waits.", on=False),
        ]

    def _switch(self, word: str, summary: str, *, on: bool) -> Route:
        return Route(
            method="POST",
            path=f"/v1/webhooks/{{name}}/{word}",
            summary=summary,
            call=partial(self.switch, on=on),
            body=SwitchAsked,
            answers={202: Switched},
            problems=(404, 408, 413, 415, 422),
        )

    async def status(self, _request: web.Request) -> web.Response:
        """Say whether all is well, and what is not."""
        return answer(await self._look.status())

    async def find(self, _request: web.Request) -> web.Response:
        """List webhooks."""
        return answer(Webhooks(webhooks=await self._look.webhooks()))

    async def switch(self, request: web.Request, *, on: bool) -> web.Response:
        """Ask the owner to enable or disable a webhook."""
        _check(await read_body(request))
        name = request.match_info["name"]
        if name not in self._backing.webhooks and name not in await self._origins():
            raise ProblemError(HTTPStatus.NOT_FOUND, "there is no webhook of this name")
        if not self._backing.is_ready():
            raise busy("the daemon is starting or stopping, and takes no requests now")
        await self._backing.store.want(Switch(0, name, on))
        self._backing.feed.ring()
        wanted = Switched(webhook=name, wanted="enabled" if on else "disabled")
        return answer(wanted, status=HTTPStatus.ACCEPTED)

    async def _origins(self) -> set[str]:
        return {endpoint.name for endpoint in await self._backing.records.endpoints() if endpoint.is_origin}


def _check(body: bytes) -> None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"body: expected {{}}: {error}") from None
    validated(SwitchAsked, value, status=HTTPStatus.UNPROCESSABLE_ENTITY, place="body")
