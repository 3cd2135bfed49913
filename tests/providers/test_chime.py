"""What Chime's recorded answers cannot show: the section, the signed request, and that botocore makes the same one."""

from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from unittest.mock import patch
from urllib.parse import urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from watcher.core.errors import RequestError
from watcher.core.model import Json
from watcher.core.outcome import Denied, Grant
from watcher.core.schedule import Pace
from watcher.core.wire import Request, Response
from watcher.ports import AwsChain, Provider
from watcher.providers.chime import Chime

NOW = datetime(2026, 1, 2, 3, 4, 5, 999999, tzinfo=UTC)
INSTANCE = "arn:aws:chime:us-east-1:123456789012:app-instance/aaaa1111-bb22-cc33-dd44-eeee5555ffff"
ALICE = f"{INSTANCE}/user/alice@example.com"
CHANNEL = f"{INSTANCE}/channel/99998888-7777-6666-5555-444433332222"
PARAMS: dict[str, Json] = {"channel_arn": CHANNEL, "message_id": "msg-0001_abc"}
KEYS: dict[str, Json] = {
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}
SECTION: dict[str, Json] = {"region": "us-east-1", "bearer": ALICE, **KEYS}


def account(**section: Json) -> Chime:
    return Chime.model_validate({**SECTION, **section})


def signed(provider: Chime, params: dict[str, Json], *, grant: Grant | None = None) -> Request:
    provider.check(params)
    return provider.authorize(provider.request(params), grant, now=NOW, nonce="")


# --- the section ----------------------------------------------------------------------------------------------


def test_a_section_is_a_provider_with_chimes_defaults() -> None:
    provider: Provider = Chime.model_validate({"region": "us-east-1"})
    assert provider.type == "chime"
    assert (provider.rate, provider.burst, provider.concurrency) == (5, 5, 16)
    assert (provider.timeout, provider.grace) == (timedelta(seconds=15), timedelta(seconds=60))
    assert (provider.deadline, provider.trouble_after) == (timedelta(hours=49), timedelta(minutes=5))
    assert provider.poll == Pace(min=timedelta(seconds=1), max=timedelta(minutes=5), mode="backoff")


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_case_3_4_12_the_host_is_the_messaging_one_of_the_region(region: str) -> None:
    assert Chime.model_validate({"region": region}).base_url == f"https://messaging-chime.{region}.amazonaws.com"


