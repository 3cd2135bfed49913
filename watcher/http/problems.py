"""What goes wrong, as `application/problem+json` (RFC 9457), and the headers that every answer has."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from watcher.core.wrong import complaint, expected

Model = TypeVar("Model", bound=BaseModel)

JSON = "application/json"
PROBLEM = "application/problem+json"
HEADERS = {
    "Server": "watcher",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Wrong(BaseModel):
    """One thing that was not as expected: `where` is a parameter, a header, or a path in the body."""

    where: str
    expected: str


class Problem(BaseModel):
    """Why a request was not carried out."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Wrong] = []


class ProblemError(Exception):
    """Ends a request with a problem; raised anywhere below the border in `api.py`."""

    def __init__(
        self, status: int, detail: str, *, errors: list[Wrong] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self._problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors or [])
        self._headers = headers or {}

    def response(self) -> web.Response:
        """Write it as an answer."""
        body = self._problem.model_dump_json().encode()
        headers = {**HEADERS, **self._headers}
        return web.Response(status=self.status, body=body, content_type=PROBLEM, headers=headers)


def busy(detail: str, *, seconds: int = 2) -> ProblemError:
    """Ask to come again later."""
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": str(seconds)})


def validated(model: type[Model], value: object, *, status: int, place: str) -> Model:
    """Make a model of what came; `place` says where it stood.

    Raises:
        ProblemError: it is not of this shape; each thing that is wrong is named, without the value itself.

    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        wrong = [_wrong(found, model=model) for found in error.errors(include_url=False)]
    detail = "; ".join(f"{each.where}: {each.expected}" for each in wrong)
    raise ProblemError(status, f"{place}: {detail}", errors=wrong)


def _wrong(found: ErrorDetails, *, model: type[BaseModel]) -> Wrong:
    """Say what was expected; who asks knows what was sent."""
    where = ".".join(map(str, found["loc"])) or "body"
    is_about_keys = found["type"] in {"missing", "extra_forbidden"}
    return Wrong(where=where, expected=complaint(found, keys=model.model_fields) if is_about_keys else expected(found))
