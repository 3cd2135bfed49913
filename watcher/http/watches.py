"""`/v1/watches`: taking requests in as a source does, and showing what became of them."""

from collections.abc import Sequence
from dataclasses import asdict
from http import HTTPStatus
from urllib.parse import quote

import anyio.lowlevel
import orjson
from aiohttp import web

from watcher.core import model
from watcher.core.rows import Admission, Arrival
from watcher.core.shown import shown_event, shown_watch
from watcher.http.answers import answer
from watcher.http.asked import MOST_ROWS, Requests, WatchesAsked
from watcher.http.backing import Backing
from watcher.http.deliveries import shown_deliveries
from watcher.http.models import Event, Next, OneOrAllTaken, Taken, Watch, Watches, WatchInFull
from watcher.http.problems import ProblemError, busy
from watcher.http.route import Route, read_body, read_query
from watcher.intake import refusal, tell
from watcher.lately import Outlook
from watcher.ports import Item

SOURCE = "http"
AT_ONCE = 100  # requests that are read before others get their turn
STATUS = {
    Admission.NEW: HTTPStatus.CREATED,
    Admission.KNOWN: HTTPStatus.OK,
    Admission.CONFLICT: HTTPStatus.CONFLICT,
    Admission.CANCELLING: HTTPStatus.ACCEPTED,
    Admission.UNKNOWN: HTTPStatus.NOT_FOUND,
    Admission.REJECTED: HTTPStatus.UNPROCESSABLE_ENTITY,
}


class WatchRoutes:
    """The routes about watches."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def routes(self) -> list[Route]:
        """List them."""
        one = "/v1/watches/{id}"
        return [
            Route(
                method="POST",
                path="/v1/watches",
                summary="Watch operations, or cancel watches; answered once it is on disk.",
                call=self.take,
                body=Requests,
                answers={201: Taken, 200: OneOrAllTaken, 202: Taken},
                problems=(404, 408, 409, 413, 415, 422),
            ),
            Route(
                path="/v1/watches",
                summary="List watches, oldest first.",
                call=self.find,
                query=WatchesAsked,
                answers={200: Watches},
            ),
            Route(path=one, summary="Show one watch.", call=self.show, answers={200: WatchInFull}, problems=(404,)),
            Route(
                path=f"{one}/next",
                summary="When is a watch asked next, and what was it answered last?",
                call=self.look_ahead,
                answers={200: Next},
                problems=(404,),
            ),
            Route(
                method="DELETE",
                path=one,
                summary="Cancel a watch: 202, or 200 if it is finished.",
                call=self.cancel,
                answers={202: Taken, 200: Taken},
                problems=(404,),
            ),
        ]

    async def take(self, request: web.Request) -> web.Response:
        """Take in one request or a list of them."""
        lack = self._backing.lack()
        if lack is not None:
            raise busy(f"there is no room for more: {lack}", seconds=10)
        body = await read_body(request)
        many = _listed(body)
        if many is None:
            (taken,) = await self._admit([Item(body, _origin(request))])
            return _single(taken)
        if len(many) > MOST_ROWS:
            detail = f"body: expected at most {MOST_ROWS} requests at once, got {len(many)}"
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        items = [_item(value, f"{_origin(request)}[{number}]") for number, value in enumerate(many)]
        return answer(OneOrAllTaken(await self._admit(items)))

    async def cancel(self, request: web.Request) -> web.Response:
        """End a watch."""
        watch = await self._found(request)
        (taken,) = await self._admit([Item(orjson.dumps({"cancel": watch.id}), _origin(request))])
        return _single(taken)

    async def find(self, request: web.Request) -> web.Response:
        """List watches."""
        asked = read_query(request, WatchesAsked)
        rows = await self._backing.records.watches(
            state=asked.state, provider=asked.provider, labels=asked.labels, after=asked.after, limit=asked.limit + 1
        )
        page = rows[: asked.limit]
        watches = [Watch.model_validate(shown_watch(row.watch)) for row in page]
        return answer(Watches(watches=watches, next=page[-1].row if len(rows) > asked.limit else None))

    async def show(self, request: web.Request) -> web.Response:
        """Show one watch with its timeline."""
        records, watch = self._backing.records, await self._found(request)
        events = await records.events(watch=watch.id, limit=MOST_ROWS)
        deliveries = await records.deliveries(watch=watch.id, limit=MOST_ROWS)
        shown = shown_watch(watch)
        shown["events"] = [Event.model_validate(shown_event(row)) for row in events]
        shown["deliveries"] = await shown_deliveries(self._backing, deliveries)
        return answer(WatchInFull.model_validate(shown))

    async def look_ahead(self, request: web.Request) -> web.Response:
        """Say when a watch is asked next."""
        watch = await self._found(request)
        outlook = self._backing.outlook(watch) or Outlook()
        return answer(Next.model_validate({"id": watch.id, "provider": watch.provider, **asdict(outlook)}))

    async def _found(self, request: web.Request) -> model.Watch:
        watch = await self._backing.records.find(request.match_info["id"])
        if watch is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "there is no watch of this id")
        return watch

    async def _admit(self, items: Sequence[Item]) -> list[Taken]:
        """Store requests, all in one transaction, as a source does.

        Raises:
            StoreError: none was stored.
            ProblemError: the daemon takes none now.

        """
        backing = self._backing
        if not backing.is_ready():
            raise busy("the daemon is starting or stopping, and takes no requests now")
        arrivals: list[Arrival] = []
        for item in items:
            arrivals.append(backing.desk.read(item, source=SOURCE))
            if len(arrivals) % AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
        admissions = await backing.store.add(arrivals)
        backing.feed.ring()
        for arrival, admission in zip(arrivals, admissions, strict=True):
            tell(arrival, admission)
        return list(map(_taken, arrivals, admissions))


def _listed(body: bytes) -> list[object] | None:
    """Return the members of a list; None where it is none, and the desk says what is wrong with it."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, list) else None


def _item(value: object, where: str) -> Item:
    try:
        return Item(orjson.dumps(value), where)
    except orjson.JSONEncodeError:  # it reads more levels than it writes
        return Item(b"", where, refused="expected at most 100 levels")


def _origin(request: web.Request) -> str:
    return request.remote or "unix socket"


def _taken(arrival: Arrival, admission: Admission) -> Taken:
    note = "known already: nothing changed" if admission is Admission.KNOWN else None
    return Taken(
        status=STATUS[admission],
        result=admission,
        id=arrival.watch.id if arrival.watch else arrival.cancel,
        detail=refusal(arrival, admission) or note,
    )


def _single(taken: Taken) -> web.Response:
    if taken.status >= HTTPStatus.BAD_REQUEST:
        raise ProblemError(taken.status, taken.detail or "")
    headers = {"Location": f"/v1/watches/{quote(taken.id or '', safe='')}"}
    return answer(taken, status=taken.status, headers=headers if taken.status == HTTPStatus.CREATED else None)
