"""What is asked about the daemon itself: `/healthz`, `/readyz`, `/metrics`, the webhooks' public keys."""

from aiohttp import web

from watcher.http.answers import answer, written
from watcher.http.backing import Backing
from watcher.http.models import Standing, WebhookKeys
from watcher.http.problems import busy
from watcher.http.route import Route

METRICS = "text/plain; version=0.0.4; charset=utf-8"


class AboutRoutes:
    """The routes about the daemon. Health and public keys need no token: who asks for them has none."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def routes(self) -> list[Route]:
        """List them."""
        return [
            Route(
                path="/healthz",
                summary="Do the loops turn? Needs no token.",
                call=self.health,
                answers={200: Standing},
                is_public=True,
            ),
            Route(
                path="/readyz",
                summary="Is everything loaded, and nothing stopping? Needs no token.",
                call=self.readiness,
                answers={200: Standing},
                is_public=True,
            ),
            Route(path="/metrics", summary="Prometheus text.", call=self.metrics, answers={200: None}, content=METRICS),
            Route(
                path="/.well-known/webhook-keys",
                summary="The public keys that verify `v1a` signatures. Needs no token.",
                call=self.keys,
                answers={200: WebhookKeys},
                is_public=True,
            ),
        ]

    async def health(self, _request: web.Request) -> web.Response:
        """Say whether the loops turn."""
        if not self._backing.is_well():
            raise busy("a loop of the daemon does not turn")
        return answer(Standing())

    async def readiness(self, _request: web.Request) -> web.Response:
        """Say whether requests are taken."""
        if not self._backing.is_ready():
            raise busy("the daemon is starting or stopping")
        return answer(Standing())

    async def metrics(self, _request: web.Request) -> web.Response:
        """Show the metrics."""
        return written(self._backing.metrics(), content=METRICS)

    async def keys(self, _request: web.Request) -> web.Response:
        """Show the public keys."""
        keys = {name: section.key.public for name, section in self._backing.webhooks.items() if section.key}
        return answer(WebhookKeys(keys=keys))
