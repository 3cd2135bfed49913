"""The keys that every provider's section has (SPEC.md, section 2). What one vendor needs stands in its own file."""

import re
from datetime import timedelta
from typing import Annotated, ClassVar, TypeAlias
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from watcher.core.duration import Duration, SomeTime
from watcher.core.errors import RequestError
from watcher.core.model import Params
from watcher.core.schedule import Pace
from watcher.core.wrong import explain

MOST_IN_FLIGHT = 10_000  # each is a task, 5 KB, and a connection
MOST_AT_ONCE = 10**9  # and a second: beyond that no clock tells one from the next

_is_unreserved = re.compile(r"[\w-]+", re.ASCII).fullmatch


def root(url: str) -> str:
    """Check what paths are appended to; it goes on the wire as it is written."""
    expected = 'expected scheme, host and an optional prefix, such as "https://api.example.com"'
    try:
        parts = urlsplit(url)
        reachable = parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        raise ValueError(expected) from None
    extra = parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in {"http", "https"} or not reachable or extra or not re.fullmatch(r"[!-~]+", url):
        raise ValueError(expected)
    return url.rstrip("/")


Root: TypeAlias = Annotated[str, AfterValidator(root)]


class Account(BaseModel):
    """One `[providers.<name>]` section; a subclass sets the defaults that its vendor's limits ask for.

    `pace` holds the vendor's defaults of `[providers.<name>.poll]`, so that a section may name just one of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True)

    pace: ClassVar[dict[str, str]] = {"min": "5s", "max": "5m"}

    base_url: Root
    rate: Annotated[float, Field(gt=0, le=MOST_AT_ONCE, allow_inf_nan=False)] = 5.0
    burst: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 5
    concurrency: Annotated[int, Field(ge=1, le=MOST_IN_FLIGHT)] = 16
    timeout: SomeTime = timedelta(seconds=15)
    deadline: SomeTime = timedelta(days=3)
    grace: Duration = timedelta(seconds=60)
    trouble_after: Duration = timedelta(minutes=5)
    poll: Pace = Field(default={}, validate_default=True)  # the validator fills it

    @field_validator("poll", mode="before")
    @classmethod
    def _fill(cls, given: object) -> object:
        return {**cls.pace, **given} if isinstance(given, dict) else given


class Parameters(BaseModel):
    """The `params` of a provider's watch requests; a subclass lists them."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def check(cls, params: Params) -> None:
        """Accept params as a sender wrote them.

        Raises:
            RequestError: one is missing, unknown or of another form; the text says which.

        """
        try:
            cls.model_validate(params)
        except ValidationError as error:
            raise RequestError(f"params: {explain(error, keys=cls.model_fields)}") from None


def segment(value: object) -> str:
    """Percent-encode one path segment: only the unreserved characters of RFC 3986 stay, and a dot segment cannot be."""
    written = str(value)
    if _is_unreserved(written):
        return written
    encoded = quote(written, safe="-._~")
    return encoded.replace(".", "%2E") if encoded in {".", ".."} else encoded
