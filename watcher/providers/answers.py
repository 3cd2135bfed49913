"""What an answer's HTTP status means before anybody reads its body (SPEC.md, section 4), and reading JSON safely."""

import re
from collections.abc import Mapping
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from watcher.core.model import Json, Reason
from watcher.core.outcome import Broken, Denied, Missing, Refused, Throttled, Unseen
from watcher.core.wire import Response
from watcher.core.wrong import explain

LONGEST_PAUSE = timedelta(hours=24)

_CODE = re.compile(r"[\w.:#/-]{1,100}")
_SEPARATORS = str.maketrans("", "", "_- ")


class Part(BaseModel):
    """A JSON object of a vendor: what decides is declared, and strict; the rest may be shown as detail."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, hide_input_in_errors=True)
    __pydantic_extra__: dict[str, JsonValue]

    def detail(self, *names: str) -> dict[str, Json]:
        """Pick undeclared fields by name, in that order; what is absent or null is left out."""
        found = self.__pydantic_extra__
        return {name: found[name] for name in names if found.get(name) is not None}


M = TypeVar("M", bound=BaseModel)


def retry_after(response: Response) -> timedelta | None:
    """Read `Retry-After`: seconds or an HTTP date, 0 to 24 hours; None if there is none or it means nothing.

    A date is of the other side's clock.
    """
    written = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,18}", written, re.ASCII):
        wait = timedelta(seconds=min(int(written), LONGEST_PAUSE.total_seconds()))
    else:
        try:
            moment = parsedate_to_datetime(written)
        except (ValueError, OverflowError):
            return None
        wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - (response.served_at or response.received_at)
    return min(max(wait, timedelta(0)), LONGEST_PAUSE)


def unseen(response: Response) -> Unseen | None:
    """Return what the HTTP status alone says; None for a 2xx, whose body must be read."""
    status = response.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    detail = error_code(response)
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return Denied(status, detail, renewable=True)
        case HTTPStatus.FORBIDDEN:
            return Denied(status, detail)
        case HTTPStatus.NOT_FOUND:
            return Missing(status)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Throttled(status, retry_after(response))
        case HTTPStatus.SERVICE_UNAVAILABLE if (wait := retry_after(response)) is not None:
            return Throttled(status, wait)
        case _ if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return Refused(status, detail)
        case _:
            return Broken(Reason.SERVER_ERROR, status, detail)


def malformed(response: Response, detail: str) -> Broken:
    """Say that a success has a body that means nothing; `detail` tells what was expected, never the body."""
    return Broken(Reason.MALFORMED, response.status, detail)


def read_json(response: Response) -> object:
    """Return the body's JSON value; `Broken` if it has none, `Refused` if it has no body where one must be."""
    if not response.body.strip():
        return Refused(response.status, "a success without a body")
    try:
        return loads(response.body)
    except ValueError:
        return malformed(response, "expected JSON")


def loads(body: bytes) -> Json:
    """Read JSON that can be written again inside an event: orjson reads about 1,000 levels and writes 254.

    Raises:
        ValueError: it is none.

    """
    value: Json = orjson.loads(body)
    try:
        orjson.dumps([[[[value]]]])
    except orjson.JSONEncodeError as error:
        raise ValueError(str(error)) from None
    return value


def read_as(model: type[M], response: Response) -> M | Broken | Refused:
    """Read a JSON body as `model`."""
    value = read_json(response)
    if isinstance(value, Broken | Refused):
        return value
    if not isinstance(value, dict):
        return malformed(response, "expected a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        return malformed(response, explain(error)[:300])


def folded(word: str) -> str:
    """Fold a status for exact comparison: vendors write `PARTIAL_SUCCESS`, `partialSuccess`, `un-delivered`."""
    return word.translate(_SEPARATORS).lower()


def error_code(response: Response) -> str:
    """Find the vendor's word for an error, for the log: a code, never free text, which may hold anything."""
    try:
        value = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return ""
    for key in ("detail", "errors", "code", "Code", "__type", "type", "error"):
        inner = value.get(key) if isinstance(value, Mapping) else None
        inner = inner[0] if isinstance(inner, list) and inner else inner
        inner = inner.get("code", inner.get("type")) if isinstance(inner, Mapping) else inner
        if isinstance(inner, str | int) and not isinstance(inner, bool) and _CODE.fullmatch(str(inner)):
            return str(inner)
    return ""
