"""What D7's recorded answers cannot show: the section, the requests that are made, and the login."""

import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

import jwt
import orjson
import pytest
from pydantic import ValidationError

from watcher.core.errors import RequestError
from watcher.core.model import Json, Reason
from watcher.core.outcome import Broken, Denied, Grant, Outcome, Seen, Throttled
from watcher.core.schedule import Pace
from watcher.core.wire import Request, Response
from watcher.ports import Provider
from watcher.providers.d7 import D7

NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
REQUEST_ID = "9d056a09-0fc4-4f68-9058-3846d58aa244"
PARAMS = {"request_id": REQUEST_ID}
TOKEN: dict[str, Json] = {"token": "d7-token"}
APPLICATION: dict[str, Json] = {"client_id": "d7 application", "client_secret": "a+b&c=d/é"}
SIGNING_KEY = "d7's own key, which nobody else has ever seen"


def account(**section: Json) -> D7:
    return D7.model_validate(section)


def answer(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(status, headers or {}, raw, NOW)


def parsed(*messages: dict[str, Json], **log: Json) -> Outcome:
    body = {"request_id": REQUEST_ID, "total_recipients": len(messages), "messages": list(messages), **log}
    return account(**TOKEN).parse(PARAMS, answer(body))


# --- the section ----------------------------------------------------------------------------------------------


def test_a_section_is_a_provider_with_d7s_defaults() -> None:
    provider: Provider = account(**TOKEN)
    assert provider.type == "d7"
    assert (provider.rate, provider.burst, provider.concurrency) == (5, 5, 16)
    assert (provider.timeout, provider.grace) == (timedelta(seconds=15), timedelta(seconds=60))
    assert (provider.deadline, provider.trouble_after) == (timedelta(hours=72), timedelta(minutes=5))
    assert provider.poll == Pace(min=timedelta(seconds=5), max=timedelta(minutes=5), mode="backoff")


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"client_id": "id"},
        {"client_secret": "secret"},
        {**TOKEN, "client_id": "id"},
        {**TOKEN, "client_secret": "secret"},
        {**TOKEN, **APPLICATION},
    ],
    ids=" ".join,
)
def test_a_section_has_either_a_token_or_an_application(section: dict[str, Json]) -> None:
    with pytest.raises(ValidationError, match='expected either "token", or both "client_id" and "client_secret"'):
        account(**section)


def test_secrets_are_in_no_repr() -> None:
    for provider in (account(**TOKEN), account(**APPLICATION)):
        request = provider.authorize(provider.request(PARAMS), Grant({"token": "granted"}), now=NOW, nonce="n")
        shown = repr((provider, request, provider.login(None), provider.granted(answer({"access_token": "granted"}))))
        assert not any(secret in shown for secret in ("d7-token", "a+b&c=d", "a%2Bb", "granted"))


# --- params and requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "params: request_id: expected, and missing"),
        ({"request_id": ""}, "params: request_id: expected at least 1 character, got an empty string"),
        ({"request_id": 7}, "params: request_id: expected a string, got a number"),
        ({"request_id": "r", "chanel": "sms"}, "params: chanel: unknown; expected one of channel, request_id"),
        (
            {"request_id": "r", "channel": "fax"},
            'params: channel: expected "sms", "slack", "viber" or "whatsapp"',
        ),
    ],
)
def test_params_that_name_no_request_are_refused_with_the_reason(params: dict[str, Json], problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        account(**TOKEN).check(params)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("channel", "path"),
    [
        ({}, "/report/v1/message-log/"),
        ({"channel": "sms"}, "/report/v1/message-log/"),
        ({"channel": "slack"}, "/report/v1/message-log/"),
        ({"channel": "viber"}, "/report/v1/viber-log/"),
        ({"channel": "whatsapp"}, "/whatsapp/v2/report/"),
    ],
)
def test_case_4_4_13_each_channel_has_its_own_path(channel: dict[str, Json], path: str) -> None:
    provider = account(**TOKEN, base_url="https://proxy.example/d7/")
    provider.check(PARAMS | channel)
    assert provider.request(PARAMS | channel) == Request(
        "GET", f"https://proxy.example/d7{path}{REQUEST_ID}", {"Accept": "application/json"}
    )


