"""Everything a webhook decides: which events it gets, what a POST looks like, what its answer means. No sending."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from urllib.parse import quote

import orjson

from watcher.core.delivery import Attempt, Decision, Delivery, Settled
from watcher.core.endpoint import Disabled
from watcher.core.model import Event, Json
from watcher.core.moment import rfc3339
from watcher.core.secret import MASK, Secret
from watcher.core.signature import sign
from watcher.core.webhook_section import Terms, Webhook
from watcher.core.wire import Fault, NoAnswer, Request, Response

RETRY_JITTER = 0.2
LONGEST_PAUSE = timedelta(hours=24)
SHORTEST_PAUSE = timedelta(seconds=1)
PAUSE = timedelta(seconds=30)  # of a 429 that does not say for how long
MOST_SPARED = 10
OVERLOADS = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
FULL_ONLY = {"detail", "params", "labels", "result"}
SHORTEST_SECRET = 6  # of less than that, masking would only garble what was said


def addressees(event: Event, webhooks: Mapping[str, Webhook], *, chosen: Iterable[str] | None) -> tuple[str, ...]:
    """Return the names of the webhooks that an event goes to; `chosen` are those its watch asked for, None for all."""
    names = webhooks if chosen is None else [name for name in dict.fromkeys(chosen) if name in webhooks]
    return tuple(name for name in names if webhooks[name].wants(event.type, provider=event.provider))


# --- what is sent ---------------------------------------------------------------------------------------------


def post(parcel: Sequence[Delivery], webhook: Webhook, *, now: datetime, agent: str) -> Request:
    """Build the next attempt of a delivery, or of several that go together.

    One event is a signed Standard Webhook that is a binary-mode CloudEvent too; several are a batch, which is not.
    """
    head = parcel[0]
    timestamp = int(now.timestamp())
    name = parcel_id(parcel)
    body = _body(head, webhook) if len(parcel) == 1 else _batch(parcel, webhook, now=now)
    headers = {
        "content-type": "application/json",
        "user-agent": agent,
        **webhook.extra,
        "webhook-id": name,
        "webhook-timestamp": str(timestamp),
        "watcher-attempt": str(head.attempts + 1),
    }
    if len(parcel) == 1:
        headers |= _cloud_event(head.event)
    if webhook.keys:
        headers["webhook-signature"] = sign(body, keys=webhook.keys, id=name, timestamp=timestamp, key=webhook.key)
    return Request("POST", webhook.url, headers, body)


def parcel_id(parcel: Sequence[Delivery]) -> str:
    """Return the `webhook-id`: the event's own, or that of a batch, which follows from who is in it."""
    if len(parcel) == 1:
        return parcel[0].event.id
    digest = hashlib.sha256("\n".join(sorted(one.event.id for one in parcel)).encode()).digest()[:20]
    return f"bat_{base64.b32encode(digest).decode().lower()}"


def _cloud_event(event: Event) -> dict[str, str]:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": event.id,
        "ce-type": event.type.value,
        "ce-source": f"/watcher/{event.provider}",
        "ce-time": rfc3339(event.at),
    }
    if event.watch is not None:  # not where a provider as a whole is meant
        headers |= {"ce-subject": quote(event.watch, safe="-._~"), "ce-sequence": str(event.sequence)}
    return headers


def _body(delivery: Delivery, webhook: Webhook) -> bytes:
    return thin(delivery.event.body) if delivery.thin or webhook.content == "thin" else delivery.event.body


def _batch(parcel: Sequence[Delivery], webhook: Webhook, *, now: datetime) -> bytes:
    events = b",".join(b'{"id":"%s",%s' % (one.event.id.encode(), _body(one, webhook)[1:]) for one in parcel)
    return b'{"type":"batch","timestamp":"%s","data":[%s]}' % (rfc3339(now).encode(), events)


def thin(body: bytes) -> bytes:
    """Return an event's body without `detail`, `params`, `labels` and `result`."""
    event: dict[str, Json] = orjson.loads(body)
    data = event["data"]
    if isinstance(data, dict):
        event["data"] = {key: value for key, value in data.items() if key not in FULL_ONLY}
    return orjson.dumps(event)


