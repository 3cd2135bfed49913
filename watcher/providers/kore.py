"""Kore.ai: the job of one proactive notification, with a log line for each identity and channel.

https://docs.kore.ai/xo/apis/automation/proactive-notification-status/, …/proactive-notification-status-v2/
"""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from watcher.core.duration import SomeTime
from watcher.core.errors import RequestError
from watcher.core.header import OneLine
from watcher.core.model import Message, Observation, Params, State
from watcher.core.outcome import Ask, Denied, Grant, Outcome, Seen, Throttled
from watcher.core.secret import Secret
from watcher.core.wire import Request, Response
from watcher.providers import auth
from watcher.providers.account import Account, Parameters, Root, segment
from watcher.providers.answers import Part, folded, read_as, retry_after, unseen

PATHS = {1: "notify", 2: "notifyV2"}

# By folded word. Documented are SUCCESS, FAILURE, PARTIAL_SUCCESS and IN_PROGRESS; jobs of the same back end that
# export or publish a bot say `successful`, `failed` and `inprogress`.
STATES = {
    "queued": State.PENDING,
    "pending": State.PENDING,
    "initiated": State.PENDING,
    "inprogress": State.IN_PROGRESS,
    "success": State.SUCCEEDED,
    "successful": State.SUCCEEDED,
    "partialsuccess": State.PARTIALLY_SUCCEEDED,
    "failure": State.FAILED,
    "failed": State.FAILED,
}

# The words are documented, the HTTP status is not. A job has `statusLogs`, whose comments may say anything.
OVER_LIMIT = b"rate limit for this api has been reached"

JOB_DETAIL = ("jobType", "action", "count", "createdOn", "requestedTime", "lMod")
LOG_DETAIL = ("comments", "createdOn", "koreId", "channelId", "messagestoreId")

TOKEN_LIFE = timedelta(minutes=5)
HEAD_START = timedelta(minutes=1)  # our clock may be ahead so far; a token from the future is refused
SHORTEST_KEY = 32


class KoreParams(Parameters):
    """Which job; `bot_id` where the section has no default."""

    request_id: Annotated[str, Field(min_length=1)]
    bot_id: Annotated[str, Field(min_length=1)] | None = None


class _Log(Part):
    """What became of one identity; the same one may have several, and version 2 repeats an id across channels."""

    id: Annotated[str, Field(alias="_id", min_length=1)]
    channel: str | None = None
    original_id: Annotated[str | None, Field(alias="originalId")] = None
    status: Annotated[str, Field(min_length=1)]

    def message(self) -> Message:
        key = f"{self.id}|{self.channel or ''}|{self.original_id or ''}"
        named = {"originalId": self.original_id, "channel": self.channel}
        detail = {name: value for name, value in named.items() if value} | self.detail(*LOG_DETAIL)
        return Message(key, self.status, _state(self.status) or State.IN_PROGRESS, detail)


class _Job(Part):
    """The status decides, the percentage is only progress; version 2 has neither a percentage nor the job's id."""

    status: Annotated[str, Field(min_length=1)]
    percentage: Annotated[float | None, Field(alias="percentageComplete", ge=0, le=100)] = None
    logs: Annotated[list[_Log] | None, Field(alias="statusLogs")] = None

    def observation(self) -> Observation:
        messages = {
            message.key: message for message in map(_Log.message, self.logs or ())
        }  # of a repeated key, the last
        words = dict.fromkeys([self.status, *(message.status for message in messages.values())])
        return Observation(
            self.status,
            _state(self.status) or State.IN_PROGRESS,
            progress=self.percentage,
            messages=tuple(messages.values()),
            detail=self.detail(*JOB_DETAIL),
            unknown=tuple(word for word in words if _state(word) is None),
        )


def _state(word: str) -> State | None:
    return STATES.get(folded(word))


class Kore(Account):
    """One JWT app, for which we mint tokens, or a token that somebody else has minted."""

    pace: ClassVar[dict[str, str]] = {"min": "2s", "max": "60s"}

    type: Literal["kore"] = "kore"
    base_url: Root = "https://platform.kore.ai"
    # Rolling limits of 600 in a minute and 18,000 in an hour, for each bot; these two stay below both.
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 4.9
    burst: Annotated[int, Field(ge=1)] = 10
    deadline: SomeTime = timedelta(hours=24)
    token: OneLine | None = None
    client_id: Annotated[str, Field(min_length=1)] | None = None
    client_secret: Secret | None = None
    jti: bool = False
    bot_id: Annotated[str, Field(min_length=1)] | None = None
    version: Annotated[int, Field(ge=1, le=2)] = 1
    method: Literal["GET", "POST"] = "GET"  # their pages say both, the newer ones GET

    @model_validator(mode="after")
    def _enterable(self) -> Self:
        auth.one_way_in(self.token, client_id=self.client_id, client_secret=self.client_secret)
        if self.jti and self.token:
            raise ValueError('expected "jti" only with "client_id" and "client_secret": a token is sent as it is')
        return self

    def check(self, params: Params) -> None:
        """Accept `request_id`, and `bot_id` from here or the section."""
        KoreParams.check(params)
        if not (params.get("bot_id") or self.bot_id):
            raise RequestError("params: bot_id: expected one, here or in the provider's section")

    def request(self, params: Params) -> Request:
        """Ask for the job, as the section's version and method do."""
        bot, job = segment(params.get("bot_id") or self.bot_id), segment(params["request_id"])
        url = f"{self.base_url}/api/public/bot/{bot}/{PATHS[self.version]}/status/{job}"
        return Request(self.method, url, {"Accept": "application/json", "Content-Type": "application/json"})

    def parse(self, params: Params, response: Response, *, after: Ask | None = None) -> Outcome:  # noqa: ARG002
        """Read a job; a body without a status is none, whatever its HTTP status."""
        if OVER_LIMIT in response.body.lower() and b'"statusLogs"' not in response.body:
            return Throttled(response.status, retry_after(response))
        job = unseen(response) or read_as(_Job, response)
        return Seen(job.observation(), retry_after(response)) if isinstance(job, _Job) else job

    def login(self, grant: Grant | None) -> None:
        """Log in nowhere: who has the secret mints the token."""

    def granted(self, response: Response) -> Denied:
        """Never asked: there is no login."""
        return Denied(response.status, "a minted token needs no login")

    def authorize(self, request: Request, grant: Grant | None, *, now: datetime, nonce: str) -> Request:  # noqa: ARG002
        """Add the token, as it is: the header is `auth`, and there is no `Bearer`."""
        token = self.token.reveal() if self.token else self._mint(now, nonce)
        return auth.with_headers(request, {"auth": token})

    def _mint(self, now: datetime, nonce: str) -> str:
        """Sign a JWT. With "Enforce JTI" each request needs one of its own, and so each gets one.

        https://docs.kore.ai/xo/apis/automation/api-introduction/
        """
        claims: dict[str, str | int | None] = {
            "sub": self.client_id,
            "appId": self.client_id,
            "iat": int((now - HEAD_START).timestamp()),
            "exp": int((now + TOKEN_LIFE).timestamp()),
        }
        if self.jti:
            claims["jti"] = nonce
        secret = self.client_secret.reveal().encode() if self.client_secret else b""
        # HMAC pads a key with zeros; doing it here spares PyJWT's warning that the vendor's secret is short.
        import jwt  # noqa: PLC0415  # nine megabytes, for this type of provider alone

        return jwt.encode(claims, secret.ljust(SHORTEST_KEY, b"\0"), algorithm="HS256")
