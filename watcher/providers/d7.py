"""D7 Networks: the log of one SMS, Slack, Viber or WhatsApp request. It has no status of its own; its messages have.

https://d7networks.com/docs/Messages/Get_Status/, https://d7networks.com/docs/Authentication/Generate-Token/
"""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from watcher.core.header import OneLine
from watcher.core.model import Message, Observation, Params, State
from watcher.core.outcome import Ask, Broken, Denied, Grant, Outcome, Seen, Throttled
from watcher.core.secret import Secret
from watcher.core.wire import Request, Response
from watcher.providers import auth
from watcher.providers.account import Account, Parameters, Root, segment
from watcher.providers.answers import Part, folded, malformed, read_as, retry_after, unseen

PATHS = {
    "sms": "/report/v1/message-log/",
    "slack": "/report/v1/message-log/",
    "viber": "/report/v1/viber-log/",
    "whatsapp": "/whatsapp/v2/report/",
}

# By folded word: the SMS log says `un_delivered`, Viber's `undelivered`, WhatsApp's also `read`.
STATES = {
    "accepted": State.PENDING,
    "scheduled": State.PENDING,
    "processed": State.IN_PROGRESS,
    "sent": State.IN_PROGRESS,  # "to telecom and is awaiting acknowledgement", which may never come
    "delivered": State.SUCCEEDED,
    "read": State.SUCCEEDED,
    "undelivered": State.FAILED,
    "notreachable": State.FAILED,
    "spamcontent": State.FAILED,
    "insufficientcredit": State.FAILED,
    "rejected": State.FAILED,
    "expired": State.FAILED,
    "failed": State.FAILED,
}

# Of every channel, of Viber, of WhatsApp, of what is scheduled.
DETAIL = (
    *("recipient", "country", "number_of_sms", "sms_cost"),
    *("number_of_viber_message", "viber_cost"),
    *("originator", "reference", "conversation_type", "message_type", "template_id", "waConvId", "reason"),
    "schedule_time",
)


class D7Params(Parameters):
    """Which request; its channel decides where its log is, and the log of another has it not."""

    request_id: Annotated[str, Field(min_length=1)]
    channel: Literal["sms", "slack", "viber", "whatsapp"] = "sms"


class _Scheduled(Part):
    @property
    def starts_at(self) -> datetime | None:
        """`schedule_time`, seen as `2024-02-05T09:48:42+0000` and `2023-04-17T16:18+04:00`; UTC without an offset."""
        written = self.__pydantic_extra__.get("schedule_time")
        try:
            moment = datetime.fromisoformat(written) if isinstance(written, str) else None
            return moment and (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            return None


class _Message(_Scheduled):
    msg_id: Annotated[str, Field(min_length=1)]
    status: Annotated[str, Field(min_length=1)]

    @property
    def state(self) -> State | None:
        """Our word for the status, if we know it."""
        return STATES.get(folded(self.status))


class _Log(_Scheduled):
    """What every channel answers; WhatsApp's has no `total_recipients`."""

    request_id: str | None = None
    total_recipients: Annotated[int, Field(ge=0)] | None = None
    messages: list[_Message] | None

    def observation(self) -> Observation:
        listed = {message.msg_id: message for message in self.messages or ()}.values()  # of a repeated id, the last
        waiting = [message for message in listed if not (message.state and message.state.is_final)]
        starts = [part.starts_at for part in (self, *waiting)]
        return Observation(
            status=None,
            state=None,
            messages=tuple(
                Message(message.msg_id, message.status, message.state or State.IN_PROGRESS, message.detail(*DETAIL))
                for message in listed
            ),
            total=self.total_recipients,
            detail=self.detail("channel", "request_stage"),
            not_before=max((start for start in starts if start), default=None),
            unknown=tuple(dict.fromkeys(message.status for message in listed if message.state is None)),
        )


class D7(Account):
    """One account: a token from its dashboard, or an application that logs in for one."""

    type: Literal["d7"] = "d7"
    base_url: Root = "https://api.d7networks.com"
    token: OneLine | None = None
    client_id: Annotated[str, Field(min_length=1)] | None = None
    client_secret: Secret | None = None

    @model_validator(mode="after")
    def _enterable(self) -> Self:
        auth.one_way_in(self.token, client_id=self.client_id, client_secret=self.client_secret)
        return self

    def check(self, params: Params) -> None:
        """Accept `request_id` and `channel`."""
        D7Params.check(params)

    def request(self, params: Params) -> Request:
        """Ask for the log where its channel keeps it."""
        path = PATHS[str(params.get("channel", "sms"))]
        return Request("GET", f"{self.base_url}{path}{segment(params['request_id'])}", {"Accept": "application/json"})

    def parse(self, params: Params, response: Response, *, after: Ask | None = None) -> Outcome:  # noqa: ARG002
        """Read a log; one of another request (as in D7's own documentation) is no answer to ours."""
        log = unseen(response) or read_as(_Log, response)
        if not isinstance(log, _Log):
            return log
        if log.request_id is not None and log.request_id.casefold() != str(params["request_id"]).casefold():
            return malformed(response, "expected the log of the request that was asked for")
        return Seen(log.observation(), retry_after(response))

    def login(self, grant: Grant | None) -> Request | None:  # noqa: ARG002  # there is nothing to refresh with
        """Log the application in; a token needs no login."""
        if self.client_id is None or self.client_secret is None:
            return None
        application = {"client_id": self.client_id, "client_secret": self.client_secret.reveal()}
        return auth.form(f"{self.base_url}/auth/v1/login/application", application)

    def granted(self, response: Response) -> Grant | Denied | Throttled | Broken:
        """Read the answer to the login."""
        return auth.granted(response)

    def authorize(self, request: Request, grant: Grant | None, *, now: datetime, nonce: str) -> Request:  # noqa: ARG002
        """Add the token, the section's own or the one that was granted."""
        token = self.token.reveal() if self.token else auth.token(grant)
        return auth.with_headers(request, {"Authorization": f"Bearer {token}"})