# --- what an answer means -------------------------------------------------------------------------------------


class Kind(StrEnum):
    """What came of one POST."""

    DELIVERED = "delivered"
    ABORTED = "aborted"  # this delivery is given up
    DISABLED = "disabled"  # the webhook wants no more
    TOO_LARGE = "too_large"
    PAUSED = "paused"  # the webhook wants a rest
    REFUSED = "refused"  # it is alive, and does not want this
    OVERLOADED = "overloaded"  # it did not get to it
    UNREACHABLE = "unreachable"
    FAILED = "failed"
    NOT_SENT = "not_sent"  # our own side


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an answer means: `until` when the webhook rests, or why it is disabled."""

    kind: Kind
    until: datetime | None = None
    disabled: Disabled | None = None


def meaning(answer: Response | NoAnswer, *, webhook: Terms, now: datetime) -> Meaning:
    """Say what an answer means (SPEC.md, section 7.2); the first line that fits counts.

    The section's own `final_statuses` come before what a status means by itself.
    """
    if isinstance(answer, NoAnswer):
        return Meaning(_silence(answer.fault))
    status, kind = answer.status, plain(answer.status)
    wish = answer.headers.get("webhook-delivery", "").strip().lower()
    if wish == "disable":
        return Meaning(Kind.DISABLED, disabled=Disabled.ASKED)
    if wish == "abort-message" or status in webhook.final_statuses:  # which are never of success
        return Meaning(Kind.ABORTED)
    if kind is Kind.DELIVERED:
        return Meaning(kind)
    if status == HTTPStatus.GONE:
        return Meaning(Kind.DISABLED, disabled=Disabled.GONE)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Meaning(Kind.TOO_LARGE)
    pause = retry_after(answer.headers.get("retry-after", ""), now=answer.served_at or now)
    if pause is not None or status == HTTPStatus.TOO_MANY_REQUESTS:
        return Meaning(Kind.PAUSED, until=now + max(PAUSE if pause is None else pause, SHORTEST_PAUSE))
    return Meaning(kind)


def plain(status: int) -> Kind:
    """Say what a status means by itself, whatever else the answer says."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Kind.DELIVERED
    if status in OVERLOADS:
        return Kind.OVERLOADED
    is_refused = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return Kind.REFUSED if is_refused else Kind.FAILED


def _silence(fault: Fault) -> Kind:
    match fault:
        case Fault.TIMEOUT:
            return Kind.OVERLOADED
        case Fault.DNS | Fault.CONNECTION | Fault.TLS:
            return Kind.UNREACHABLE
        case Fault.LOCAL:
            return Kind.NOT_SENT
        case _:
            return Kind.FAILED


def retry_after(written: str, *, now: datetime) -> timedelta | None:
    """Read `Retry-After`: seconds or an HTTP date, at most 24 hours; None if there is none that lies ahead."""
    text = written.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:18]), LONGEST_PAUSE.total_seconds()))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    return min(wait, LONGEST_PAUSE) if wait > timedelta(0) else None


def unechoed(answer: Response | NoAnswer, request: Request, *, webhook: Webhook) -> Response | NoAnswer:
    """Return an answer without the secrets that were sent: there are receivers that give back all that they get."""
    if isinstance(answer, NoAnswer) or plain(answer.status) is Kind.DELIVERED:  # of which nothing is kept
        return answer
    secrets = [value.reveal() for value in webhook.headers.values() if isinstance(value, Secret)]
    words = {word for secret in secrets for word in (secret, *secret.split()) if len(word) >= SHORTEST_SECRET}
    words.add(request.headers.get("webhook-signature", MASK))
    headers, body = dict(answer.headers), answer.body
    for word in sorted(words, key=len, reverse=True):
        headers = {name: value.replace(word, MASK) for name, value in headers.items()}
        body = body.replace(word.encode(), MASK.encode())
    return replace(answer, headers=headers, body=body)


# --- what becomes of a delivery -------------------------------------------------------------------------------


