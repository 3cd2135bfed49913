"""Values that tests begin with: watches, observations, terms, events, deliveries, webhooks. All plain functions."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson

from watcher.core.delivery import Delivery
from watcher.core.duration import parse_duration
from watcher.core.lifecycle import Terms
from watcher.core.model import Event, EventType, Json, Mark, Message, Observation, Snapshot, State, Step, Watch
from watcher.core.outcome import Seen
from watcher.core.schedule import Pace
from watcher.core.secret import Secret
from watcher.core.webhook_section import Webhook

START = datetime(2026, 11, 23, 7, 30, 0, 123456, tzinfo=UTC)
STARTED = "2026-11-23T07:30:00.123456Z"
MIDDLE = 0.5  # the dice that jitters nothing
KEY = b"an example, and no secret"


def whsec(key: bytes) -> str:
    """Write a webhook's key as its secret."""
    return f"whsec_{base64.b64encode(key).decode()}"


SECRET = whsec(KEY)


def span(written: str) -> timedelta:
    """Read `"90s"`, `"2h"`."""
    return parse_duration(written)


def after(written: str) -> datetime:
    """Return the moment so long after the start."""
    return START + span(written)


def terms(*, mode: str = "backoff", grace: str = "60s", trouble_after: str = "5m") -> Terms:
    """Make a provider's terms: every 2 s at first, every 5 min at last."""
    pace = Pace.model_validate({"min": "2s", "max": "5m", "mode": mode})
    return Terms(pace=pace, grace=span(grace), trouble_after=span(trouble_after))


def watch(snapshot: Snapshot | None = None, **changes: object) -> Watch:
    """Make a watch that was accepted at the start; one with a snapshot was seen then, in one event."""
    seen: dict[str, object] = {} if snapshot is None else {"snapshot": snapshot, "sequence": 1, "changed_at": START}
    fresh = Watch(
        uid="a-random-uid",
        id="order-42",
        provider="d7",
        params={"request_id": "9d05"},
        submitted_at=START,
        accepted_at=START,
        deadline=span("3d"),
        labels={"order": "42"},
    )
    return replace(fresh, **(seen | changes))  # type: ignore[arg-type]  # the fields are the tests' to name rightly


def message(key: str, status: str, **detail: Json) -> Message:
    """Make a message of a status in D7's words."""
    return Message(key, status, STATES[status], detail)


def mark(status: str) -> Mark:
    """Make what is remembered of a message of that status."""
    return Mark(status, STATES[status])


STATES = {
    "accepted": State.PENDING,
    "scheduled": State.PENDING,
    "sent": State.IN_PROGRESS,
    "delivered": State.SUCCEEDED,
    "partly": State.PARTIALLY_SUCCEEDED,
    "undelivered": State.FAILED,
    "rejected": State.FAILED,
}


def listing(*messages: Message, total: int | None = None, not_before: datetime | None = None) -> Observation:
    """Make an observation of a provider that states no status of its own."""
    return Observation(None, None, messages=messages, total=total, not_before=not_before)


def saying(status: str, state: State, *, progress: float | None = None, **detail: Json) -> Observation:
    """Make an observation of a provider that states one."""
    return Observation(status, state, progress=progress, detail=detail)


RUNNING = saying("RUNNING", State.IN_PROGRESS)
DONE = saying("SUCCESSFUL", State.SUCCEEDED)
SEEN_RUNNING = Seen(RUNNING)
SNAPSHOT = Snapshot("RUNNING", State.IN_PROGRESS)


def told(step: Step) -> list[dict[str, Json]]:
    """Return the `data` of a step's events."""
    return [orjson.loads(event.body)["data"] for event in step.events]


def types(step: Step) -> list[str]:
    """Return the types of a step's events."""
    return [event.type.value for event in step.events]


def event(*, type: EventType = EventType.MESSAGE, provider: str = "d7", watch: str = "order-42", **data: Json) -> Event:
    """Make an event without its lifecycle."""
    body = orjson.dumps({"type": type, "timestamp": STARTED, "data": data})
    return Event("evt_0", type, START, "a-random-uid", watch, provider, 3, body)


def delivery(of: Event, *, attempts: int = 0) -> Delivery:
    """Put an event on its way."""
    return Delivery(1, "ops", of, attempts, START)


def webhook(**section: object) -> Webhook:
    """Make a webhook of its section's keys."""
    return Webhook.model_validate({"url": "https://example.com/hook", "secret": Secret.literal(SECRET)} | section)
