"""`/v1/events`: reading the event log by cursor, waiting for more of it, or having it streamed."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import anyio
from aiohttp import web

from watcher.core.rows import EventRow
from watcher.core.shown import shown_event
from watcher.http.answers import answer
from watcher.http.asked import LONGEST_WAIT, EventsAsked, StreamAsked, StreamHeaders
from watcher.http.backing import Backing
from watcher.http.models import Event, Events
from watcher.http.problems import HEADERS, busy, validated
from watcher.http.route import ANSWER_WITHIN, Route, read_query

LOOK_EVERY = 1.0  # however quiet the bell: another process may write to the store, too
KEEP_ALIVE = 15.0
PAGE = 100  # events that a stream holds at most; a slow reader is read for no faster than it reads
REST = 0.05  # between pages that are not full, so that many streams are not as many reads for each event
SEND_WITHIN = 30.0
MOST_WAITING = 256
STREAM = "text/event-stream"


class EventRoutes:
    """The routes about events."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._is_over = False
        self._waiting = 0

    def routes(self) -> list[Route]:
        """List them."""
        return [
            Route(
                path="/v1/events",
                summary="Read events behind a cursor, oldest first; with `wait`, wait for the first.",
                call=self.read,
                query=EventsAsked,
                answers={200: Events},
                within=ANSWER_WITHIN + LONGEST_WAIT,
            ),
            Route(
                path="/v1/events/stream",
                summary="Follow events as server-sent events: `id` is the cursor, `event` the type, `data` the body.",
                call=self.stream,
                query=StreamAsked,
                headers=StreamHeaders,
                answers={200: None},
                content=STREAM,
                within=None,
            ),
        ]

    def stop(self) -> None:
        """End all streams and all waits."""
        self._is_over = True
        self._backing.news.ring()

    async def read(self, request: web.Request) -> web.Response:
        """Read a page, perhaps waiting for it."""
        asked = read_query(request, EventsAsked)
        with self._place() if asked.wait else nullcontext():
            rows = await self._page(request, asked, after=asked.after, limit=asked.limit, wait=asked.wait)
        events = [Event.model_validate(shown_event(row)) for row in rows]
        return answer(Events(events=events, next=rows[-1].cursor if rows else asked.after))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send page after page until the reader goes, is too slow, or the daemon stops."""
        asked = read_query(request, StreamAsked)
        known = {name: request.headers[name] for name in ["Last-Event-ID"] if name in request.headers}
        reached = validated(StreamHeaders, known, status=400, place="header").last_event_id
        with self._place():
            response = web.StreamResponse(headers={**HEADERS, "Content-Type": STREAM})
            await response.prepare(request)
            await self._follow(request, response, asked, after=asked.after if reached is None else reached)
        return response

    async def _follow(
        self, request: web.Request, response: web.StreamResponse, asked: StreamAsked, *, after: int
    ) -> None:
        chunk, rest = b"retry: 1000\n\n", 0.0
        while not self._has_ended(request):
            with anyio.fail_after(SEND_WITHIN):
                await response.write(chunk)
            await anyio.sleep(rest)
            rows = await self._page(request, asked, after=after, limit=PAGE, wait=KEEP_ALIVE)
            chunk = b"".join(map(_framed, rows)) or b": nothing new\n\n"
            after = rows[-1].cursor if rows else after
            rest = REST if len(rows) < PAGE else 0.0

    async def _page(
        self, request: web.Request, asked: StreamAsked, *, after: int, limit: int, wait: float
    ) -> list[EventRow]:
        """Return the next events; none where there were none for so long, the reader went, or the daemon stops."""
        until = anyio.current_time() + wait
        while True:
            ring = self._backing.news.next
            rows = await self._backing.records.events(after=after, watch=asked.watch, limit=limit)
            left = until - anyio.current_time()
            if rows or left <= 0 or self._has_ended(request):
                return rows
            with anyio.move_on_after(min(left, LOOK_EVERY)):
                await ring.wait()

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Take one of the places of those who wait; they are fewer than connections, so that others get through.

        Raises:
            ProblemError: all are taken.

        """
        if self._waiting >= MOST_WAITING:
            raise busy("too many wait for events")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _has_ended(self, request: web.Request) -> bool:
        return self._is_over or request.transport is None or request.transport.is_closing()


def _framed(row: EventRow) -> bytes:
    """Write one server-sent event; a body is one line of JSON."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (row.cursor, row.event.type.encode(), row.event.body)
