"""The request that Chime is sent, against golden vectors and against botocore's own client for the same call."""

from datetime import UTC, datetime
from pathlib import Path

import botocore.session
import pytest
import time_machine
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from pydantic import BaseModel

from watcher.core.model import Json
from watcher.core.wire import Request
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


class Vector(BaseModel):
    name: str
    url: str
    access_key: str
    secret_key: str
    session_token: str | None
    region: str
    amz_date: str
    chime_bearer: str
    canonical_request: str
    string_to_sign: str
    authorization: str


class Vectors(BaseModel):
    vectors: list[Vector]


GOLDEN = Vectors.model_validate_json((Path(__file__).parents[1] / "vectors" / "chime_sigv4.json").read_bytes()).vectors


def account(**section: Json) -> Chime:
    return Chime.model_validate({**SECTION, **section})


def signed(provider: Chime, params: dict[str, Json]) -> Request:
    provider.check(params)
    return provider.authorize(provider.request(params), None, now=NOW, nonce="")


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: vector.name)
def test_a_signed_request_is_the_golden_one_byte_for_byte(vector: Vector, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    canonical_request, string_to_sign = SigV4Auth.canonical_request, SigV4Auth.string_to_sign

    def canonical(self: SigV4Auth, request: AWSRequest) -> str:
        steps.append(canonical_request(self, request))
        return steps[-1]

    def to_sign(self: SigV4Auth, request: AWSRequest, canonical: str) -> str:
        steps.append(string_to_sign(self, request, canonical))
        return steps[-1]

    monkeypatch.setattr(SigV4Auth, "canonical_request", canonical)
    monkeypatch.setattr(SigV4Auth, "string_to_sign", to_sign)
    keys = {"access_key_id": vector.access_key, "secret_access_key": vector.secret_key}
    session: dict[str, str] = {"session_token": vector.session_token} if vector.session_token else {}
    provider = Chime.model_validate({"region": vector.region, "bearer": vector.chime_bearer, **keys, **session})
    sub_channel: dict[str, Json] = {"sub_channel_id": "sub-42"} if "sub-channel-id" in vector.url else {}

    request = signed(provider, {**PARAMS, **sub_channel})

    assert steps == [vector.canonical_request, vector.string_to_sign]
    assert request == Request(
        "GET",
        vector.url,
        {
            "x-amz-chime-bearer": vector.chime_bearer,
            "X-Amz-Date": vector.amz_date,
            **({"X-Amz-Security-Token": vector.session_token} if vector.session_token else {}),
            "Authorization": vector.authorization,
        },
    )


def botocores(operation: str, params: dict[str, Json], *, session_token: str | None = None) -> Request:
    """Let botocore's own client make the same call, and stop it as it would send."""
    sent: list[Request] = []

    def stop(request: AWSRequest, **_: object) -> None:
        written: list[tuple[str, str | bytes]] = [*request.headers.items()]
        headers = {name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in written}
        sent.append(Request(str(request.method), str(request.url), headers))
        raise InterruptedError

    client = botocore.session.Session().create_client(
        "chime-sdk-messaging",
        region_name="us-east-1",
        aws_access_key_id=str(KEYS["access_key_id"]),
        aws_secret_access_key=str(KEYS["secret_access_key"]),
        aws_session_token=session_token,
    )
    client.meta.events.register("before-send", stop)
    with pytest.raises(InterruptedError), time_machine.travel(NOW, tick=False):
        getattr(client, operation)(**params)
    return sent[0]


@pytest.mark.parametrize("session_token", [None, "SESSIONTOKEN/EXAMPLE=="])
@pytest.mark.parametrize("sub_channel", [None, "sub-42"])
@pytest.mark.parametrize("channel", [CHANNEL, f"{INSTANCE}/channel/~a b+c%2F@:é=&?#!*'()"])
def test_botocores_own_client_makes_the_same_request(
    channel: str, sub_channel: str | None, session_token: str | None
) -> None:
    ours = signed(
        account(session_token=session_token), {**PARAMS, "channel_arn": channel, "sub_channel_id": sub_channel}
    )
    theirs = botocores(
        "get_channel_message_status",
        {
            "ChannelArn": channel,
            "MessageId": "msg-0001_abc",
            "ChimeBearer": ALICE,
            **({"SubChannelId": sub_channel} if sub_channel else {}),
        },
        session_token=session_token,
    )
    mine = {name.lower(): value for name, value in ours.headers.items()}
    assert (ours.method, ours.url) == (theirs.method, theirs.url)
    assert mine == {name: theirs.headers[name] for name in mine}
    assert set(theirs.headers) - set(mine) <= {"user-agent", "amz-sdk-invocation-id", "amz-sdk-request"}