def test_case_4_4_11_whatever_a_request_is_called_it_stays_one_segment_of_the_path() -> None:
    request = account(**TOKEN).request({"request_id": "+971/../50?x=1#é %2F"})
    assert request.url == ("https://api.d7networks.com/report/v1/message-log/%2B971%2F..%2F50%3Fx%3D1%23%C3%A9%20%252F")


def module(name: str, **content: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(**content)
    return made


@pytest.mark.parametrize("channel", ["sms", "viber"])  # of WhatsApp direct7 still asks the first version
def test_direct7_makes_the_same_request(channel: str) -> None:
    sent: list[tuple[str, str, dict[str, str], object]] = []

    class Session:
        def mount(self, prefix: str, adapter: object) -> None: ...

        def get(self, url: str, *, headers: dict[str, str], params: object, timeout: int) -> object:
            sent.append(("GET", url, dict(headers), params))
            return SimpleNamespace(status_code=200, headers={}, json=dict)

    # direct7 needs `requests`, which it does not say; what it would send is all that counts here
    requests = {
        "requests": module("requests", Response=object),
        "requests.adapters": module("requests.adapters", HTTPAdapter=SimpleNamespace),
        "requests.sessions": module("requests.sessions", Session=Session),
    }
    with patch.dict(sys.modules, requests):
        client = import_module("direct7").Client(api_token="d7-token")
        getattr(client, channel).get_status(request_id=REQUEST_ID)

    provider = account(**TOKEN)
    ours = provider.authorize(provider.request(PARAMS | {"channel": channel}), None, now=NOW, nonce="n")
    ((method, url, headers, query),) = sent
    assert (method, url, query) == (ours.method, ours.url, None)
    assert {name: text for name, text in headers.items() if name != "User-Agent"} == ours.headers


# --- logs -----------------------------------------------------------------------------------------------------


def test_case_4_4_8_a_revised_cost_changes_no_status() -> None:
    early = parsed({"msg_id": "m1", "status": "sent", "number_of_sms": 1, "sms_cost": 0.0004})
    later = parsed({"msg_id": "m1", "status": "sent", "number_of_sms": 2, "sms_cost": 0.0008})
    assert isinstance(early, Seen)
    assert isinstance(later, Seen)
    (one,), (two,) = early.observation.messages, later.observation.messages
    assert (one.key, one.status, one.state) == (two.key, two.status, two.state)
    assert (one.detail, two.detail) == (
        {"number_of_sms": 1, "sms_cost": 0.0004},
        {"number_of_sms": 2, "sms_cost": 0.0008},
    )


@pytest.mark.parametrize(
    ("written", "starts_at"),
    [
        (None, None),
        ("2026-11-25T09:48:42+0000", datetime(2026, 11, 25, 9, 48, 42, tzinfo=UTC)),
        ("2026-11-25T16:18+04:00", datetime(2026, 11, 25, 12, 18, tzinfo=UTC)),
        ("2026-11-25T09:48:42.5Z", datetime(2026, 11, 25, 9, 48, 42, 500000, tzinfo=UTC)),
        ("2026-11-25 09:48:42", datetime(2026, 11, 25, 9, 48, 42, tzinfo=UTC)),
        ("2020-01-01T00:00:00Z", datetime(2020, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00+14:00", None),
        ("tomorrow", None),
        ("", None),
        (1795600000, None),
        ([], None),
    ],
)
def test_case_4_4_9_a_schedule_time_is_read_as_it_is_written_or_not_at_all(
    written: Json, starts_at: datetime | None
) -> None:
    outcome = parsed({"msg_id": "m1", "status": "scheduled", "schedule_time": written})
    assert isinstance(outcome, Seen)
    assert outcome.observation.not_before == starts_at


def test_case_4_4_9_a_message_that_is_over_waits_for_nothing() -> None:
    outcome = parsed(
        {"msg_id": "m1", "status": "rejected", "schedule_time": "2026-12-31T00:00:00Z"},
        {"msg_id": "m2", "status": "sent", "schedule_time": None},
    )
    assert isinstance(outcome, Seen)
    assert outcome.observation.not_before is None


# --- tokens ---------------------------------------------------------------------------------------------------


def test_a_token_needs_no_login_and_goes_into_the_header() -> None:
    provider = account(**TOKEN)
    assert provider.login(None) is None
    request = provider.authorize(Request("GET", "https://x", {"Accept": "a/b"}), None, now=NOW, nonce="n")
    assert request == Request("GET", "https://x", {"Accept": "a/b", "Authorization": "Bearer d7-token"})


def test_an_application_logs_in_with_a_form() -> None:
    provider = account(**APPLICATION)
    login = Request(
        "POST",
        "https://api.d7networks.com/auth/v1/login/application",
        {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"},
        b"client_id=d7+application&client_secret=a%2Bb%26c%3Dd%2F%C3%A9",
    )
    assert provider.login(None) == login
    assert provider.login(Grant({"token": "the one that ran out"})) == login


def test_a_granted_token_goes_into_the_header() -> None:
    request = account(**APPLICATION).authorize(
        Request("GET", "https://x"), Grant({"token": "granted"}), now=NOW, nonce="n"
    )
    assert request == Request("GET", "https://x", {"Authorization": "Bearer granted"})


def test_a_request_before_the_login_is_a_mistake_of_ours() -> None:
    with pytest.raises(LookupError, match="a login must come before"):
        account(**APPLICATION).authorize(Request("GET", "https://x"), None, now=NOW, nonce="n")


def jwt_until(exp: object) -> str:
    return jwt.encode({"sub": "d7", "exp": exp}, SIGNING_KEY, algorithm="HS256")


@pytest.mark.parametrize(
    ("life", "expires_at"),
    [
        ({"access_token": "opaque", "token_type": "bearer"}, None),
        ({"access_token": "opaque", "expires_in": 3600}, NOW + timedelta(hours=1)),
        ({"access_token": "opaque", "expires_in": "3600"}, NOW + timedelta(hours=1)),
        ({"access_token": "opaque", "expires_in": 0}, None),
        ({"access_token": jwt_until(int(NOW.timestamp()) + 60)}, NOW + timedelta(minutes=1)),
        ({"access_token": jwt_until(int(NOW.timestamp()) + 60), "expires_in": 30}, NOW + timedelta(seconds=30)),
        ({"access_token": jwt_until(int(NOW.timestamp()) - 60)}, None),
        ({"access_token": jwt_until("soon")}, None),
        ({"access_token": jwt_until(10**400)}, None),
        ({"access_token": jwt.encode({"sub": "d7"}, SIGNING_KEY, algorithm="HS256")}, None),
    ],
)
def test_case_4_4_10_a_grant_ends_when_the_answer_or_the_jwt_says_so(
    life: dict[str, Json], expires_at: datetime | None
) -> None:
    assert account(**APPLICATION).granted(answer(life)) == Grant({"token": str(life["access_token"])}, expires_at)


@pytest.mark.parametrize(
    ("response", "meaning"),
    [
        (answer({"detail": {"code": "APPLICATION_NOT_EXISTS"}}, status=401), Denied(401, "APPLICATION_NOT_EXISTS")),
        (answer({"detail": {"code": "APPLICATION_NOT_EXISTS"}}, status=400), Denied(400, "APPLICATION_NOT_EXISTS")),
        (answer(b"", status=403), Denied(403)),
        (answer({"detail": "Not Found"}, status=404), Denied(404)),
        (answer([], status=422), Denied(422)),
        (answer(b"", status=302), Denied(302)),
        (answer(b"", status=204), Denied(204, "a success without a body")),
        (answer(b"", status=429, headers={"retry-after": "7"}), Throttled(429, timedelta(seconds=7))),
        (answer(b"", status=502), Broken(Reason.SERVER_ERROR, 502)),
        (answer(b"<html>"), Denied(200, "login: expected JSON")),
        (answer({"token": "t"}), Denied(200, "login: access_token: expected, and missing")),
        (
            answer({"access_token": "two\r\nlines"}),
            Denied(200, "login: access_token: expected a string that matches ^[\\x21-\\x7e]+$"),
        ),
    ],
)
def test_case_4_4_10_a_login_that_brings_no_token_says_why(response: Response, meaning: Outcome) -> None:
    assert account(**APPLICATION).granted(response) == meaning
