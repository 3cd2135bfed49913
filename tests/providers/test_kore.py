"""What Kore's recorded answers cannot show: the section, the requests that are made, and the tokens that are minted."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from pydantic import ValidationError

from watcher.core.errors import RequestError
from watcher.core.model import Json
from watcher.core.outcome import Denied
from watcher.core.schedule import Pace
from watcher.core.wire import Request, Response
from watcher.ports import Provider
from watcher.providers.kore import Kore

NOW = datetime(2026, 11, 23, 7, 30, 0, 999999, tzinfo=UTC)
SECRET = "kore-client-secret-of-32-bytes-and-more"
APP: dict[str, Json] = {"client_id": "cs-1111", "client_secret": SECRET, "bot_id": "st-2222"}
PARAMS = {"request_id": "ds-1111"}
HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}


def account(**section: Json) -> Kore:
    return Kore.model_validate(section)


def minted(provider: Kore, *, nonce: str = "nonce", now: datetime = NOW) -> str:
    return provider.authorize(provider.request(PARAMS), None, now=now, nonce=nonce).headers["auth"]


# --- the section ----------------------------------------------------------------------------------------------


def test_a_section_is_a_provider_with_kores_defaults() -> None:
    provider: Provider = account(**APP)
    assert provider.type == "kore"
    assert (provider.rate, provider.burst, provider.concurrency) == (4.9, 10, 16)
    assert (provider.timeout, provider.grace) == (timedelta(seconds=15), timedelta(seconds=60))
    assert (provider.deadline, provider.trouble_after) == (timedelta(hours=24), timedelta(minutes=5))
    assert provider.poll == Pace(min=timedelta(seconds=2), max=timedelta(seconds=60), mode="backoff")


def test_the_default_rate_stays_below_both_of_their_windows() -> None:
    provider = account(**APP)
    assert provider.burst + provider.rate * 60 <= 600
    assert provider.burst + provider.rate * 3600 <= 18_000


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({}, 'expected either "token", or both "client_id" and "client_secret"'),
        ({"client_id": "cs-1"}, 'expected either "token", or both "client_id" and "client_secret"'),
        ({**APP, "token": "t"}, 'expected either "token", or both "client_id" and "client_secret"'),
        ({"token": "t", "jti": True}, 'expected "jti" only with "client_id" and "client_secret"'),
        ({**APP, "version": 3}, "less than or equal to 2"),
        ({**APP, "method": "PUT"}, "Input should be 'GET' or 'POST'"),
        ({**APP, "bot_id": ""}, "at least 1 character"),
    ],
)
def test_a_section_that_cannot_work_is_refused(section: dict[str, Json], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        account(**section)
    assert SECRET not in str(caught.value)


def test_secrets_are_in_no_repr() -> None:
    for provider in (account(**APP), account(token="kore-token")):
        request = provider.authorize(provider.request({**PARAMS, "bot_id": "st-3"}), None, now=NOW, nonce="n")
        shown = repr((provider, request))
        assert not any(secret in shown for secret in (SECRET, "kore-token", request.headers["auth"]))


# --- params and requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "params", "problem"),
    [
        (APP, {}, "params: request_id: expected, and missing"),
        (APP, {"request_id": ""}, "params: request_id: expected at least 1 character, got an empty string"),
        (APP, {**PARAMS, "botId": "st-1"}, "params: botId: unknown; expected one of bot_id, request_id"),
        ({"token": "t"}, PARAMS, "params: bot_id: expected one, here or in the provider's section"),
    ],
)
def test_params_that_name_no_job_are_refused_with_the_reason(
    section: dict[str, Json], params: dict[str, Json], problem: str
) -> None:
    with pytest.raises(RequestError) as caught:
        account(**section).check(params)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("section", "params", "request_"),
    [
        ({}, {}, Request("GET", "https://platform.kore.ai/api/public/bot/st-2222/notify/status/ds-1111", HEADERS)),
        (
            {"version": 2, "base_url": "https://bots.kore.ai/"},
            {},
            Request("GET", "https://bots.kore.ai/api/public/bot/st-2222/notifyV2/status/ds-1111", HEADERS),
        ),
        (
            {"method": "POST"},
            {"bot_id": "st-3333"},
            Request("POST", "https://platform.kore.ai/api/public/bot/st-3333/notify/status/ds-1111", HEADERS),
        ),
        (
            {},
            {"bot_id": "../x", "request_id": ".."},
            Request("GET", "https://platform.kore.ai/api/public/bot/..%2Fx/notify/status/%2E%2E", HEADERS),
        ),
    ],
)
def test_case_2_5_2_method_version_and_bot_are_as_configured(
    section: dict[str, Json], params: dict[str, Json], request_: Request
) -> None:
    provider = account(**APP | section)
    provider.check(PARAMS | params)
    assert provider.request(PARAMS | params) == request_


# --- tokens ---------------------------------------------------------------------------------------------------


def test_pyjwt_accepts_the_token_that_is_minted() -> None:
    token = minted(account(**APP))
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
    assert claims == {"sub": "cs-1111", "appId": "cs-1111", "iat": 1795418940, "exp": 1795419300}
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SECRET.upper(), algorithms=["HS256"])


@pytest.mark.parametrize("secret", ["s", "a secret of 31 bytes and no more", "ключ", "k" * 64, "k" * 65, "k" * 200])
def test_secrets_of_any_length_sign_as_they_are(secret: str) -> None:
    head, _, signature = minted(account(**APP | {"client_secret": secret})).rpartition(".")
    assert (
        signature
        == jwt.utils.base64url_encode(
            jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(head.encode(), secret.encode())
        ).decode()
    )


def test_case_2_5_10_with_jti_each_request_gets_a_token_of_its_own() -> None:
    provider = account(**APP | {"jti": True})
    tokens = [minted(provider, nonce=nonce) for nonce in ("one", "two")]
    claims = [jwt.decode(token, options={"verify_signature": False}) for token in tokens]
    assert [claim["jti"] for claim in claims] == ["one", "two"]


def test_a_given_token_is_sent_as_it_is() -> None:
    request = account(token="eyJ.given").authorize(Request("GET", "https://x", HEADERS), None, now=NOW, nonce="n")
    assert request == Request("GET", "https://x", {**HEADERS, "auth": "eyJ.given"})


def test_there_is_nothing_to_log_in_to() -> None:
    provider: Provider = account(**APP)
    assert provider.login(None) is None
    assert provider.granted(Response(200, {}, b"{}", NOW)) == Denied(200, "a minted token needs no login")
