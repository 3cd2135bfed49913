"""Everything a webhook decides: which events it wants, what a POST looks like, what its answer means. No sending."""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Annotated, Self, TypeAlias
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from watcher.core.delivery import Decision, Delivery, Verdict
from watcher.core.duration import Duration, SomeTime
from watcher.core.model import Event, EventType
from watcher.core.moment import rfc3339
from watcher.core.secret import Secret
from watcher.core.wire import NoAnswer, Request, Response

RETRY_JITTER = 0.2
SCHEDULES = {
    "long": ["5s", "30s", "2m", "10m", "30m", "1h", "2h", "5h", "10h", "14h", "20h", *["24h"] * 6],
    "standard": ["5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"],
    "fast": ["1s", "2s", "5s", "10s", "30s", "1m", "5m", "15m", "30m"],
    "none": [],
}


def decode_key(secret: str) -> bytes:
    """Return the key inside `whsec_…`.

    Raises:
        ValueError: it is not `whsec_` and the base64 of 24 to 64 bytes; the text does not hold the secret.

    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:  # binascii.Error, or not even ASCII
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:  # noqa: PLR2004  # as Standard Webhooks says
        raise ValueError("expected whsec_ and the base64 of 24 to 64 bytes; `watcher secret new` prints one")
    return key


def _checked(secret: Secret) -> Secret:
    if secret.is_resolved:
        decode_key(secret.reveal())
    return secret


def _listed(written: object) -> object:
    return written if isinstance(written, list | tuple) else [written]


def _waits(written: object) -> object:
    if isinstance(written, str):
        if written not in SCHEDULES:
            raise ValueError(f"expected one of {', '.join(SCHEDULES)}, or a list of durations")
        return SCHEDULES[written]
    return written


def _event_globs(globs: tuple[str, ...]) -> tuple[str, ...]:
    for glob in globs:
        if not any(fnmatchcase(kind, glob) for kind in EventType):
            raise ValueError(f"{glob!r} matches no event type; expected some of {', '.join(EventType)}")
    return globs


def _is_loopback(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


Key: TypeAlias = Annotated[Secret, AfterValidator(_checked)]


class Webhook(BaseModel):
    """One `[webhooks.<name>]` section (SPEC.md, section 7.1)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True)

    url: str
    secret: Annotated[tuple[Key, ...], BeforeValidator(_listed)] = ()
    unsigned: bool = False
    allow_http: bool = False
    events: Annotated[tuple[str, ...], AfterValidator(_event_globs)] = ("*",)
    providers: tuple[str, ...] | None = None
    timeout: SomeTime = timedelta(seconds=15)
    concurrency: Annotated[int, Field(ge=1)] = 16
    retry: Annotated[tuple[Duration, ...], BeforeValidator(_waits)] = Field(default="long", validate_default=True)

    @field_validator("url")
    @classmethod
    def _plain(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isascii() or not url.isprintable():
            raise ValueError("expected an address such as https://example.com/hooks")
        if parts.port == 0:  # and asking raises ValueError where it is no port at all
            raise ValueError("expected a port from 1 to 65535")
        if parts.username is not None or parts.fragment or " " in url:
            raise ValueError("expected no user info, no fragment and no space")
        return url

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not self.allow_http and not _is_loopback(parts.hostname):
            raise ValueError("url: expected https://; set allow_http = true to send events unencrypted")
        if bool(self.secret) == self.unsigned:
            raise ValueError("secret: expected one (`watcher secret new` prints one), or unsigned = true instead")
        return self

    def wants(self, kind: EventType, *, provider: str) -> bool:
        """Do the section's filters let this event through?"""
        if self.providers is not None and provider not in self.providers:
            return False
        return any(fnmatchcase(kind, glob) for glob in self.events)


def addressees(event: Event, webhooks: Mapping[str, Webhook], *, chosen: Iterable[str] | None) -> tuple[str, ...]:
    """Return the names of the webhooks that an event goes to; `chosen` are those its watch asked for, None for all."""
    names = webhooks if chosen is None else [name for name in dict.fromkeys(chosen) if name in webhooks]
    return tuple(name for name in names if webhooks[name].wants(event.type, provider=event.provider))


def sign(body: bytes, *, keys: Iterable[bytes], id: str, timestamp: int) -> str:
    """Return the `webhook-signature` of these exact bytes: one `v1,…` for each key (Standard Webhooks 1.0)."""
    signed = b"%s.%d.%s" % (id.encode(), timestamp, body)
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def post(delivery: Delivery, webhook: Webhook, *, now: datetime, agent: str) -> Request:
    """Build the next attempt of a delivery: a signed Standard Webhook that is a binary-mode CloudEvent too."""
    event = delivery.event
    timestamp = int(now.timestamp())
    headers = {
        "content-type": "application/json",
        "user-agent": agent,
        "webhook-id": event.id,
        "webhook-timestamp": str(timestamp),
        "ce-specversion": "1.0",
        "ce-id": event.id,
        "ce-type": event.type.value,
        "ce-source": f"/watcher/{event.provider}",
        "ce-time": rfc3339(event.at),
        "watcher-attempt": str(delivery.attempts + 1),
    }
    if event.watch is not None:  # not where a provider as a whole is meant
        headers |= {"ce-subject": quote(event.watch, safe="-._~"), "ce-sequence": str(event.sequence)}
    keys = [decode_key(secret.reveal()) for secret in webhook.secret]
    if keys:
        headers["webhook-signature"] = sign(event.body, keys=keys, id=event.id, timestamp=timestamp)
    return Request("POST", webhook.url, headers, event.body)


def verdict(
    answer: Response | NoAnswer, *, attempts: int, retry: tuple[timedelta, ...], now: datetime, dice: float
) -> Verdict:
    """Say what an answer means; `attempts` counts this one, `dice` is in [0, 1).

    Only a 2xx is delivered. The next attempt is never earlier than the schedule says, and up to 20 % later.
    """
    if isinstance(answer, Response) and 200 <= answer.status < 300:  # noqa: PLR2004  # the class of success
        return Verdict(Decision.DELIVERED)
    if attempts > len(retry):
        return Verdict(Decision.EXHAUSTED)
    return Verdict(Decision.RETRY, now + retry[attempts - 1] * (1 + RETRY_JITTER * dice))
