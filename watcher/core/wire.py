"""HTTP as values: what is asked, what was answered, or why nothing was. No client, no socket."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `url` is percent-encoded already and goes on the wire byte for byte.

    Headers and body carry credentials and are in no repr.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, by phase, that an attempt took; None for a phase that was not needed, or never ended.

    A kept connection needs no `dns`, `connect` and `tls`. `first_byte` counts from when the connection was ready.
    """

    total: float
    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """One whole answer: header names in lower case, body decompressed, `received_at` in UTC.

    `address` and `timing` are known of deliveries only.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime
    address: str | None = None
    timing: Timing | None = field(default=None, compare=False)

    @property
    def served_at(self) -> datetime | None:
        """What the other side's clock said, in `Date`; None if it said nothing that is a moment."""
        try:
            moment = parsedate_to_datetime(self.headers.get("date", ""))
        except (ValueError, OverflowError):
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Fault(StrEnum):
    """Why there is no answer. `LOCAL` is our own side: no network, DNS down, no file handles; `BLOCKED` our guard."""

    TIMEOUT = "timeout"
    DNS = "dns"
    CONNECTION = "connection"
    TLS = "tls"
    TOO_LARGE = "too_large"
    GARBAGE = "garbage"
    LOCAL = "local"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request brought no usable answer; `detail` holds no secret and fits in a log line.

    `address` and `timing` say how far it got, and are known of deliveries only.
    """

    fault: Fault
    detail: str
    address: str | None = None
    timing: Timing | None = field(default=None, compare=False)
