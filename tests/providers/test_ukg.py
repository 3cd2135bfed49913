"""What UKG's recorded answers cannot show: the section, the logins, the requests that are made, and large results."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from watcher.core.errors import RequestError
from watcher.core.model import Json, Observation, Reason, State
from watcher.core.outcome import Ask, Broken, Denied, Grant, Outcome, Seen, Throttled
from watcher.core.schedule import Pace
from watcher.core.wire import Request, Response
from watcher.ports import Provider
from watcher.providers.ukg import Ukg

NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
ROOT = "https://acme.prd.mykronos.com"
ASYNC = f"{ROOT}/api/talk/chat/v1/messages/async"
PARAMS: dict[str, Json] = {"id": "6b0f"}
RESULT = Request("GET", f"{ASYNC}/6b0f/response", {"Accept": "application/json"})
OPENAM: dict[str, Json] = {
    "type": "openam",
    "username": "watcher",
    "password": "p&ss=wörd",
    "client_id": "talk client",
    "client_secret": "client-secret",
}
AUTH0: dict[str, Json] = {
    "type": "auth0",
    "token_url": "https://welcome-us.ukg.net/oauth/token",
    "audience": "https://wfm.ukg.net/api",
    "client_id": "talk client",
    "client_secret": "client-secret",
}
USER: dict[str, Json] = {"username": "watcher", "password": "p&ss=wörd", "realm": "acme"}


def account(**section: Json) -> Ukg:
    return Ukg.model_validate({"base_url": ROOT, **section})


def answer(status: int, body: object = b"", **headers: str) -> Response:
    return Response(status, headers, body if isinstance(body, bytes) else orjson.dumps(body), NOW)


def authorized(provider: Ukg, grant: Grant | None = None) -> dict[str, str]:
    return {**provider.authorize(provider.request(PARAMS), grant, now=NOW, nonce="").headers}


def login(provider: Ukg, grant: Grant | None = None) -> tuple[Request, dict[str, str]]:
    request = provider.login(grant)
    assert request is not None
    return request, {name: value for name, (value,) in parse_qs(request.body.decode(), strict_parsing=True).items()}


def result_of(body: object, *, known: Observation | None = None) -> Outcome:
    return account(token="t").parse(PARAMS, answer(200, body), after=Ask(RESULT, known))


# --- the section ----------------------------------------------------------------------------------------------


def test_a_section_is_a_provider_with_ukgs_defaults() -> None:
    provider: Provider = account(token="t")
    assert provider.type == "ukg"
    assert (provider.rate, provider.burst, provider.concurrency) == (1, 1, 16)
    assert (provider.timeout, provider.grace) == (timedelta(seconds=15), timedelta(seconds=60))
    assert (provider.deadline, provider.trouble_after) == (timedelta(hours=24), timedelta(minutes=5))
    assert provider.poll == Pace(min=timedelta(seconds=2), max=timedelta(seconds=60), mode="backoff")


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"base_url": ROOT}, 'expected either "token" or a table "auth"'),
        ({"base_url": ROOT, "token": "t", "auth": OPENAM}, 'expected either "token" or a table "auth"'),
        ({"token": "t"}, "base_url\n  Field required"),
        ({"base_url": ROOT, "token": "t", "scheme": "Basic"}, "Input should be 'Bearer' or ''"),
        ({"base_url": ROOT, "token": "t", "app_key": "k"}, "Extra inputs are not permitted"),
        ({"base_url": ROOT, "auth": {**OPENAM, "type": "saml"}}, "'openam', 'auth0'"),
        ({"base_url": ROOT, "auth": {**OPENAM, "username": ""}}, "at least 1 character"),
        ({"base_url": ROOT, "auth": {**OPENAM, "realm": "acme"}}, "Extra inputs are not permitted"),
        ({"base_url": ROOT, "auth": AUTH0}, 'expected either "username", "password" and "realm", or "organization"'),
        ({"base_url": ROOT, "auth": {**AUTH0, **USER, "organization": "org_1"}}, 'expected either "username"'),
        ({"base_url": ROOT, "auth": {**AUTH0, **USER, "realm": None}}, 'expected either "username"'),
        ({"base_url": ROOT, "auth": {**AUTH0, "organization": "o", "realm": "acme"}}, 'expected either "username"'),
    ],
)
def test_a_section_that_cannot_work_is_refused(section: dict[str, Json], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Ukg.model_validate(section)
    assert problem in str(caught.value)
    assert caught.value.error_count() == 1
    assert "client-secret" not in str(caught.value)


def test_no_secret_is_in_a_repr() -> None:
    openam, auth0 = account(auth={**OPENAM, "app_key": "the-app-key"}), account(auth={**AUTH0, **USER})
    grant = Grant({"token": "the-token", "refresh_token": "the-refresh-token"})
    requests = [openam.login(None), openam.login(grant), auth0.login(None)]
    shown = repr([openam, auth0, account(token="the-token"), grant, requests])
    for secret in ("the-app-key", "the-token", "the-refresh-token", "p&ss", "p%26ss", "client-secret"):
        assert secret not in shown


# --- the request ----------------------------------------------------------------------------------------------


def test_case_1_6_7_the_status_is_asked_for_with_json_as_the_only_accepted_type() -> None:
    expected = Request("GET", f"{ASYNC}/6b0f/status", {"Accept": "application/json"})
    assert account(token="t").request(PARAMS) == expected


@pytest.mark.parametrize(
    ("id", "encoded"), [("a/b?c#d", "a%2Fb%3Fc%23d"), ("..", "%2E%2E"), ("ü %", "%C3%BC%20%25"), ("a.b-c_~", "a.b-c_~")]
)
def test_an_id_is_opaque_and_stays_one_segment_of_the_path(id: str, encoded: str) -> None:
    provider = account(token="t")
    provider.check({"id": id})
    assert provider.request({"id": id}).url == f"{ASYNC}/{encoded}/status"


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "params: id: expected, and missing"),
        ({"id": ""}, "params: id: expected at least 1 character, got an empty string"),
        ({"id": 7}, "params: id: expected a string, got a number"),
        ({"id": "7", "request_id": "7"}, "params: request_id: unknown; expected one of id"),
    ],
)
def test_params_that_name_no_request_are_refused_with_their_key(params: dict[str, Json], problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        account(token="t").check(params)
    assert str(caught.value) == problem


# --- credentials ----------------------------------------------------------------------------------------------


def test_a_token_of_the_section_needs_no_login() -> None:
    assert account(token="t").login(None) is None
    assert authorized(account(token="t")) == {"Accept": "application/json", "Authorization": "Bearer t"}


def test_case_1_6_10_the_token_goes_bare_where_the_scheme_is_empty() -> None:
    assert authorized(account(token="t", scheme="")) == {"Accept": "application/json", "Authorization": "t"}


def test_case_1_6_10_an_app_key_goes_with_every_request() -> None:
    provider = account(auth={**OPENAM, "app_key": "key"})
    request, _ = login(provider)
    assert request.headers["appkey"] == "key"
    assert authorized(provider, Grant({"token": "t"})) == {
        "Accept": "application/json",
        "Authorization": "Bearer t",
        "appkey": "key",
    }


def test_openam_grants_a_token_for_a_password() -> None:
    request, fields = login(account(auth=OPENAM))
    assert (request.method, request.url) == ("POST", f"{ROOT}/api/authentication/access_token")
    assert request.headers == {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    assert fields == {
        "grant_type": "password",
        "username": "watcher",
        "password": "p&ss=wörd",
        "client_id": "talk client",
        "client_secret": "client-secret",
        "auth_chain": "OAuthLdapService",
    }


def test_case_1_6_8_openam_refreshes_a_grant_that_can_be_refreshed() -> None:
    provider = account(auth=OPENAM)
    request, fields = login(provider, Grant({"token": "t", "refresh_token": "r"}))
    assert (request.method, request.url) == ("POST", f"{ROOT}/api/authentication/access_token")
    assert fields == {
        "grant_type": "refresh_token",
        "refresh_token": "r",
        "client_id": "talk client",
        "client_secret": "client-secret",
        "auth_chain": "OAuthLdapService",
    }
    assert login(provider, Grant({"token": "t"})) == login(provider)


def test_auth0_grants_a_token_to_a_user_of_a_realm() -> None:
    provider = account(auth={**AUTH0, **USER})
    request = provider.login(Grant({"token": "t", "refresh_token": "r"}))
    assert request is not None
    assert (request.method, request.url) == ("POST", "https://welcome-us.ukg.net/oauth/token")
    assert request.headers == {"Accept": "application/json", "Content-Type": "application/json"}
    assert orjson.loads(request.body) == {
        "grant_type": "http://auth0.com/oauth/grant-type/password-realm",
        "audience": "https://wfm.ukg.net/api",
        "client_id": "talk client",
        "client_secret": "client-secret",
        "username": "watcher",
        "password": "p&ss=wörd",
        "realm": "acme",
    }
    assert authorized(provider, Grant({"token": "t"})) == {"Accept": "application/json", "Authorization": "Bearer t"}


def test_auth0_grants_a_token_to_a_client_of_an_organization() -> None:
    provider = account(auth={**AUTH0, "organization": "org_1"})
    request = provider.login(None)
    assert request is not None
    assert orjson.loads(request.body) == {
        "grant_type": "client_credentials",
        "audience": "https://wfm.ukg.net/api",
        "client_id": "talk client",
        "client_secret": "client-secret",
        "organization": "org_1",
    }
    assert authorized(provider, Grant({"token": "t"})) == {
        "Accept": "application/json",
        "Authorization": "Bearer t",
        "global-tenant-id": "org_1",
    }


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (
            answer(200, {"access_token": "t", "refresh_token": "r", "expires_in": 1800, "token_type": "Bearer"}),
            Grant({"token": "t", "refresh_token": "r"}, NOW + timedelta(seconds=1800)),
        ),
        (answer(200, {"access_token": "t"}), Grant({"token": "t"})),
        (answer(400, {"error": "invalid_grant"}), Denied(400, "invalid_grant")),
        (answer(401, {"error": "invalid_client"}), Denied(401, "invalid_client")),
        (answer(404), Denied(404)),
        (answer(429, **{"retry-after": "7"}), Throttled(429, timedelta(seconds=7))),
        (answer(500), Broken(Reason.SERVER_ERROR, 500)),
    ],
)
def test_the_answer_to_a_login_grants_or_says_why_not(response: Response, expected: object) -> None:
    assert account(auth=OPENAM).granted(response) == expected


# --- results --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "is_kept"), [(64 * 1024, True), (64 * 1024 + 1, False)])
def test_a_result_of_more_than_64_kib_is_told_by_its_address_and_still_read(size: int, *, is_kept: bool) -> None:
    body: dict[str, Json] = {"results": [{"personNumber": "1", "status": "SUCCESS"}], "padding": ""}
    body["padding"] = "x" * (size - len(orjson.dumps(body)))
    outcome = result_of(body)
    assert isinstance(outcome, Seen)
    assert outcome.observation.result == (body if is_kept else RESULT.url)
    assert [message.key for message in outcome.observation.messages] == ["1"]


def test_a_known_status_wins_over_the_results_and_keeps_its_progress() -> None:
    known = Observation("FAILED", State.FAILED, progress=50)
    assert result_of({}, known=known) == Seen(Observation("FAILED", State.FAILED, progress=50, result={}))


# --- any answer -----------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers(-9, 200) | st.floats() | st.text(max_size=5)
WORDS = st.sampled_from(["PENDING", "COMPLETED", "FAILED", "SUCCESS", "1", "45%"])
KEYS = st.sampled_from(["state", "status", "progress", "percent", "results", "messages", "personNumber", "personId"])
JSON = st.recursive(SCALARS | WORDS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner))
HEADERS = st.fixed_dictionaries({}, optional=dict.fromkeys(["location", "content-location", "retry-after"], st.text()))
AFTER = st.sampled_from([None, Ask(RESULT), Ask(RESULT, Observation("FAILED", State.FAILED))])


@given(st.integers(100, 599), st.binary() | JSON.map(orjson.dumps), HEADERS, AFTER)
def test_any_bytes_give_an_outcome_whose_messages_have_keys_of_their_own(
    status: int, body: bytes, headers: dict[str, str], after: Ask | None
) -> None:
    outcome = account(token="t").parse(PARAMS, Response(status, headers, body, NOW), after=after)
    if isinstance(outcome, Seen):
        keys = [message.key for message in outcome.observation.messages]
        assert len(keys) == len(set(keys))


PARTS = ["//", "https://", "http:", "acme.prd.mykronos.com", "evil.example", "443", *"/\\:@?#.%[] \t"]
URLS = st.lists(st.sampled_from(PARTS)).map("".join)


@given(URLS, st.sampled_from([ROOT, f"{ROOT}/ukg"]))
def test_case_1_6_3_whatever_a_303_names_the_token_stays_with_its_host(named: str, root: str) -> None:
    provider = account(base_url=root, token="t")
    outcome = provider.parse(PARAMS, answer(303, **{"content-location": named}))
    assert isinstance(outcome, Ask)
    parts = urlsplit(outcome.request.url)
    assert (parts.scheme, parts.hostname, parts.port or 443) == ("https", "acme.prd.mykronos.com", 443)
    assert outcome.request.url != provider.request(PARAMS).url
