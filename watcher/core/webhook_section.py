"""What a user writes of a webhook: `[webhooks.<name>]` (SPEC.md, section 7.1). What follows from it is elsewhere."""

import hashlib
from abc import ABC, abstractmethod
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from watcher.core.duration import Duration, SomeTime
from watcher.core.header import HeaderValue, hide_credentials, named, revealed
from watcher.core.model import Callback, EventType
from watcher.core.secret import Secret
from watcher.core.signature import SigningKey, decode_key
from watcher.core.wire import NoAnswer

SCHEDULES = {
    "long": ["5s", "30s", "2m", "10m", "30m", "1h", "2h", "5h", "10h", "14h", "20h", *["24h"] * 6],
    "standard": ["5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"],
    "fast": ["1s", "2s", "5s", "10s", "30s", "1m", "5m", "15m", "30m"],
    "none": [],
}
MOST_IN_FLIGHT = 10_000  # each is a task and a connection
MOST_RATE = 10**9  # beyond that no clock tells one from the next
MOST_EVENTS = 1000  # of one POST, whose body is made and signed whole
OURS = ("host", "content-*", "webhook-*", "ce-*", "watcher-*", "transfer-encoding", "connection")


def _checked(secret: Secret) -> Secret:
    if secret.is_resolved:
        decode_key(secret.reveal())
    return secret


def _checked_key(secret: Secret) -> Secret:
    if secret.is_resolved:
        SigningKey.read(secret.reveal())
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


def _header_name(written: str) -> str:
    name = named(written)
    if any(fnmatchcase(name, glob) for glob in OURS):
        raise ValueError(f"expected another header than {', '.join(OURS)}, which are not for a section to set")
    return name


def _located(written: Path, info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("folder", ""), written)


def _is_loopback(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def _network(written: object) -> object:
    if not isinstance(written, str | IPv4Network | IPv6Network):
        raise ValueError('expected a network such as "10.0.0.0/8"')
    return ip_network(written)


def _kind(written: object) -> str:
    return "networks" if isinstance(written, list | tuple) else "answer"


Key: TypeAlias = Annotated[Secret, AfterValidator(_checked)]
File: TypeAlias = Annotated[Path, AfterValidator(_located)]
Network: TypeAlias = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Private: TypeAlias = Annotated[
    Annotated[bool, Tag("answer")] | Annotated[tuple[Network, ...], Tag("networks")],
    Discriminator(_kind),
]


class Terms(BaseModel, ABC):
    """What a webhook and the callbacks have in common: all but where to."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True)

    secret: Annotated[tuple[Key, ...], BeforeValidator(_listed)] = ()
    signing_key: Annotated[Secret, AfterValidator(_checked_key)] | None = None
    unsigned: bool = False
    allow_http: bool = False
    events: Annotated[tuple[str, ...], AfterValidator(_event_globs)] = ("*",)
    providers: tuple[str, ...] | None = None
    timeout: SomeTime = timedelta(seconds=15)
    concurrency: Annotated[int, Field(ge=1, le=MOST_IN_FLIGHT)] = 16
    rate: Annotated[float, Field(gt=0, le=MOST_RATE, allow_inf_nan=False)] | None = None
    retry: Annotated[tuple[Duration, ...], BeforeValidator(_waits)] = Field(default="long", validate_default=True)
    order: Literal["watch", "none"] = "watch"
    order_wait: Duration = timedelta(hours=1)
    batch: Annotated[int, Field(ge=0, le=MOST_EVENTS)] = 0
    headers: dict[Annotated[str, AfterValidator(_header_name)], HeaderValue] = {}
    content: Literal["full", "thin"] = "full"
    private: Private = True
    ca_file: File | None = None
    client_cert: File | None = None
    client_key: File | None = None
    final_statuses: tuple[Annotated[int, Field(ge=300, le=599)], ...] = ()

    _hidden = field_validator("headers", mode="before")(hide_credentials)

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if bool(self.secret) == self.unsigned:
            raise ValueError("secret: expected one (`watcher secret new` prints one), or unsigned = true instead")
        if self.unsigned and self.signing_key is not None:
            raise ValueError("signing_key: expected a secret beside it: few receivers can verify v1a alone")
        if self.client_key is not None and self.client_cert is None:
            raise ValueError("client_key: expected client_cert beside it")
        return self

    def wants(self, kind: EventType, *, provider: str) -> bool:
        """Do the section's filters let this event through?"""
        return kind in self.types and (self.providers is None or provider in self.providers)

    @cached_property
    def types(self) -> frozenset[EventType]:
        """The event types that the section's globs match."""
        return frozenset(kind for kind in EventType if any(fnmatchcase(kind, glob) for glob in self.events))

    @cached_property
    def keys(self) -> tuple[bytes, ...]:
        """The keys to sign with, newest first."""
        return tuple(decode_key(secret.reveal()) for secret in self.secret)

    @cached_property
    def key(self) -> SigningKey | None:
        """The ed25519 key to sign with too."""
        return None if self.signing_key is None else SigningKey.read(self.signing_key.reveal())

    @cached_property
    def extra(self) -> dict[str, str]:
        """The section's own headers, as they are sent."""
        return revealed(self.headers)

    @cached_property
    def fingerprint(self) -> str:
        """What changes with the section: a webhook that was disabled is enabled by a change.

        Raises:
            ValueError: a secret was not resolved, and nobody knows whether it changed.

        """
        secrets = [secret.reveal() for secret in self.secret]
        key = self.signing_key and self.signing_key.reveal()
        written = [self.model_dump_json(exclude_defaults=True).encode(), orjson.dumps([secrets, key, self.extra])]
        return hashlib.sha256(b"\0".join(written)).hexdigest()[:32]

    @abstractmethod
    def towards(self, callback: Callback | None) -> "Webhook | NoAnswer":
        """Return where a delivery goes, or why it cannot be sent there."""


class Webhook(Terms):
    """One `[webhooks.<name>]` section."""

    url: str

    @field_validator("url")
    @classmethod
    def _plain(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isascii() or not url.isprintable():
            raise ValueError("expected an address such as https://example.com/hooks")
        if parts.port == 0:  # and asking raises ValueError where it is no port at all
            raise ValueError("expected a port from 1 to 65535")
        if parts.username is not None or "#" in url or " " in url:
            raise ValueError("expected no user info, no fragment and no space")
        return url

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not self.allow_http and not _is_loopback(parts.hostname):
            raise ValueError("url: expected https://; set allow_http = true to send events unencrypted")
        return self

    def towards(self, callback: Callback | None) -> "Webhook":  # noqa: ARG002  # a section leads to one place
        """Return itself."""
        return self
