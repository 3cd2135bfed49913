"""Any JSON status API, declared in `watcher.toml`: where it is asked, and what in its answer means what."""

import re
from datetime import datetime
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from watcher import __version__
from watcher.core.errors import RequestError
from watcher.core.header import HeaderValue, hide_credentials, revealed
from watcher.core.model import Message, Observation, Params, State
from watcher.core.outcome import Ask, Broken, Denied, Grant, Outcome, Seen, Throttled, Unseen
from watcher.core.wire import Request, Response
from watcher.providers import http_found as find
from watcher.providers.account import Account, root, segment
from watcher.providers.answers import folded, malformed, read_json, retry_after, unseen
from watcher.providers.auth import granted, with_headers
from watcher.providers.http_auth import Credentials, HeaderName, Text
from watcher.providers.http_expression import Expression, MismatchError

HEADERS = {"accept": "application/json", "user-agent": f"watcher/{__version__}"}  # GitHub refuses whoever has no name
EXPECTED_URL = (
    'expected a path such as "/jobs/{id}", or a whole URL such as "https://api.example.com/jobs/{id}"; '
    "{params} may stand behind the host only"
)

_ROOT = re.compile(r"^https?://[^/?{}]*")
_PARAM = re.compile(r"\{([A-Za-z0-9_-]+)\}")
_BEHIND = re.compile(r"[/?](?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")  # RFC 3986, without a fragment
_TEXT = re.compile("[^\ud800-\udfff]+")  # a lone surrogate is no character, and has no UTF-8


def _url(written: str) -> str:
    """Check a template: what stands behind the host; the host itself is the `base_url`'s to check."""
    if not _BEHIND.fullmatch(_PARAM.sub("x", _ROOT.sub("", written, count=1))):
        raise ValueError(EXPECTED_URL)
    return written


class Http(Account):
    """One account at an API that is declared here; the defaults of the common keys are D7's."""

    type: Literal["http"] = "http"
    url: Annotated[str, AfterValidator(_url)]
    method: Literal["GET", "POST"] = "GET"
    headers: dict[HeaderName, HeaderValue] = Field(default={})
    auth: Credentials | None = None
    status: Expression | None = None
    progress: Expression | None = None
    messages: Expression | None = None
    message_id: Expression | None = None
    message_status: Expression | None = None
    total: Expression | None = None
    states: Annotated[dict[Text, State], Field(min_length=1)]

    _hidden = field_validator("headers", mode="before")(hide_credentials)

    @model_validator(mode="before")
    @classmethod
    def _based(cls, given: object) -> object:
        """Take scheme and host from a whole URL where there is no `base_url`."""
        if not isinstance(given, dict) or "base_url" in given:
            return given
        whole = _ROOT.match(str(given.get("url")))
        try:
            return {**given, "base_url": root(whole[0])} if whole else given
        except ValueError:
            raise ValueError(f"url: {EXPECTED_URL}") from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.url.startswith(("/", f"{self.base_url}/", f"{self.base_url}?")):
            raise ValueError('url: expected a path such as "/jobs/{id}", or a whole URL below "base_url"')
        if not (self.status or self.messages):
            raise ValueError('status: missing; expected a JMESPath expression, here or in "messages"')
        of_messages = {"message_id": self.message_id, "message_status": self.message_status}
        for key, expression in of_messages.items():
            if (expression is None) != (self.messages is None):
                raise ValueError(f'{key}: expected a JMESPath expression if there is "messages", else none')
        if self.total and not self.messages:
            raise ValueError('total: expected only beside "messages"')
        return self

    def __hash__(self) -> int:
        """Agree with equality; tables have no hash of their own."""
        return hash((type(self), self.base_url, self.url))

    def check(self, params: Params) -> None:
        """Accept exactly the params that the url names, as words or whole numbers."""
        names = dict.fromkeys(_PARAM.findall(self.url))
        expected = f"the url names {', '.join(names) or 'none'}"
        for name in names:
            if name not in params:
                raise RequestError(f"params: {name}: missing; {expected}")
        for name, value in params.items():
            if name not in names:
                raise RequestError(f"params: {name}: unknown; {expected}")
            if isinstance(value, bool) or not isinstance(value, int | str) or not _TEXT.fullmatch(str(value)):
                raise RequestError(f"params: {name}: expected a text that is not empty, or a whole number")

    def request(self, params: Params) -> Request:
        """Fill the url; whatever a param holds, it stays one segment of the path, or one value of the query."""
        url = _PARAM.sub(lambda found: segment(params[found[1]]), self.url)
        headers = {**HEADERS, **revealed(self.headers)}
        return Request(self.method, f"{self.base_url}{url}" if url.startswith("/") else url, headers)

    def parse(self, params: Params, response: Response, *, after: Ask | None = None) -> Outcome:  # noqa: ARG002
        """Read an answer as the section says."""
        body = unseen(response) or read_json(response)
        if isinstance(body, Unseen):
            return body
        try:
            return Seen(self._observation(body), retry_after(response))
        except MismatchError as mismatch:
            return malformed(response, str(mismatch))

    def login(self, grant: Grant | None) -> Request | None:  # noqa: ARG002  # there is nothing to refresh with
        """Log in where OAuth 2 is declared."""
        return self.auth.login() if self.auth else None

    def granted(self, response: Response) -> Grant | Denied | Throttled | Broken:
        """Read the answer to the login."""
        return granted(response)

    def authorize(self, request: Request, grant: Grant | None, *, now: datetime, nonce: str) -> Request:  # noqa: ARG002
        """Add the declared credentials."""
        return with_headers(request, self.auth.headers(grant)) if self.auth else request

    def _observation(self, body: object) -> Observation:
        own = find.word(self.status, body, key="status") if self.status else None
        messages = self._messages(body)
        words = dict.fromkeys([*([own] if own else []), *(message.status for message in messages)])
        return Observation(
            status=own,
            state=self._state(own) or State.IN_PROGRESS if own else None,
            progress=find.percentage(self.progress, body, key="progress"),
            messages=messages,
            total=find.count(self.total, body, key="total"),
            unknown=tuple(word for word in words if self._state(word) is None),
        )

    def _messages(self, body: object) -> tuple[Message, ...]:
        """Read the messages in their order; of a repeated id, the last."""
        if not (self.messages and self.message_id and self.message_status):
            return ()
        listed: dict[str, Message] = {}
        for part in find.items(self.messages, body, key="messages"):
            key = find.identity(self.message_id, part, key="message_id")
            word = find.word(self.message_status, part, key="message_status")
            told = find.detail(part, key="messages", without={str(self.message_id), str(self.message_status)})
            listed[key] = Message(key, word, self._state(word) or State.IN_PROGRESS, told)
        return tuple(listed.values())

    def _state(self, word: str) -> State | None:
        return self.states.get(word) or self._folded.get(folded(word))

    @cached_property
    def _folded(self) -> dict[str, State]:
        """States by folded word, without a word that would mean two things then."""
        meant: dict[str, set[State]] = {}
        for word, state in self.states.items():
            meant.setdefault(folded(word), set()).add(state)
        return {word: states.pop() for word, states in meant.items() if len(states) == 1}
