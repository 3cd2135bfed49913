"""What is asked of the API: parameters and bodies, as models. Their keys are a contract."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    RootModel,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    field_validator,
)

from watcher.core.duration import parse_duration
from watcher.core.request import CancelRequest, Id, Moment, WatchRequest

MOST_ROWS = 1000
LONGEST_WAIT = 60
LAST_CURSOR = 2**63 - 1

_MOMENT = TypeAdapter[datetime](Moment)


def _number(written: object) -> object:
    if isinstance(written, str) and not re.fullmatch(r"\d{1,19}", written, re.ASCII):
        raise ValueError("expected a whole number")
    return written


def _seconds(written: object) -> object:
    if isinstance(written, str) and not re.fullmatch(r"\d{1,9}(\.\d+)?([eE][+-]?\d{1,3})?", written, re.ASCII):
        raise ValueError("expected a number of seconds")
    return written


def _since(written: object) -> timedelta | datetime:
    try:
        return parse_duration(written)
    except ValueError:
        pass
    try:
        return _MOMENT.validate_python(written)
    except ValidationError:
        raise ValueError("expected an RFC 3339 time in UTC, or how long ago: 2026-11-23T07:30:00Z, 1h") from None


Cursor: TypeAlias = Annotated[
    int, Field(ge=0, le=LAST_CURSOR, description="Show what is behind it."), BeforeValidator(_number)
]
Limit: TypeAlias = Annotated[int, Field(ge=1, le=MOST_ROWS, description="How many at most."), BeforeValidator(_number)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=LONGEST_WAIT), BeforeValidator(_seconds)]
Pair: TypeAlias = Annotated[str, Field(json_schema_extra={"pattern": "^[^=]+=", "examples": ["order=42"]})]
Since: TypeAlias = Annotated[
    timedelta | datetime,
    PlainValidator(_since),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)?$"},
                {"type": "number", "minimum": 0},
            ]
        }
    ),
]
Request: TypeAlias = WatchRequest | CancelRequest


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class WatchId(RootModel[Id]):
    """The sender's own key of a watch."""


class WebhookName(RootModel[Annotated[str, Field(min_length=1)]]):
    """The name of a section, or of an origin that callbacks go to."""


class WatchesAsked(_Asked):
    """Which watches; each narrows the list."""

    state: (
        Literal[
            "open",
            "trouble",
            "pending",
            "in_progress",
            "succeeded",
            "partially_succeeded",
            "failed",
            "expired",
            "gone",
            "cancelled",
        ]
        | None
    ) = None
    provider: str | None = None
    label: Annotated[list[Pair], Field(description="May be repeated; all must hold.")] = []
    after: Cursor = 0
    limit: Limit = 100

    @field_validator("label")
    @classmethod
    def _pairs(cls, written: list[str]) -> list[str]:
        keys = {pair.partition("=")[0] for pair in written if "=" in pair}
        if len(keys) != len(written):
            raise ValueError("expected key=value, and each key once")
        return written

    @property
    def labels(self) -> dict[str, str]:
        """The labels as they are stored."""
        return {pair.partition("=")[0]: pair.partition("=")[2] for pair in self.label}


class Requests(RootModel[Request | Annotated[list[Request], Field(max_length=MOST_ROWS)]]):
    """One request, or a list of them."""


class StreamAsked(_Asked):
    """Which events."""

    after: Cursor = 0
    watch: Annotated[str | None, Field(description="The id of one watch.")] = None


class StreamHeaders(BaseModel):
    """What a reader that comes back sends."""

    last_event_id: Annotated[Cursor | None, Field(alias="Last-Event-ID")] = None


class EventsAsked(StreamAsked):
    """Which events, and how long to wait for the first."""

    limit: Limit = 100
    wait: Annotated[Seconds, Field(description="How long to wait for events if there are none.")] = 0


class DeliveriesAsked(_Asked):
    """Which deliveries; each narrows the list. With `event` each comes with its failed attempts."""

    status: Literal["waiting", "delivered", "exhausted"] | None = None
    webhook: str | None = None
    watch: str | None = None
    event: str | None = None
    since: Annotated[Since | None, Field(description="Of events not older than this.")] = None
    after: Cursor = 0
    limit: Limit = 100


class ReplayOfEvents(_Asked):
    """Send these events again, to each webhook that they were for, with the same ids."""

    event: Annotated[list[str], Field(min_length=1, max_length=MOST_ROWS)]
    rate: Annotated[float, Field(ge=0.1, le=1e6, description="Events a second.")] = 100


class ReplayToWebhook(_Asked):
    """Send a webhook all that is for it since then, also what it was never sent; or only what was given up."""

    webhook: str
    since: Since
    status: Literal["exhausted"] | None = None
    rate: Annotated[float, Field(ge=0.1, le=1e6, description="Events a second.")] = 100


class ReplayAsked(RootModel[ReplayOfEvents | ReplayToWebhook]):
    """What to send again."""


class SwitchAsked(_Asked):
    """Nothing is said beside the path; but a form in somebody else's page cannot send this."""
