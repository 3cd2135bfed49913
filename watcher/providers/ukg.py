"""UKG Talk: a bulk chat's status and, once that is over, its result, whose HTTP status says how it ended.

https://developer.ukg.com/talk/reference/retrieve-asynchronous-bulk-chat-request-status-by-id,
https://developer.ukg.com/talk/reference/retrieve-completed-bulk-chat-response-by-id
"""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urldefrag, urljoin, urlsplit

from pydantic import ConfigDict, Field, JsonValue, RootModel, model_validator

from watcher.core.duration import SomeTime
from watcher.core.header import OneLine
from watcher.core.model import Observation, Params, State
from watcher.core.outcome import Ask, Broken, Denied, Grant, Missing, Outcome, Seen, Throttled
from watcher.core.wire import Request, Response
from watcher.providers.account import Account, Parameters, Root, segment
from watcher.providers.answers import folded, loads, malformed, read_as, retry_after, unseen
from watcher.providers.auth import granted, with_headers
from watcher.providers.auth import token as granted_token
from watcher.providers.ukg_auth import Auth0, OpenAm
from watcher.providers.ukg_body import MESSAGE_STATES, OVER, STATES, messages, progress, status_word

PATH = "/api/talk/chat/v1/messages/async/"
HEADERS = {"Accept": "application/json"}  # the only type that is not answered 406
LARGEST_RESULT = 64 * 1024

# What a result's HTTP status says; 400 is "the bulk chat operation failed completely", and no fault of the request.
OUTCOMES: dict[int, str] = {
    HTTPStatus.OK: "SUCCESSFUL",
    HTTPStatus.MULTI_STATUS: "PARTIAL_SUCCESS",
    HTTPStatus.BAD_REQUEST: "FAILED",
}

URI = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")  # RFC 3986: nothing that two parsers read differently
PORTS = {"http": 80, "https": 443}


class _Params(Parameters):
    id: Annotated[str, Field(min_length=1)]


class Ukg(Account):
    """`type = "ukg"`: a tenant's own host, with a token or a login.

    How much it bears and how long it keeps a result is published nowhere: the defaults are careful.
    """

    pace: ClassVar[dict[str, str]] = {"min": "2s", "max": "60s"}

    type: Literal["ukg"] = "ukg"
    base_url: Root
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    burst: Annotated[int, Field(ge=1)] = 1
    deadline: SomeTime = timedelta(hours=24)
    token: OneLine | None = None
    auth: Annotated[OpenAm | Auth0, Field(discriminator="type")] | None = None
    scheme: Literal["Bearer", ""] = "Bearer"

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.token is None) == (self.auth is None):
            raise ValueError('expected either "token" or a table "auth"')
        return self

    def check(self, params: Params) -> None:
        """Accept `id`, the request's, whatever it looks like."""
        _Params.check(params)

    def request(self, params: Params) -> Request:
        """Ask for the status."""
        return Request("GET", self._url(params, "status"), HEADERS)

    def parse(self, params: Params, response: Response, *, after: Ask | None = None) -> Outcome:
        """Read a status, or the result that an earlier answer pointed to."""
        if after is not None:
            return _read_result(response, after)
        if response.status == HTTPStatus.SEE_OTHER:  # its body may be anything, and says nothing
            return Ask(Request("GET", self._named_result(params, response), HEADERS))
        status = unseen(response) or read_as(_Status, response)
        if not isinstance(status, _Status):
            return status
        word = status_word(status.root)
        if word is None:
            return malformed(response, "expected a status")
        return self._read_status(params, response, word=word, percent=progress(status.root))

    def _read_status(self, params: Params, response: Response, *, word: str, percent: float | None) -> Outcome:
        result = Request("GET", self._url(params, "response"), HEADERS)
        if word.upper() == OVER:
            return Ask(result)
        state = STATES.get(word.upper())
        unknown = () if state else (word,)
        seen = Observation(word, state or State.IN_PROGRESS, progress=percent, unknown=unknown)
        return Ask(result, known=seen) if state and state.is_final else Seen(seen, retry_after(response))

    def login(self, grant: Grant | None) -> Request | None:
        """Log in, or refresh what was granted; a given token needs neither."""
        return self.auth.login(self.base_url, grant) if self.auth else None

    def granted(self, response: Response) -> Grant | Denied | Throttled | Broken:
        """Read the answer to a login or a refresh."""
        return granted(response)

    def authorize(self, request: Request, grant: Grant | None, *, now: datetime, nonce: str) -> Request:  # noqa: ARG002
        """Add the token; some tenants' OpenAM wants it bare, without `Bearer`."""
        token = self.token.reveal() if self.token else granted_token(grant)
        own = self.auth.headers if self.auth else {}
        return with_headers(request, {"Authorization": f"{self.scheme} {token}".lstrip(), **own})

    def _url(self, params: Params, what: str) -> str:
        return f"{self.base_url}{PATH}{segment(params['id'])}/{what}"

    def _named_result(self, params: Params, response: Response) -> str:
        """Return the result's address: the one in the answer, unless it would carry our token to somebody else."""
        asked = self._url(params, "status")
        for header in ("content-location", "location"):
            named = _resolved(asked, response.headers.get(header, ""))
            if named and named != asked and _is_within(self.base_url, named):
                return named
        return self._url(params, "response")


class _Status(RootModel[dict[str, JsonValue]]):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


def _read_result(response: Response, after: Ask) -> Outcome:
    """Take the outcome from the HTTP status, unless the answer before has said it; the body adds what it can."""
    word = OUTCOMES.get(response.status)
    if word is None:
        return _no_result(response, after)
    try:
        body = loads(response.body)
    except ValueError:
        body = None
    listed = messages(body)
    seen = replace(
        after.known or Observation(word, STATES[word]),
        messages=listed,
        result=after.request.url if body is None or len(response.body) > LARGEST_RESULT else body,
        unknown=tuple(dict.fromkeys(one.status for one in listed if folded(one.status) not in MESSAGE_STATES)),
    )
    return Seen(seen, retry_after(response))


def _no_result(response: Response, after: Ask) -> Outcome:
    """Say what it means that there is none: one that has expired takes nothing from an outcome that is known."""
    if response.status != HTTPStatus.NOT_FOUND:
        return unseen(response) or malformed(response, "expected the HTTP status of a result: 200, 207 or 400")
    if after.known is None:
        return Missing(reason="result_expired", existed=True)
    return Seen(replace(after.known, result=after.request.url))


def _resolved(asked: str, named: str) -> str | None:
    """Return the URL that a header names, relative to the one that was asked; None if it names none."""
    if not URI.fullmatch(named):
        return None
    try:
        return urldefrag(urljoin(asked, named)).url
    except ValueError:
        return None


def _is_within(root: str, url: str) -> bool:
    """Say whether a URL is on the same scheme, host and port, and below the same prefix."""
    ours, theirs = urlsplit(root), urlsplit(url)
    try:
        ports = [parts.port or PORTS.get(parts.scheme) for parts in (ours, theirs)]
    except ValueError:
        return False
    return (
        (theirs.scheme, theirs.hostname, ports[1]) == (ours.scheme, ours.hostname, ports[0])
        and "@" not in theirs.netloc
        and theirs.path.startswith(f"{ours.path}/")
    )
