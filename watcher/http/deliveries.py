"""`/v1/deliveries`: what was sent and what became of it, and sending it again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus

import orjson
from aiohttp import web

from watcher.core.explain import held
from watcher.core.intent import Replay
from watcher.core.model import EventType
from watcher.core.rows import DeliveryRow
from watcher.core.shown import shown_delivery
from watcher.http.answers import answer
from watcher.http.asked import DeliveriesAsked, ReplayAsked, ReplayOfEvents, ReplayToWebhook
from watcher.http.backing import Backing
from watcher.http.models import Attempt, Deliveries, Delivery, Wanted
from watcher.http.problems import ProblemError, busy, validated
from watcher.http.route import Route, read_body, read_query


class DeliveryRoutes:
    """The routes about deliveries."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def routes(self) -> list[Route]:
        """List them."""
        return [
            Route(
                path="/v1/deliveries",
                summary="List deliveries, oldest first.",
                call=self.find,
                query=DeliveriesAsked,
                answers={200: Deliveries},
            ),
            Route(
                method="POST",
                path="/v1/deliveries/replay",
                summary="Send events again, with the same ids.",
                call=self.replay,
                body=ReplayAsked,
                answers={202: Wanted},
                problems=(408, 413, 415, 422),
            ),
        ]

    async def find(self, request: web.Request) -> web.Response:
        """List deliveries; those of one event with their failed attempts."""
        asked = read_query(request, DeliveriesAsked)
        rows = await self._backing.records.deliveries(
            watch=asked.watch,
            webhook=asked.webhook,
            status=asked.status,
            event=asked.event,
            since=None if asked.since is None else self._moment(asked.since),
            after=asked.after,
            limit=asked.limit + 1,
        )
        page = await shown_deliveries(self._backing, rows[: asked.limit], in_full=asked.event is not None)
        return answer(Deliveries(deliveries=page, next=page[-1].id if len(rows) > asked.limit else None))

    async def replay(self, request: web.Request) -> web.Response:
        """Ask the owner to send events again."""
        asked = _read(await read_body(request))
        if not self._backing.is_ready():
            raise busy("the daemon is starting or stopping, and takes no requests now")
        if isinstance(asked, ReplayOfEvents):
            wanted = await self._of_events(asked)
        else:
            wanted = self._to_webhook(asked)
        await self._backing.store.want(wanted)
        self._backing.feed.ring()
        return answer(
            Wanted(
                event=list(wanted.events) or None,
                webhook=wanted.webhook,
                since=wanted.since,
                status="exhausted" if wanted.exhausted else None,
                rate=wanted.rate,
            ),
            status=HTTPStatus.ACCEPTED,
        )

    async def _of_events(self, asked: ReplayOfEvents) -> Replay:
        events = tuple(dict.fromkeys(asked.event))
        for place, event in enumerate(events):
            if not await self._backing.records.deliveries(event=event, limit=1):
                raise _unfit(f"event.{place}: there is no such event, or it was for no webhook")
        return Replay(0, asked.rate, events)

    def _to_webhook(self, asked: ReplayToWebhook) -> Replay:
        section = self._backing.webhooks.get(asked.webhook)
        if section is None:
            raise _unfit(f"webhook: expected one of {', '.join(sorted(self._backing.webhooks)) or 'none'}")
        return Replay(
            0,
            asked.rate,
            webhook=asked.webhook,
            since=self._moment(asked.since),
            exhausted=asked.status is not None,
            types=tuple(kind for kind in EventType if kind in section.types),
            providers=section.providers,
        )

    def _moment(self, since: timedelta | datetime) -> datetime:
        return self._backing.desk.clock.now() - since if isinstance(since, timedelta) else since


async def shown_deliveries(backing: Backing, rows: Sequence[DeliveryRow], *, in_full: bool = False) -> list[Delivery]:
    """Show deliveries with what keeps them back; `in_full` with their failed attempts."""
    is_any_due, now = any(row.due_at for row in rows), backing.desk.clock.now()
    endpoints = {known.name: known for known in await backing.records.endpoints()} if is_any_due else {}
    holds = [held(row, endpoints=endpoints, has_section=backing.has_section, now=now) for row in rows]
    found = [Delivery.model_validate(shown_delivery(row, hold)) for row, hold in zip(rows, holds, strict=True)]
    if not in_full:
        return found
    attempts = [await backing.records.attempts(delivery=row.id) for row in rows]
    return [
        delivery.model_copy(update={"failed": list(map(Attempt.model_validate, failed))})
        for delivery, failed in zip(found, attempts, strict=True)
    ]


def _read(body: bytes) -> ReplayOfEvents | ReplayToWebhook:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _unfit(f"expected one JSON object: {error}") from None
    if isinstance(value, dict) and "event" in value:
        return validated(ReplayOfEvents, value, status=HTTPStatus.UNPROCESSABLE_ENTITY, place="body")
    return validated(ReplayToWebhook, value, status=HTTPStatus.UNPROCESSABLE_ENTITY, place="body")


def _unfit(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"body: {detail}")
