"""Whose clock counts where credentials tell the time: the account's own, as soon as it denies ours."""

from dataclasses import replace
from datetime import datetime
from hashlib import blake2b

import anyio
import jwt
import orjson
import pytest
from scripted import NOON, FakeClock, FakeTransport, answered

from watcher.ask import Answered, Asker, Polled
from watcher.core.model import Message, Observation, State
from watcher.core.outcome import Denied, Grant, Missing, Seen
from watcher.core.wire import Request, Response
from watcher.providers.chime import Chime
from watcher.providers.d7 import D7
from watcher.providers.kore import Kore

LOG = "GET https://d7.example/report/v1/message-log/r"
LOGIN = "POST https://d7.example/auth/v1/login/application"
SENT = orjson.dumps({"request_id": "r", "total_recipients": 1, "messages": [{"msg_id": "m", "status": "sent"}]})
SEEN = Answered(
    Seen(Observation(None, None, messages=(Message("m", "sent", State.IN_PROGRESS),), total=1)),
    blake2b(SENT, digest_size=16).digest(),
)
APPLICATION = {"client_id": "id", "client_secret": "shh"}
ARN = "arn:aws:chime:us-east-1:123456789012:app-instance/a/user/u"
CHIME = Chime.model_validate({"region": "us-east-1", "bearer": ARN, "access_key_id": "AKID", "secret_access_key": "s"})
KORE = Kore.model_validate({"client_id": "cs-1", "client_secret": "s" * 32, "bot_id": "st-1"})


class Clocked(D7):
    """D7 that tells what time it signed at."""

    def authorize(self, request: Request, grant: Grant | None, *, now: datetime, nonce: str) -> Request:
        authorized = super().authorize(request, grant, now=now, nonce=nonce)
        return replace(authorized, headers={**authorized.headers, "signed-at": f"{now:%H:%M:%S}"})


class Account:
    """One account that is asked, by way of a script."""

    def __init__(self, *script: Response, **section: str) -> None:
        provider = Clocked.model_validate({"base_url": "https://d7.example", **(section or {"token": "t"})})
        self.clock = FakeClock()
        self.transport = FakeTransport(list(script))
        self.asker = Asker(provider, transport=self.transport, clock=self.clock)

    async def poll(self) -> Polled:
        return await self.asker.poll({"request_id": "r"}, digest=None)


def at(time: str, status: int = 403, body: bytes = b"") -> Response:
    return answered(status, body, date=f"Mon, 23 Nov 2026 {time} GMT")


def granted(token: str) -> Response:
    return answered(200, orjson.dumps({"access_token": token}))


def signed(account: Account) -> list[str]:
    return [request.headers["signed-at"] for request in account.transport.history if "signed-at" in request.headers]


async def test_denied_for_a_wrong_clock_it_asks_once_more_by_the_other_sides_and_goes_on_so() -> None:
    account = Account(at("12:07:00"), at("12:07:00", 200, SENT), at("12:07:30", 200, SENT))
    assert await account.poll() == SEEN
    account.clock.advance(30)
    assert await account.poll() == SEEN
    assert signed(account) == ["12:00:00", "12:07:00", "12:07:30"]


async def test_a_clock_that_was_put_right_is_followed_again() -> None:
    account = Account(at("11:50:00"), at("11:50:00", 200, SENT), at("12:00:00"), at("12:00:00", 200, SENT))
    assert [await account.poll(), await account.poll()] == [SEEN] * 2
    assert signed(account) == ["12:00:00", "11:50:00", "11:50:00", "12:00:00"]


@pytest.mark.parametrize("time", ["11:59:00", "12:00:59", "12:01:00"])
async def test_a_clock_that_is_off_by_a_minute_at_most_is_right(time: str) -> None:
    account = Account(at(time))
    assert await account.poll() == Answered(Denied(403))


async def test_denied_at_the_right_time_too_is_denied() -> None:
    account = Account(at("13:00:00"), at("13:00:00"), at("13:00:00"))
    assert [await account.poll(), await account.poll()] == [Answered(Denied(403))] * 2
    assert signed(account) == ["12:00:00", "13:00:00", "13:00:00"]


async def test_a_clock_that_says_something_else_each_time_is_followed_once_a_poll() -> None:
    account = Account(at("13:00:00"), at("15:00:00"), at("17:00:00"))
    assert await account.poll() == Answered(Denied(403))
    assert signed(account) == ["12:00:00", "13:00:00"]


@pytest.mark.parametrize("date", ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "soon", ""])
async def test_what_is_no_clock_is_not_followed(date: str) -> None:
    account = Account(answered(403, date=date))
    assert await account.poll() == Answered(Denied(403))
    assert signed(account) == ["12:00:00"]


async def test_only_who_was_denied_looks_at_the_clock() -> None:
    account = Account(at("13:00:00", 404), at("13:00:00", 200, SENT))
    assert [await account.poll(), await account.poll()] == [Answered(Missing()), SEEN]
    assert signed(account) == ["12:00:00"] * 2


async def test_polls_that_were_in_flight_with_the_wrong_time_are_asked_again_too() -> None:
    account = Account(at("13:00:00"), at("13:00:00"), *[at("13:00:00", 200, SENT)] * 2)
    polled: list[Polled] = []

    async def poll() -> None:
        polled.append(await account.poll())

    account.transport.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(poll)
        tasks.start_soon(poll)
        await anyio.wait_all_tasks_blocked()
        account.transport.gate.set()
    assert polled == [SEEN] * 2
    assert signed(account) == ["12:00:00"] * 2 + ["13:00:00"] * 2


async def test_a_wrong_clock_and_an_old_token_are_both_mended_in_one_poll() -> None:
    account = Account(
        granted("one"), at("13:00:00", 401), at("13:00:00", 401), granted("two"), answered(200, SENT), **APPLICATION
    )
    assert await account.poll() == SEEN
    assert account.transport.asked == [LOGIN, LOG, LOG, LOGIN, LOG]


@pytest.mark.parametrize(
    "error", ["RequestTimeTooSkewed", "RequestExpired", "InvalidSignature", "SignatureDoesNotMatch"]
)
async def test_3_4_9_chime_is_signed_by_the_time_that_aws_says(error: str) -> None:
    skewed = answered(403, b"{}", x_amzn_errortype=f"{error}Exception", date="Mon, 23 Nov 2026 12:10:00 GMT")
    transport = FakeTransport([skewed, answered(200, b'{"Status": {"Value": "SENT"}}')])
    asker = Asker(CHIME, transport=transport, clock=FakeClock())

    polled = await asker.poll({"channel_arn": ARN.replace("user", "channel"), "message_id": "m"}, digest=None)

    assert isinstance(polled, Answered)
    assert isinstance(polled.outcome, Seen)
    dates = [request.headers["X-Amz-Date"] for request in transport.history]
    assert dates == ["20261123T120000Z", "20261123T121000Z"]


async def test_kores_token_is_minted_by_the_time_that_kore_says() -> None:
    late = answered(401, date="Mon, 23 Nov 2026 12:10:00 GMT")
    transport = FakeTransport([late, answered(200, b'{"status": "QUEUED"}')])

    polled = await Asker(KORE, transport=transport, clock=FakeClock()).poll({"request_id": "r"}, digest=None)

    assert isinstance(polled, Answered)
    assert isinstance(polled.outcome, Seen)
    claims = [jwt.decode(one.headers["auth"], options={"verify_signature": False}) for one in transport.history]
    assert [claim["iat"] - NOON.timestamp() for claim in claims] == [-60, 540]
