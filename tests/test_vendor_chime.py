"""The pretend Chime answers botocore's own client, and refuses what AWS refuses."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from operator import methodcaller
from urllib.parse import quote

import anyio.to_thread
import botocore.session
import pytest
import pytest_asyncio
from asking import ask
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from watcher.core.model import Json
from watcher.demo.chime import Chime
from watcher.demo.vendors import Vendors


@pytest_asyncio.fixture
async def vendors() -> AsyncIterator[Vendors]:
    async with Vendors.start() as vendors:
        yield vendors


def chime_path(*, channel: str = Chime.channel_arn, safe: str = "-._~", query: str = "?scope=message-status") -> str:
    return f"/channels/{quote(channel, safe=safe)}/messages/m-1{query}"


def signed(url: str, *, bearer: str = Chime.bearer, secret: str = Chime.secret_access_key) -> dict[str, str]:
    request = AWSRequest("GET", url, headers={"x-amz-chime-bearer": bearer})
    SigV4Auth(Credentials(Chime.access_key_id, secret), "chime", Chime.region).add_auth(request)
    return dict(request.headers.items())


def amazon(vendors: Vendors) -> BaseClient:
    session = botocore.session.Session()
    session.set_credentials(Chime.access_key_id, Chime.secret_access_key)
    config = Config(retries={"max_attempts": 0, "mode": "standard"})
    return session.create_client("chime-sdk-messaging", Chime.region, endpoint_url=vendors.chime.url, config=config)


async def test_chime_takes_what_botocore_sends_and_answers_what_botocore_reads(vendors: Vendors) -> None:
    vendors.chime.script("m-1", [(0.0, {"Status": {"Value": "PENDING", "Detail": "soon"}})])
    client = await anyio.to_thread.run_sync(amazon, vendors)

    async def call(**changed: str) -> Mapping[str, Json]:
        asked = {"ChannelArn": Chime.channel_arn, "ChimeBearer": Chime.bearer, "MessageId": "m-1", **changed}
        answer: Mapping[str, Json] = await anyio.to_thread.run_sync(
            methodcaller("get_channel_message_status", **asked), client
        )
        return answer

    assert (await call())["Status"] == {"Value": "PENDING", "Detail": "soon"}
    with pytest.raises(ClientError, match="NotFoundException"):
        await call(MessageId="m-2")
    with pytest.raises(ClientError, match="ForbiddenException"):
        await call(ChimeBearer=Chime.bearer + "x")
    client.close()


async def chime_error(url: str, headers: Mapping[str, str]) -> tuple[int, str]:
    status, _, answered = await ask(url, headers)
    return status, answered.get("x-amzn-ErrorType", "")


async def test_chime_refuses_what_is_not_signed_as_it_is_sent(vendors: Vendors) -> None:
    vendors.chime.script("m-1", [(0.0, {})])
    url = vendors.chime.url + chime_path()
    right = signed(url)
    invalid = (403, "InvalidSignatureException")
    assert await chime_error(url, right) == (200, "")
    assert await chime_error(url, {}) == (403, "MissingAuthenticationTokenException")
    assert await chime_error(url, signed(url, secret="wrong")) == invalid
    assert await chime_error(url, {**right, "x-amz-chime-bearer": Chime.channel_arn}) == invalid
    assert await chime_error(f"{url}&sub-channel-id=s", right) == invalid
    without_bearer = {name: value for name, value in right.items() if name != "x-amz-chime-bearer"}
    assert await chime_error(url, without_bearer) == invalid
    unsigned_bearer = AWSRequest("GET", url)
    SigV4Auth(Credentials(Chime.access_key_id, Chime.secret_access_key), "chime", Chime.region).add_auth(
        unsigned_bearer
    )
    assert await chime_error(url, {**unsigned_bearer.headers, "x-amz-chime-bearer": Chime.bearer}) == invalid


async def test_chime_refuses_a_path_that_is_not_encoded_as_botocore_does(vendors: Vendors) -> None:
    vendors.chime.script("m-1", [(0.0, {})])
    url = vendors.chime.url + chime_path(safe="-._~:")
    assert await chime_error(url, signed(url)) == (403, "InvalidSignatureException")


async def test_chime_refuses_a_signature_of_another_time(vendors: Vendors, monkeypatch: pytest.MonkeyPatch) -> None:
    vendors.chime.script("m-1", [(0.0, {})])
    url = vendors.chime.url + chime_path()
    with monkeypatch.context() as patched:
        patched.setattr("botocore.auth.get_current_datetime", lambda **_: datetime(2020, 1, 1, tzinfo=UTC))
        old = signed(url)
    assert old["X-Amz-Date"] == "20200101T000000Z"
    assert await chime_error(url, old) == (403, "InvalidSignatureException")


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", chime_path(query=""), (400, "BadRequestException")),
        ("GET", chime_path(channel=Chime.channel_arn + "2"), (403, "ForbiddenException")),
        ("GET", chime_path().replace("m-1", "m-2"), (404, "NotFoundException")),
        ("POST", chime_path(), (404, "UnknownOperationException")),
        ("GET", "/channel/x", (404, "UnknownOperationException")),
    ],
)
async def test_chime_refuses_other_requests(vendors: Vendors, method: str, path: str, error: tuple[int, str]) -> None:
    vendors.chime.script("m-1", [(0.0, {})])
    url = vendors.chime.url + path
    status, _, headers = await ask(url, signed(url), method=method)
    assert (status, headers["x-amzn-ErrorType"]) == error
