"""A watch request as its sender wrote it (SPEC.md, section 3): reading and checking its shape, and its id."""

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from watcher.core.duration import Duration
from watcher.core.errors import RequestError
from watcher.core.model import Params
from watcher.core.secret import MASK
from watcher.core.signature import decode_key
from watcher.core.wrong import came, explain

MOST_LABELS = 20
MOST_BYTES = 256 * 1024
MOST_LEVELS = 100  # orjson writes at most 254, and an event wraps the params in its own
SHOWN = frozenset({"id", "provider", "webhooks", "deadline", "submitted_at"})  # keys that hold no secret and no number
EXPECTED_TIME = "expected an RFC 3339 time with an offset, such as 2026-11-23T07:30:00Z"


def _printable(text: str) -> str:
    if not text.isprintable():
        msg = "expected printable characters only"
        raise ValueError(msg)
    return text


def _rfc3339(written: object) -> object:
    if not isinstance(written, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]", written, re.ASCII):
        raise ValueError(EXPECTED_TIME)
    return written


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None or not 1970 < moment.year < 9000:  # noqa: PLR2004  # room for offsets and deadlines
        raise ValueError(EXPECTED_TIME)
    return moment.astimezone(UTC)


def _flat(params: Params) -> Params:
    level: list[JsonValue] = [*params.values()]
    for _ in range(MOST_LEVELS):
        level = [part for value in level for part in _parts(value)]
    if level:
        raise ValueError(f"expected at most {MOST_LEVELS} levels")
    return params


def _parts(value: JsonValue) -> Iterable[JsonValue]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


Id: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Label: TypeAlias = Annotated[str, StringConstraints(max_length=1000)]
Moment: TypeAlias = Annotated[datetime, BeforeValidator(_rfc3339), AfterValidator(_aware)]


class WatchRequest(BaseModel):
    """One `{"provider": …, "params": …}` object."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: Id | None = None
    provider: str
    params: Annotated[dict[str, JsonValue], AfterValidator(_flat)]
    webhooks: list[str] | None = None
    callback_url: str | None = None
    callback_secret: str | None = Field(default=None, repr=False)
    labels: Annotated[
        dict[str, Label], BeforeValidator(lambda given: {} if given is None else given), Field(max_length=MOST_LABELS)
    ] = {}
    deadline: Duration | None = None
    submitted_at: Moment | None = None

    @field_validator("callback_secret")
    @classmethod
    def _of_a_callback(cls, secret: str | None, info: ValidationInfo) -> str | None:
        if secret is not None:
            decode_key(secret)
            if info.data.get("callback_url") is None:
                raise ValueError("expected a callback_url beside it")
        return secret

    @property
    def watch_id(self) -> str:
        """The sender's id, or one that is a function of provider and params."""
        return self.id or derived_id(self.provider, self.params)


class CancelRequest(BaseModel):
    """`{"cancel": ID}`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    cancel: Id


def canonical(value: object) -> bytes:
    """Encode JSON so that equal values have equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def derived_id(provider: str, params: Params) -> str:
    """Make the id of a request that has none of its own: the same request always has the same."""
    return f"{provider}-{hashlib.sha256(canonical([provider, dict(params)])).hexdigest()[:32]}"


def read_request(raw: bytes) -> WatchRequest | CancelRequest:
    """Read one JSON object.

    Raises:
        RequestError: it is not one, or not of this shape; the text says where and what was expected.

    """
    if len(raw) > MOST_BYTES:
        msg = f"expected at most {MOST_BYTES // 1024} KiB, got more"
        raise RequestError(msg)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        why = f"no JSON from character {error.pos + 1} on ({error.msg})" if raw.strip() else "there is nothing"
        raise RequestError(f"expected one JSON object: {why}") from None
    if not isinstance(value, dict):
        raise RequestError(f"expected one JSON object, got {came(value, is_shown=False)}")
    model = CancelRequest if "cancel" in value else WatchRequest
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise RequestError(explain(error, shown=SHOWN, keys=model.model_fields)) from None


def masked(raw: bytes) -> bytes:
    """Return what came as it came, but for the value of `callback_secret`, which nobody may find in the store."""
    if b"callback_secret" not in raw and b"\\u" not in raw:
        return raw
    text = _SECRET.sub(rf'\1"{MASK}"'.encode(), raw)
    try:
        request, shown = orjson.loads(raw), orjson.loads(text)
    except orjson.JSONDecodeError:  # no request at all, or the beginning of one
        return text
    if not isinstance(request, dict) or request.get("callback_secret") is None:
        return text
    is_masked = isinstance(shown, dict) and shown.get("callback_secret") == MASK
    return text if is_masked else orjson.dumps({**request, "callback_secret": MASK})  # it was spelled oddly


_SECRET = re.compile(rb'("callback_secret"\s*:\s*)"(?:[^"\\]|\\.)*"?', re.DOTALL)