def test_another_host_can_be_named() -> None:
    fips = "https://messaging-chime-fips.us-east-1.amazonaws.com"
    assert account(base_url=f"{fips}/").base_url == fips


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({}, "Field required"),
        ({"region": "eu-west-1"}, "Input should be 'us-east-1' or 'eu-central-1'"),
        ({"region": "us-east-1", "bearer": "alice"}, "should match pattern"),
        ({"region": "us-east-1", "bearer": f"{ALICE}\r\nx: y"}, "should match pattern"),
        ({"region": "us-east-1", "bearer": f"{INSTANCE}/user/ålice"}, "expected visible ASCII characters only"),
        (
            {"region": "us-east-1", "access_key_id": "A"},
            "expected both access_key_id and secret_access_key, or neither",
        ),
        ({"region": "us-east-1", "secret_access_key": "s"}, "expected both access_key_id and secret_access_key"),
        ({"region": "us-east-1", "session_token": "s"}, "expected access_key_id and secret_access_key beside"),
        ({"region": "us-east-1", "token": "t"}, "Extra inputs are not permitted"),
        ([], "valid dictionary"),
    ],
)
def test_a_section_that_cannot_work_is_refused(section: object, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Chime.model_validate(section)
    assert problem in str(caught.value)
    assert caught.value.error_count() == 1


def test_without_botocore_the_section_says_what_to_install() -> None:
    with (
        patch("watcher.providers.chime.find_spec", lambda name: None if name == "botocore" else find_spec(name)),
        pytest.raises(ValidationError, match=r'pip install "watcher\[aws\]"'),
    ):
        account()


def test_no_secret_is_in_a_repr() -> None:
    shown = repr(account(session_token="session-token")) + repr(signed(account(session_token="session-token"), PARAMS))
    assert "wJalrXUt" not in shown
    assert "session-token" not in shown


# --- params ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        PARAMS,
        {**PARAMS, "sub_channel_id": "sub-42"},
        {**PARAMS, "sub_channel_id": None, "bearer": None},
        {**PARAMS, "bearer": f"{INSTANCE}/bot/b"},
        {**PARAMS, "message_id": "m" * 128},
        {**PARAMS, "channel_arn": f"{CHANNEL} ü"},
    ],
)
def test_params_that_name_a_message_are_accepted(params: dict[str, Json]) -> None:
    account().check(params)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "params: channel_arn: expected, and missing; message_id: expected, and missing"),
        ({**PARAMS, "message_id": "a/b"}, "params: message_id: expected a string that matches "),
        ({**PARAMS, "message_id": ""}, "params: message_id: expected a string that matches "),
        ({**PARAMS, "message_id": "m\n"}, "params: message_id: expected a string that matches "),
        ({**PARAMS, "message_id": "m" * 129}, "params: message_id: expected a string that matches "),
        ({**PARAMS, "message_id": 7}, "params: message_id: expected a string, got a number"),
        ({**PARAMS, "sub_channel_id": "a?b"}, "params: sub_channel_id: expected a string that matches "),
        ({**PARAMS, "channel_arn": "general"}, "params: channel_arn: expected a string that matches "),
        (
            {**PARAMS, "channel_arn": "arn:aws:chime:us-east-1:1:/x"},
            "params: channel_arn: expected a string that matches ",
        ),
        ({**PARAMS, "channel_arn": CHANNEL + "c" * 1600}, "params: channel_arn: expected at most 1600 characters"),
        ({**PARAMS, "bearer": "alice"}, "params: bearer: expected a string that matches "),
        ({**PARAMS, "bearer": f"{ALICE} x"}, "params: bearer: expected visible ASCII characters only"),
        ({**PARAMS, "channel": CHANNEL}, "params: channel: unknown; expected one of bearer, channel_arn, "),
    ],
)
def test_params_that_name_none_are_refused_with_their_key(params: dict[str, Json], problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        account().check(params)
    assert str(caught.value).startswith(problem)


def test_case_3_4_8_a_channel_of_another_region_is_refused() -> None:
    with pytest.raises(
        RequestError, match=r"^params: channel_arn: expected a channel in eu-central-1, got one in 'us-"
    ):
        account(region="eu-central-1").check(PARAMS)


def test_a_bearer_must_stand_in_the_params_or_in_the_section() -> None:
    without = Chime.model_validate({"region": "us-east-1"})
    with pytest.raises(RequestError, match=r"^params: bearer: expected the sender's ARN, here or in the provider's"):
        without.check(PARAMS)
    without.check({**PARAMS, "bearer": ALICE})


# --- the request ----------------------------------------------------------------------------------------------


def test_the_bearer_of_the_params_goes_before_the_sections() -> None:
    bob = f"{INSTANCE}/user/bob"
    assert account().request({**PARAMS, "bearer": bob}).headers == {"x-amz-chime-bearer": bob}
    assert account().request(PARAMS).headers == {"x-amz-chime-bearer": ALICE}


@given(st.from_regex(r"arn:aws:chime:us-east-1:[0-9]{12}:[^/\n][^\n]{0,40}", fullmatch=True))
def test_any_channel_that_is_accepted_is_one_segment_of_the_path(channel: str) -> None:
    provider, params = account(), {**PARAMS, "channel_arn": channel}
    provider.check(params)
    parts = urlsplit(provider.request(params).url)
    assert parts.path.split("/")[1::2] == ["channels", "messages"]
    assert (len(parts.path.split("/")), parts.query, parts.path.isascii()) == (5, "scope=message-status", True)


# --- credentials ----------------------------------------------------------------------------------------------


def test_without_keys_the_credential_chain_is_asked_and_its_grant_signs() -> None:
    chain, own = Chime.model_validate({"region": "us-east-1", "bearer": ALICE}), account(session_token="token")
    grant = Grant({**{name: str(key) for name, key in KEYS.items()}, "session_token": "token"})
    assert chain.login(None) == AwsChain()
    assert chain.login(grant) == AwsChain()
    assert own.login(None) is None
    assert signed(chain, PARAMS, grant=grant) == signed(own, PARAMS)


def test_no_answer_grants_anything() -> None:
    assert account().granted(Response(200, {}, b"{}", NOW)) == Denied(200)


def test_another_moment_makes_another_signature() -> None:
    request = account().request(PARAMS)
    first = account().authorize(request, None, now=NOW, nonce="")
    later = account().authorize(request, None, now=NOW + timedelta(seconds=1), nonce="")
    assert first.headers["Authorization"] != later.headers["Authorization"]
    assert later.headers["X-Amz-Date"] == "20260102T030406Z"


# --- any answer -----------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["Status", "Value", "Detail", "Code", "__type", "x"]), inner)
    ),
)


@given(st.integers(100, 599), st.binary() | JSON.map(orjson.dumps), st.text(max_size=20))
def test_any_bytes_give_an_outcome(status: int, body: bytes, name: str) -> None:
    account().parse(PARAMS, Response(status, {"x-amzn-errortype": name, "retry-after": name}, body, NOW))
