"""What the API answers, as models; the same keys as `--json` prints, and a contract like them."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, PlainSerializer, RootModel

from watcher.core.model import Ending, EventType, Reason, State
from watcher.core.moment import rfc3339
from watcher.core.rows import Admission, Held

Stamp: TypeAlias = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class Watch(_Shown):
    """One watch."""

    id: str
    provider: str
    params: dict[str, JsonValue]
    labels: dict[str, str]
    webhooks: list[str] | None
    callback_url: str | None
    state: State | None
    status: str | None
    progress: float | None
    messages: dict[str, str]
    trouble: Reason | None
    outcome: Ending | None
    sequence: int
    submitted_at: Stamp
    accepted_at: Stamp
    changed_at: Stamp | None
    deadline_at: Stamp
    finished_at: Stamp | None


class Watches(_Shown):
    """Watches in the order in which they were accepted; `next` is the `after` of more, null where there are none."""

    watches: list[Watch]
    next: int | None


class Taken(_Shown):
    """What became of one request; `status` is that of HTTP, `detail` says what was expected or did not change."""

    status: int
    result: Admission
    id: str | None
    detail: str | None


class OneOrAllTaken(RootModel[Taken | list[Taken]]):
    """What became of one request, or of each of a list, in its order."""


class Event(_Shown):
    """One event: the body of its webhooks, with its id and its cursor."""

    id: str
    cursor: int
    type: EventType
    timestamp: str
    data: dict[str, JsonValue]


class Events(_Shown):
    """Events in the order in which they were committed; `next` is the `after` of those behind them."""

    events: list[Event]
    next: int


class Timing(_Shown):
    """Where the seconds went; null for what did not happen."""

    dns: float | None
    connect: float | None
    tls: float | None
    first_byte: float | None


def _text(body: object) -> object:
    return body.decode("utf-8", "backslashreplace") if isinstance(body, bytes) else body


class Attempt(_Shown):
    """One POST that failed: when, how long (seconds), what came back, or why nothing did."""

    number: int
    at: Stamp
    duration: float
    status: int | None
    address: str | None
    headers: dict[str, str]
    body: Annotated[str, BeforeValidator(_text)]
    error: str | None
    timing: Timing


class Delivery(_Shown):
    """One event on its way to one webhook; what is `last` is of the last attempt, `due_at` of the next.

    `held` says what keeps it back however due it is, at least until `held_until`; null if nothing does.
    """

    id: int
    webhook: str
    event_id: str
    type: EventType
    watch: str | None
    sequence: int | None
    status: Literal["waiting", "delivered", "exhausted"]
    attempts: int
    due_at: Stamp | None
    last_at: Stamp | None
    last_status: int | None
    last_error: str | None
    duration: float | None
    held: Held | None
    held_until: Stamp | None
    failed: list[Attempt] | None = None


class Deliveries(_Shown):
    """Deliveries by id; `next` is the `after` of more, null where there are none."""

    deliveries: list[Delivery]
    next: int | None


class LastAnswer(_Shown):
    """How the last poll ended, and the first 2 KiB of the body as it came; `detail` says why it was not seen."""

    at: Stamp
    outcome: Literal["unchanged", "seen", "missing", "throttled", "denied", "refused", "broken"]
    http_status: int | None
    detail: str | None
    body: Annotated[str, BeforeValidator(_text)]
    is_whole: bool


class Next(_Shown):
    """When a watch is asked next, as only the daemon knows it; all of it null where nobody asks for it.

    It is due at `due_at`, null while it is `in_flight`; `ahead` are due before it. Its provider may be asked again at
    `provider_free_at` (by a pause, a probe while it is down, and the rate), null if it may now. `failures` are the
    polls since the last that was seen. `last_answer` is null if there was none, or it is no longer known: the 1,000
    latest of each provider are kept, in memory.
    """

    id: str
    provider: str
    due_at: Stamp | None
    in_flight: bool
    ahead: int | None
    provider_free_at: Stamp | None
    paused_until: Stamp | None
    down: Reason | None
    failures: int
    last_answer: LastAnswer | None


class WatchInFull(Watch):
    """One watch with its timeline: its first 1000 events and deliveries; `/v1/events?watch=` has all."""

    events: list[Event]
    deliveries: list[Delivery]


class Wanted(_Shown):
    """What will be done within a second, as it was understood."""

    event: list[str] | None = None
    webhook: str | None = None
    since: Stamp | None = None
    status: Literal["exhausted"] | None = None
    rate: float


class Standing(_Shown):
    """That all is as it should be."""

    status: Literal["ok"] = "ok"


class WebhookKeys(_Shown):
    """The public key, `whpk_…`, of each webhook that has a `signing_key`."""

    keys: dict[str, str]
