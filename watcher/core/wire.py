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
class Response:
    """One whole answer: header names in lower case, body decompressed, `received_at` in UTC."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime
    address: str | None = None

    @property
    def served_at(self) -> datetime | None:
        """What the other side's clock said, in `Date`; None if it said nothing that is a moment."""
        try:
            moment = parsedate_to_datetime(self.headers.get("date", ""))
        except (ValueError, OverflowError):
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Fault(StrEnum):
    """Why there is no answer. `LOCAL` is our own side: no network, DNS down, no file handles."""

    TIMEOUT = "timeout"
    DNS = "dns"
    CONNECTION = "connection"
    TLS = "tls"
    TOO_LARGE = "too_large"
    GARBAGE = "garbage"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request brought no usable answer; `detail` holds no secret and fits in a log line."""

    fault: Fault
    detail: str
