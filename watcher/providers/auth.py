"""What logins have in common: forms that go out, tokens that come back. Who logs in, and when, is `tokens.py`'s."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, assert_never
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from watcher.core.model import Reason
from watcher.core.outcome import Broken, Denied, Grant, Missing, Refused, Throttled
from watcher.core.secret import Secret
from watcher.core.wire import Request, Response
from watcher.providers.answers import read_as, unseen

LONGEST_LIFE = 10 * 365 * 86400.0


class _Tokens(BaseModel):
    """The answer of RFC 6749, section 5.1, as far as vendors keep to it."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    access_token: Annotated[str, Field(pattern=r"^[\x21-\x7e]+$", repr=False)]
    refresh_token: Annotated[str | None, Field(repr=False)] = None
    expires_in: Annotated[float, Field(ge=0, le=LONGEST_LIFE)] | None = None


def one_way_in(token: Secret | None, *, client_id: str | None, client_secret: Secret | None) -> None:
    """Accept a section that has either a token, or what it takes to get one.

    Raises:
        ValueError: it has both, none, or half of one.

    """
    application = [client_id is not None, client_secret is not None]
    if any(application) != all(application) or any(application) == (token is not None):
        raise ValueError('expected either "token", or both "client_id" and "client_secret"')


def form(url: str, fields: Mapping[str, str]) -> Request:
    """Post a form, as OAuth token endpoints read it."""
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", url, headers, urlencode(fields).encode())


def granted(response: Response) -> Grant | Denied | Throttled | Broken:
    """Read the answer to a login; what was not granted is denied, garbage included, unless waiting may help."""
    answer = unseen(response) or read_as(_Tokens, response)
    match answer:
        case _Tokens():
            refresh = {"refresh_token": answer.refresh_token} if answer.refresh_token else {}
            return Grant({"token": answer.access_token, **refresh}, _expiry(answer, response.received_at))
        case Broken(reason=Reason.MALFORMED):
            return Denied(response.status, f"login: {answer.detail}")
        case Throttled() | Broken():
            return answer
        case Missing():
            return Denied(answer.http_status)
        case Denied() | Refused():
            return Denied(answer.http_status, answer.detail)
        case _:
            assert_never(answer)


def token(grant: Grant | None) -> str:
    """Return the token of a grant.

    Raises:
        LookupError: nobody has logged in before this request was to be sent.

    """
    if grant is None:
        raise LookupError("a login must come before the first request")
    return grant.values["token"]


def with_headers(request: Request, headers: Mapping[str, str]) -> Request:
    """Add headers to a request."""
    return Request(request.method, request.url, {**request.headers, **headers}, request.body)


def _expiry(tokens: _Tokens, received_at: datetime) -> datetime | None:
    """Say when a token ends: what the answer says, else what a JWT says of itself; None if nobody knows.

    An end that is past already comes from clocks that differ: then a 401 will tell.
    """
    if tokens.expires_in is not None:
        end = received_at + timedelta(seconds=tokens.expires_in)
    else:
        import jwt  # noqa: PLC0415  # nine megabytes, seldom needed

        try:
            claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
            end = datetime.fromtimestamp(float(claims["exp"]), UTC)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, OSError):
            return None
    return end if end > received_at else None
