"""Amazon Chime SDK messaging: GetChannelMessageStatus of one message that goes through a channel flow.

https://docs.aws.amazon.com/chime-sdk/latest/APIReference/API_messaging-chime_GetChannelMessageStatus.html
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from watcher.core.duration import SomeTime
from watcher.core.errors import RequestError
from watcher.core.header import OneLine
from watcher.core.model import Ending, Observation, Params, State
from watcher.core.outcome import Ask, Broken, Denied, Grant, Missing, Outcome, Refused, Seen, Throttled
from watcher.core.wire import Request, Response
from watcher.ports import AwsChain, Login
from watcher.providers.account import Account, Parameters, Root, segment
from watcher.providers.answers import error_code, read_as, retry_after, unseen
from watcher.providers.sigv4 import sign

STATES = {
    "PENDING": State.IN_PROGRESS,  # "ongoing processing"
    "SENT": State.SUCCEEDED,
    "FAILED": State.FAILED,
    "DENIED": State.FAILED,
}

# The error names of the service and those common to all of AWS, without `Exception`; botocore's list of throttling.
THROTTLING = {
    "BandwidthLimitExceeded",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttled",
    "ThrottledClient",
    "Throttling",
    "TooManyRequests",
}
EXPIRED = {"ExpiredToken"}
UNSIGNED = {
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignature",
    "MissingAuthenticationToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
}


def _header(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("expected visible ASCII characters only: it goes into a header")
    return text


Arn: TypeAlias = Annotated[
    str,
    StringConstraints(
        min_length=5, max_length=1600, pattern=r"^arn:[a-z0-9.-]{1,63}:(?:[a-z0-9.-]{0,63}:){3}[^/].{0,1023}$"
    ),
]
Bearer: TypeAlias = Annotated[Arn, AfterValidator(_header)]
Id: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[-_a-zA-Z0-9]{1,128}$")]


class ChimeParams(Parameters):
    """Which message; `bearer` is its sender, the only one who may ask."""

    channel_arn: Arn
    message_id: Id
    sub_channel_id: Id | None = None
    bearer: Bearer | None = None


class _Status(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    value: Annotated[str, Field(alias="Value", min_length=1)]
    detail: Annotated[str | None, Field(alias="Detail")] = None


class _Answer(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    status: Annotated[_Status, Field(alias="Status")]


class Chime(Account):
    """One account and region; without keys of its own it takes what the AWS credential chain has."""

    pace: ClassVar[dict[str, str]] = {"min": "1s", "max": "5m"}

    type: Literal["chime"] = "chime"
    # The only regions with a messaging control plane.
    # https://docs.aws.amazon.com/chime-sdk/latest/dg/sdk-available-regions.html
    region: Literal["us-east-1", "eu-central-1"]
    base_url: Root
    bearer: Bearer | None = None
    access_key_id: OneLine | None = None
    secret_access_key: OneLine | None = None
    session_token: OneLine | None = None
    # A channel flow's processor has 48 hours to answer; a message is PENDING that long at most.
    # https://docs.aws.amazon.com/chime-sdk/latest/dg/processor-setup.html
    deadline: SomeTime = timedelta(hours=49)

    @model_validator(mode="before")
    @classmethod
    def _regional(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            return given
        return {"base_url": f"https://messaging-chime.{given.get('region')}.amazonaws.com", **given}

    @model_validator(mode="after")
    def _signable(self) -> Self:
        if find_spec("botocore") is None:
            raise ValueError('expected botocore, which signs for AWS: pip install "watcher[aws]"')
        import_module("botocore.auth")  # here and now: it reads files, and the first poll must not wait for that
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("expected both access_key_id and secret_access_key, or neither")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("expected access_key_id and secret_access_key beside session_token")
        return self

    def check(self, params: Params) -> None:
        """Accept params that name a message of this region, with somebody to ask as."""
        ChimeParams.check(params)
        region = str(params["channel_arn"]).split(":")[3]
        if region != self.region:
            raise RequestError(f"params: channel_arn: expected a channel in {self.region}, got one in {region!r}")
        if not (params.get("bearer") or self.bearer):
            raise RequestError("params: bearer: expected the sender's ARN, here or in the provider's section")

    def request(self, params: Params) -> Request:
        """Ask for the message's status as its sender."""
        channel, message = segment(params["channel_arn"]), segment(params["message_id"])
        url = f"{self.base_url}/channels/{channel}/messages/{message}?scope=message-status"
        if sub_channel := params.get("sub_channel_id"):
            url += f"&sub-channel-id={segment(sub_channel)}"
        return Request("GET", url, {"x-amz-chime-bearer": str(params.get("bearer") or self.bearer)})

    def parse(self, params: Params, response: Response, *, after: Ask | None = None) -> Outcome:  # noqa: ARG002
        """Read `{"Status": {"Value": …, "Detail": …}}`, or the error's name, which says more than its HTTP status."""
        outcome = unseen(response)
        if outcome is None:
            return _read(response)
        error = _error_name(response)
        name = error.removesuffix("Exception")
        if name in THROTTLING:
            return Throttled(response.status, retry_after(response))
        if name in EXPIRED | UNSIGNED:
            return Denied(response.status, error, renewable=name in EXPIRED)
        match outcome:
            case Missing():
                # The service stores no status of a denied message: a PENDING one that is denied is not found any more
                return replace(outcome, ending=Ending.FAILED, reason="denied_or_deleted")
            case Denied() | Refused() | Broken():
                return replace(outcome, detail=error)
            case _:
                return outcome

    def login(self, grant: Grant | None) -> Login:  # noqa: ARG002  # the chain refreshes itself
        """Take the credential chain's keys, unless the section has its own."""
        return AwsChain() if self.access_key_id is None else None

    def granted(self, response: Response) -> Denied:
        """Deny: there is no login that could be answered."""
        return Denied(response.status)

    def authorize(self, request: Request, grant: Grant | None, *, now: datetime, nonce: str) -> Request:  # noqa: ARG002
        """Sign with the section's keys, else with those granted."""
        own = {
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "session_token": self.session_token,
        }
        keys = grant.values if grant else {name: secret.reveal() for name, secret in own.items() if secret}
        return sign(request, keys, service="chime", region=self.region, now=now)


def _read(response: Response) -> Outcome:
    answer = read_as(_Answer, response)
    if not isinstance(answer, _Answer):
        return answer
    word = answer.status.value
    seen = Observation(
        status=word,
        state=STATES.get(word, State.IN_PROGRESS),
        detail={"Detail": answer.status.detail} if answer.status.detail else {},
        unknown=() if word in STATES else (word,),
    )
    return Seen(seen, retry_after(response))


def _error_name(response: Response) -> str:
    """Find the error's name: in the header, without the internal address after `:`, else in the body."""
    header = response.headers.get("x-amzn-errortype", "").split(":")[0]
    name = (header or error_code(response).split(":")[0]).rsplit("#", 1)[-1]
    return name if re.fullmatch(r"\w{1,100}", name, re.ASCII) else ""