def settle(
    parcel: Sequence[Delivery],
    means: Meaning,
    *,
    webhook: Terms,
    attempt: Attempt,
    now: datetime,
    dice: float,
    is_spared: bool = False,
) -> list[Settled]:
    """Say what becomes of each delivery of a POST; `dice` is in [0, 1). `is_spared`: no attempt is burnt by failing.

    The next attempt is never earlier than the schedule says, and up to 20 % later. What our own side did not send was
    no attempt. Where there are batches, what went alone goes alone again, under its own id.
    """
    if means.kind is Kind.NOT_SENT:
        return [Settled(replace(one, due_at=now), Decision.RETRY, attempt, is_kept=False) for one in parcel]
    batch = parcel_id(parcel) if webhook.batch > 1 else None
    tried = [replace(one, attempts=one.attempts + 1, batch=batch) for one in parcel]
    if means.kind is Kind.TOO_LARGE and len(tried) > 1:
        halved = _halved(tried, now=now)
        return [Settled(one, Decision.RETRY, attempt, is_kept=place == 0) for place, one in enumerate(halved)]
    found = [
        _settle(
            one,
            means,
            webhook=webhook,
            attempt=attempt,
            now=now,
            dice=dice,
            is_spared=is_spared,
        )
        for one in tried
    ]
    return [found[0], *(replace(one, is_kept=False) for one in found[1:])]


def _settle(
    delivery: Delivery,
    means: Meaning,
    *,
    webhook: Terms,
    attempt: Attempt,
    now: datetime,
    dice: float,
    is_spared: bool,
) -> Settled:
    match means.kind:
        case Kind.DELIVERED:
            return Settled(delivery, Decision.DELIVERED, attempt)
        case Kind.ABORTED:
            return Settled(delivery, Decision.EXHAUSTED, attempt)
        case Kind.DISABLED if delivery.callback is not None:
            return Settled(delivery, Decision.ENDED, attempt)
        case Kind.TOO_LARGE if not delivery.thin and webhook.content != "thin":
            return Settled(replace(delivery, thin=True, due_at=now), Decision.RETRY, attempt)
        case Kind.PAUSED if delivery.spared < MOST_SPARED:
            waiting = replace(delivery, spared=delivery.spared + 1, due_at=means.until or now)
            return Settled(waiting, Decision.RETRY, attempt)
    waiting = _refused(delivery, means.kind, at=attempt.at, webhook=webhook)
    if is_spared or means.kind is Kind.DISABLED:
        return Settled(replace(waiting, due_at=now), Decision.RETRY, attempt)
    burnt = delivery.burnt + 1
    if burnt > len(webhook.retry):
        return Settled(replace(waiting, burnt=burnt), Decision.EXHAUSTED, attempt)
    due_at = max(now + webhook.retry[burnt - 1] * (1 + RETRY_JITTER * dice), means.until or now)
    return Settled(replace(waiting, burnt=burnt, due_at=due_at), Decision.RETRY, attempt)


def longest_waits(webhook: Terms) -> list[timedelta]:
    """Return how long a delivery may wait to go again, by how many attempts were burnt."""
    return [timedelta(0), *(wait * (1 + RETRY_JITTER) for wait in webhook.retry)]


def _refused(delivery: Delivery, kind: Kind, *, at: datetime, webhook: Terms) -> Delivery:
    """Count how long a delivery is answered 4xx: then it holds back those behind it no longer."""
    if kind is Kind.PAUSED:  # that is not about this one
        return delivery
    if kind not in {Kind.REFUSED, Kind.TOO_LARGE}:
        return replace(delivery, refused_since=None, loosens_at=None)
    since = delivery.refused_since or at
    return replace(delivery, refused_since=since, loosens_at=since + webhook.order_wait)


def _halved(parcel: list[Delivery], *, now: datetime) -> list[Delivery]:
    """Let the first half of a batch go again, at once; the rest waits behind it as if it had never gone."""
    half = (len(parcel) + 1) // 2
    batch = parcel_id(parcel[:half])
    return [replace(one, due_at=now, batch=batch if place < half else None) for place, one in enumerate(parcel)]
