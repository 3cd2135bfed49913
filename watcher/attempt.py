"""One POST: how it is made, the record that explains it later, and its line in the log. Nothing is decided."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from watcher.core.delivery import Attempt, Decision, Delivery, Phases, Settled
from watcher.core.endpoint import Endpoint
from watcher.core.moment import rfc3339
from watcher.core.webhook import post, unechoed
from watcher.core.webhook_section import Terms
from watcher.core.wire import NoAnswer, Response
from watcher.ports import Transport

MOST_BODY = 2048
MOST_HEADERS = 8192
SECRETIVE = {"authorization", "cookie", "proxy-authorization", "set-cookie", "webhook-signature"}

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


async def make(
    parcel: Sequence[Delivery], terms: Terms, *, transport: Transport, agent: str, now: datetime
) -> Response | NoAnswer:
    """Make one POST, unless what it is for leads nowhere."""
    webhook = terms.towards(parcel[0].callback)
    if isinstance(webhook, NoAnswer):
        return webhook
    request = post(parcel, webhook, now=now, agent=agent)
    return unechoed(await transport.send(request, within=webhook.timeout), request, webhook=webhook)


def record(answer: Response | NoAnswer, *, number: int, began_at: datetime, duration: float) -> Attempt:
    """Keep of an answer what explains it later; no header that is secret, and of the body only the beginning."""
    took = answer.timing
    phases = Phases(took.dns, took.connect, took.tls, took.first_byte) if took else Phases()
    if isinstance(answer, NoAnswer):
        error = f"{answer.fault}: {answer.detail}"
        return Attempt(number, began_at, duration, address=answer.address, error=error, timing=phases)
    return Attempt(
        number,
        began_at,
        duration,
        answer.status,
        answer.address,
        _harmless(answer.headers),
        answer.body[:MOST_BODY],
        timing=phases,
    )


def _harmless(headers: Mapping[str, str]) -> dict[str, str]:
    size, kept = 0, {}
    for name, value in headers.items():
        size += len(name) + len(value)
        if size <= MOST_HEADERS and name not in SECRETIVE:
            kept[name] = value
    return kept


def tell(settled: Sequence[Settled], *, name: str, to: structlog.typing.FilteringBoundLogger) -> None:
    """Log one POST in one line, and the end of each delivery that is given up; `name` is its `webhook-id`."""
    head = settled[0]
    delivery, attempt = head.delivery, head.attempt
    values: dict[str, object] = {
        "webhook": delivery.webhook,
        "watch": delivery.event.watch,
        "event_id": name,
        "attempt": attempt.number,
        "outcome": head.decision,
        "status": attempt.status,
        "duration_ms": round(attempt.duration * 1000, 1),
    }
    if len(settled) == 1:
        values |= {"type": delivery.event.type, "sequence": delivery.event.sequence}
    else:
        values["events"] = len(settled)
    if head.decision is Decision.DELIVERED:
        to.info("delivery.attempted", **values)
        return
    is_retried = head.decision is Decision.RETRY
    location = attempt.headers.get("location", "").partition("?")[0] or None
    next_at = rfc3339(delivery.due_at) if is_retried else None
    to.warning("delivery.attempted", **values, error=attempt.error, location=location, next_at=next_at)
    for one in settled:
        if one.decision in {Decision.EXHAUSTED, Decision.ENDED}:
            to.error("delivery.exhausted", **{**values, "event_id": one.delivery.event.id})


def tell_endpoint(before: Endpoint, after: Endpoint) -> None:
    """Log that a webhook is paused, disabled or enabled, on the edge."""
    bound = log.bind(webhook=after.name)
    if after.disabled and not before.disabled:
        bound.error("endpoint.disabled", reason=after.disabled)
    if before.disabled and not after.disabled:
        bound.info("endpoint.enabled")
    if after.is_open and not before.is_open:
        bound.error("endpoint.paused", reason="breaker", until=after.probe_at and rfc3339(after.probe_at))
    if before.is_open and not after.is_open and not before.disabled:
        bound.info("endpoint.enabled", reason="breaker")
    if after.paused_at is not None and after.paused_until is not None and after.paused_at != before.paused_at:
        bound.warning("endpoint.paused", reason="retry-after", until=rfc3339(after.paused_until))
