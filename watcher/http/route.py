"""One way in, declared: what it takes, what it answers. The router and `/openapi.json` are made of these."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias, TypeVar, get_origin

import anyio
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError
from pydantic import BaseModel

from watcher.http.problems import JSON, ProblemError, Wrong, validated

MOST_BODY = 1024 * 1024
BODY_WITHIN = 20.0
ANSWER_WITHIN = 30.0

Call: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method and a path; `{id}` or `{name}` in it is a percent-encoded part.

    `query` and `headers` are models of parameters, `body` of what is written, `answers` of what comes back, None where
    that is no JSON; `problems` are statuses beside those that each route has.
    `within` are the seconds that it may take; None for as long as the client likes.
    """

    method: str = "GET"
    path: str
    summary: str
    call: Call
    answers: Mapping[int, type[BaseModel] | None]
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    problems: tuple[int, ...] = ()
    content: str = JSON
    is_public: bool = False
    within: float | None = ANSWER_WITHIN

    @property
    def names(self) -> list[str]:
        """The parts of the path that are given."""
        return re.findall(r"{(\w+)}", self.path)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a request that was let in.

        Raises:
            ProblemError: it asks for something else than there is, or takes too long.

        """
        if not accepts(request.headers.get("Accept", ""), self.content):
            raise ProblemError(HTTPStatus.NOT_ACCEPTABLE, f"Accept: expected {self.content} among what is accepted")
        with anyio.fail_after(self.within):
            return await self.call(request)


def accepts(header: str, content: str) -> bool:
    """Is this content among what an `Accept` header asks for? Without one, anything is."""
    wanted = content.partition(";")[0]
    ranges = {wanted, f"{wanted.partition('/')[0]}/*", "*/*"}
    for part in header.split(",") if header.strip() else ["*/*"]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name in ranges and not any(piece.strip("0.") == "q=" for piece in parameters):
            return True
    return False


def read_query(request: web.Request, model: type[Model]) -> Model:
    """Read the parameters of a request.

    Raises:
        ProblemError: 400, with the names of those that are wrong.

    """
    found: dict[str, object] = {}
    for name in dict.fromkeys(request.query):
        values, field = request.query.getall(name), model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is list:
            found[name] = values
        elif len(values) == 1:
            found[name] = values[0]
        else:
            wrong = Wrong(where=name, expected="expected once")
            raise ProblemError(HTTPStatus.BAD_REQUEST, f"query: {name}: expected once", errors=[wrong])
    return validated(model, found, status=HTTPStatus.BAD_REQUEST, place="query")


async def read_body(request: web.Request) -> bytes:
    """Read a JSON document as it came.

    Raises:
        ProblemError: it is not called JSON, is compressed, too large, too slow, or broken.

    """
    if request.content_type != JSON:
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: expected {JSON}")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding: expected none")
    if (request.content_length or 0) > MOST_BODY:
        raise _too_large()
    try:
        await _invite(request)
        with anyio.fail_after(BODY_WITHIN):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large() from None
    except TimeoutError:
        detail = f"body: expected within {BODY_WITHIN:g} s"
        raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, detail, headers={"Connection": "close"}) from None
    except RequestPayloadError:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "body: it is broken off or badly framed") from None


async def expect(_request: web.Request) -> None:
    """Promise nothing to a client that asks before it sends: the body is invited when everything else is right."""


async def _invite(request: web.Request) -> None:
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # of the answer itself nothing was sent


def _too_large() -> ProblemError:
    """Say how much is read."""
    return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"body: expected at most {MOST_BODY // 1024} KiB")
