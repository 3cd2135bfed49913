"""All routes in one application, and the border where whatever went wrong becomes a problem."""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import anyio
import structlog
from aiohttp import web

from watcher.core.errors import StoreError
from watcher.core.secret import Secret
from watcher.http.about import AboutRoutes
from watcher.http.address import Address
from watcher.http.answers import written
from watcher.http.backing import Backing
from watcher.http.deliveries import DeliveryRoutes
from watcher.http.events import SEND_WITHIN, EventRoutes
from watcher.http.guard import Guard
from watcher.http.openapi import Document, document
from watcher.http.page.page import PageRoutes
from watcher.http.problems import ProblemError, busy
from watcher.http.route import MOST_BODY, Route, expect
from watcher.http.watches import WatchRoutes
from watcher.http.webhooks import WebhookRoutes

FAULT = "a fault of ours; the log has its traceback"

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Api:
    """What is served at an address; `application` is ready to run."""

    def __init__(self, backing: Backing, *, address: Address, token: Secret | None) -> None:
        self._events = EventRoutes(backing)
        page = PageRoutes(has_token=token is not None)
        groups = (
            *(WatchRoutes(backing), self._events, DeliveryRoutes(backing), WebhookRoutes(backing)),
            *(AboutRoutes(backing), page),
        )
        routes = [route for group in groups for route in group.routes()]
        routes.append(
            Route(path="/openapi.json", summary="This document.", call=self._describe, answers={200: Document})
        )
        self._document = document(routes, has_token=token is not None)
        routes += page.parts()
        public = {route.path for route in routes if route.is_public}
        self._guard = Guard(address, token, public.__contains__)
        self.application = web.Application(middlewares=[self._border], client_max_size=MOST_BODY)
        for route in routes:
            self._add(route)

    def stop(self) -> None:
        """End what would go on for ever."""
        self._events.stop()

    def _add(self, route: Route) -> None:
        path = re.sub(r"{(\w+)}", r"{\1:[^/]+}", route.path)
        self.application.router.add_route(route.method, path, route.serve, expect_handler=expect)
        if route.method == "GET" and route.within is not None:
            self.application.router.add_route("HEAD", path, route.serve, expect_handler=expect)

    async def _describe(self, _request: web.Request) -> web.Response:
        return written(self._document)

    @web.middleware
    async def _border(self, request: web.Request, handler: Serve) -> web.StreamResponse:
        """Answer, whatever happens, and have the answer taken in time."""
        response = await self._answer(request, handler)
        try:
            with anyio.fail_after(SEND_WITHIN):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError as error:  # who does not read what was asked for keeps no room here
            raise _cut(request) from error
        return response

    async def _answer(self, request: web.Request, serve: Serve) -> web.StreamResponse:
        problem: ProblemError
        try:
            self._guard.check(request)
            return await serve(request)
        except ConnectionError:  # the client went
            raise
        except ProblemError as error:
            problem = error
        except web.HTTPException as error:
            problem = _translated(error)
        except (StoreError, TimeoutError):
            problem = busy("the store is behind; try again")
        except Exception:  # a loop's border: a bug that one request meets ends only that request
            log.exception("daemon.fault", method=request.method, path=request.path)
            problem = ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, FAULT)
        if request.writer.output_size:  # a stream has begun, and its client comes back for the rest
            raise _cut(request)
        return problem.response()


def _cut(request: web.Request) -> ConnectionError:
    """Close a connection without waiting for what was not taken."""
    if request.transport is not None:
        request.transport.abort()
    return ConnectionError("an answer was broken off")


def _translated(error: web.HTTPException) -> ProblemError:
    """Make the router's two errors ours."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return ProblemError(error.status, f"method: expected one of {allowed}", headers={"Allow": allowed})
    return ProblemError(error.status, "path: there is nothing here; /openapi.json says what is where")
