"""What a declared API's requests carry: headers, secret or not, and each kind of credentials."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue, ValidationError

from watcher import __version__
from watcher.core.model import Reason
from watcher.core.outcome import Broken, Denied, Grant, Outcome, Throttled
from watcher.core.wire import Request, Response
from watcher.providers.http import Http

NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
URL = "https://api.example.com/v1/jobs/7"
OWN = {"accept": "application/json", "user-agent": f"watcher/{__version__}"}
OAUTH2: dict[str, JsonValue] = {
    "type": "oauth2",
    "token_url": "https://login.example.com/oauth/token",
    "client_id": "id of ours",
    "client_secret": "a+b&c=d/é",
}


def account(**keys: JsonValue) -> Http:
    section: dict[str, JsonValue] = {
        "url": "https://api.example.com/v1/jobs/{id}",
        "status": "status",
        "states": {"done": "succeeded"},
    }
    context = {"resolve": {"env:TOKEN": "hidden-token", "env:LINES": "two\r\nlines"}.__getitem__}
    return Http.model_validate(section | keys, context=context)


def asked(provider: Http, grant: Grant | None = None) -> Request:
    return provider.authorize(provider.request({"id": "7"}), grant, now=NOW, nonce="n")


# --- headers --------------------------------------------------------------------------------------------------


def test_headers_are_added_and_win_over_ours_whatever_their_case() -> None:
    provider = account(headers={"Accept": "application/vnd.github+json", "X-Team": "env:TOKEN", "X-Key": ""})
    carried = OWN | {"accept": "application/vnd.github+json", "x-team": "hidden-token", "x-key": ""}
    assert asked(provider) == Request("GET", URL, carried)


def test_values_of_headers_that_carry_credentials_are_secrets_also_where_they_are_written_out() -> None:
    provider = account(headers={"X-Api-Key": "hidden-key", "Authorization": "Token hidden", "X-Team": "env:TOKEN"})
    assert "hidden" not in repr((provider, asked(provider)))
    assert asked(provider).headers["x-api-key"] == "hidden-key"
    assert asked(provider).headers["authorization"] == "Token hidden"


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        *(
            ({name: "x"}, "expected another header than connection, content-length, host, transfer-encoding")
            for name in ("Host", "content-length", "Connection", "TRANSFER-ENCODING")
        ),
        ({"two words": "x"}, "expected the name of a header"),
        ({"": "x"}, "expected the name of a header"),
        ({"X-A\r\nHost": "x"}, "expected the name of a header"),
        ({"X-A": "a\r\nHost: hidden"}, "String should match pattern"),
        ({"X-A": "env:LINES"}, "expected a secret of printable ASCII in one line"),
        ({"X-A": 7}, "valid string"),
        ("X-A: x", "valid dictionary"),
    ],
)
def test_headers_that_would_break_a_request_are_refused(headers: JsonValue, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        account(headers=headers)
    assert "hidden" not in str(caught.value)


# --- credentials ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "carried"),
    [
        (None, {}),
        ({"type": "bearer", "token": "env:TOKEN"}, {"authorization": "Bearer hidden-token"}),
        ({"type": "header", "name": "X-Api-Key", "value": "env:TOKEN"}, {"x-api-key": "hidden-token"}),
        (
            {"type": "header", "name": "Authorization", "value": "env:TOKEN", "prefix": "Token token="},
            {"authorization": "Token token=hidden-token"},
        ),
        # the example of RFC 7617, section 2, and the one of section 2.1, which is not ASCII
        (
            {"type": "basic", "username": "Aladdin", "password": "open sesame"},
            {"authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
        ),
        ({"type": "basic", "username": "test", "password": "123£"}, {"authorization": "Basic dGVzdDoxMjPCow=="}),
    ],
)
def test_credentials_need_no_login_and_go_into_a_header(auth: JsonValue, carried: dict[str, str]) -> None:
    provider = account(auth=auth)
    assert provider.login(None) is None
    assert asked(provider) == Request("GET", URL, OWN | carried)
    assert not any(word in repr((provider, asked(provider))) for word in ("hidden", "sesame", "123£"))


@pytest.mark.parametrize(
    "auth",
    [
        {"type": "digest"},
        {"type": "bearer"},
        {"type": "bearer", "token": "env:LINES"},
        {"type": "bearer", "token": "hidden-token", "prefix": "x"},
        {"type": "header", "name": "Host", "value": "hidden-token"},
        {"type": "basic", "username": "with:colon", "password": "hidden"},
        {"type": "oauth2", "client_id": "x", "client_secret": "hidden"},
        {**OAUTH2, "token_url": "/oauth/token"},
    ],
)
def test_credentials_that_cannot_work_are_refused(auth: JsonValue) -> None:
    with pytest.raises(ValidationError) as caught:
        account(auth=auth)
    assert "hidden" not in str(caught.value)


def test_oauth2_logs_in_with_a_form_and_again_when_the_token_has_run_out() -> None:
    provider = account(auth=OAUTH2)
    login = Request(
        "POST",
        "https://login.example.com/oauth/token",
        {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"},
        b"grant_type=client_credentials&client_id=id+of+ours&client_secret=a%2Bb%26c%3Dd%2F%C3%A9",
    )
    assert provider.login(None) == login
    assert provider.login(Grant({"token": "the one that ran out"})) == login
    assert "a+b&c" not in repr((provider, login))


def test_oauth2_asks_for_a_scope_and_an_audience_where_they_are_declared() -> None:
    login = account(auth=OAUTH2 | {"scope": "jobs:read all", "audience": "https://api.example.com"}).login(None)
    assert login is not None
    assert login.body.endswith(b"&scope=jobs%3Aread+all&audience=https%3A%2F%2Fapi.example.com")


def test_what_oauth2_granted_goes_into_the_header() -> None:
    assert asked(account(auth=OAUTH2), Grant({"token": "granted"})) == Request(
        "GET", URL, OWN | {"authorization": "Bearer granted"}
    )


@pytest.mark.parametrize(
    ("response", "meaning"),
    [
        (
            Response(200, {}, b'{"access_token": "t", "token_type": "Bearer", "expires_in": 3600}', NOW),
            Grant({"token": "t"}, NOW + timedelta(hours=1)),
        ),
        (Response(200, {}, b'{"access_token": "t"}', NOW), Grant({"token": "t"})),
        (Response(400, {}, b'{"error": "invalid_client"}', NOW), Denied(400, "invalid_client")),
        (Response(401, {}, b"", NOW), Denied(401)),
        (Response(429, {"retry-after": "9"}, b"", NOW), Throttled(429, timedelta(seconds=9))),
        (Response(500, {}, b"", NOW), Broken(Reason.SERVER_ERROR, 500)),
        (Response(200, {}, b"<html>", NOW), Denied(200, "login: expected JSON")),
    ],
)
def test_a_login_brings_a_grant_or_the_reason_why_not(response: Response, meaning: Outcome | Grant) -> None:
    assert account(auth=OAUTH2).granted(response) == meaning
