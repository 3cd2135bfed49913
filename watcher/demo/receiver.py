"""A webhook receiver that verifies, keeps what arrived, knows repeats and disorder, and can misbehave on purpose."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Literal, TypeAlias

import anyio
from aiohttp import web
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from watcher.demo.signature import problem, read_key


@dataclass(frozen=True, slots=True)
class Manners:
    """How a receiver misbehaves: the first `fail` POSTs are answered `status`, or all of them where `fail` is None.

    `retry_after` goes with every such answer; `slow` is seconds before any answer. By default it behaves.
    """

    fail: int | None = 0
    status: int = HTTPStatus.SERVICE_UNAVAILABLE
    slow: float = 0.0
    retry_after: str | None = None


class _Change(BaseModel):
    """The part of an event's `data` that is shown; `to` is where it led, whatever the event calls it."""

    model_config = ConfigDict(hide_input_in_errors=True)

    watch: str | None = None
    provider: str | None = None
    sequence: int | None = None
    message: str | None = None
    before: JsonValue = Field(default=None, validation_alias="from")
    after: JsonValue = Field(default=None, validation_alias=AliasChoices("to", "outcome", "reason"))


class _Payload(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    type: str
    data: _Change


class _Member(_Payload):
    id: str


class _Batch(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["batch"]
    data: Annotated[list[_Member], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event; of a batch each is one, under its own id, with the headers and the body of all.

    `problem` says why the POST does not verify; `is_repeat` that the id was taken with 2xx before. `is_in_order` is
    false for a first arrival whose sequence does not grow within its watch. `at` is monotonic.
    """

    at: float
    id: str
    attempt: int | None
    type: str
    watch: str | None
    provider: str | None
    sequence: int | None
    message: str | None
    before: JsonValue
    after: JsonValue
    problem: str | None
    answered: int
    is_repeat: bool
    is_in_order: bool
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


Tell: TypeAlias = Callable[[Arrival], None]


class Receiver:
    """Takes POSTs at any path; `arrivals` holds them in the order in which they came, unless `keep` is false."""

    def __init__(
        self,
        secrets: Sequence[str],
        *,
        manners: Manners | None = None,
        tell: Tell | None = None,
        keep: bool = True,
    ) -> None:
        self.arrivals: list[Arrival] = []
        self._keep = keep
        self.manners = manners or Manners()
        self._keys = [read_key(secret) for secret in secrets]
        self._tell = tell
        self._posts = 0
        self._taken: set[str] = set()
        self._reached: dict[str, int] = {}

    def application(self) -> web.Application:
        """Return the server as an aiohttp application."""
        application = web.Application()
        application.router.add_post("/{path:.*}", self._receive)
        return application

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        wrong = problem(self._keys, headers=request.headers, body=body, now=time.time())
        answer = self._answer(is_verified=wrong is None)
        for event, payload in _read(body, id=request.headers.get("webhook-id", "")):
            arrival = self._judge(event, payload, headers=request.headers, body=body, wrong=wrong, answer=answer)
            if self._keep:
                self.arrivals.append(arrival)
            if self._tell:
                self._tell(arrival)
        await anyio.sleep(self.manners.slow)
        is_failure = answer >= HTTPStatus.MULTIPLE_CHOICES
        told = {"Retry-After": self.manners.retry_after} if is_failure and self.manners.retry_after else {}
        return web.Response(status=answer, headers=told)

    def _judge(
        self, event: str, payload: _Payload, *, headers: Mapping[str, str], body: bytes, wrong: str | None, answer: int
    ) -> Arrival:
        change, attempt = payload.data, headers.get("watcher-attempt", "")
        is_repeat = event in self._taken
        is_in_order = is_repeat or self._grows(change)
        if wrong is None and answer < HTTPStatus.MULTIPLE_CHOICES:
            self._take(event, change)
        return Arrival(
            at=time.monotonic(),
            id=event,
            attempt=int(attempt) if re.fullmatch(r"\d{1,9}", attempt) else None,
            type=payload.type,
            watch=change.watch,
            provider=change.provider,
            sequence=change.sequence,
            message=change.message,
            before=change.before,
            after=change.after,
            problem=wrong,
            answered=answer,
            is_repeat=is_repeat,
            is_in_order=is_in_order,
            headers=headers,
            body=body,
        )

    def _answer(self, *, is_verified: bool) -> int:
        self._posts += 1
        if self.manners.fail is None or self._posts <= self.manners.fail:
            return self.manners.status
        return HTTPStatus.NO_CONTENT if is_verified else HTTPStatus.UNAUTHORIZED

    def _grows(self, change: _Change) -> bool:
        if change.watch is None or change.sequence is None:
            return True
        return change.sequence > self._reached.get(change.watch, 0)

    def _take(self, id: str, change: _Change) -> None:
        self._taken.add(id)
        if change.watch is not None and change.sequence is not None:
            self._reached[change.watch] = max(change.sequence, self._reached.get(change.watch, 0))


def _read(body: bytes, *, id: str) -> list[tuple[str, _Payload]]:
    """Return the events of a POST with their ids; `id` is the one in its header."""
    try:
        batch = _Batch.model_validate_json(body)
    except ValidationError:
        return [(id, _single(body))]
    return [(member.id, member) for member in batch.data]


def _single(body: bytes) -> _Payload:
    try:
        return _Payload.model_validate_json(body)
    except ValidationError:
        return _Payload(type="(not an event)", data=_Change())
