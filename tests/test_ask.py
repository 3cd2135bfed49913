from hashlib import blake2b

import orjson
import pytest
from aioresponses import aioresponses
from pydantic import PrivateAttr
from scripted import NOON, FakeClock, FakeTransport, answered

from watcher.ask import MOST_REQUESTS, Answered, Asker, Unchanged, broken
from watcher.core.model import Message, Observation, Params, Reason, State
from watcher.core.outcome import Ask, Broken, Denied, Missing, Outcome, Refused, Seen, Throttled
from watcher.core.wire import Fault, NoAnswer, Request, Response
from watcher.providers.d7 import D7
from watcher.providers.ukg import Ukg
from watcher.transport import open_transport

PARAMS = {"request_id": "r"}
LOG = "GET https://d7.example/report/v1/message-log/r"
LOGIN = "POST https://d7.example/auth/v1/login/application"
SENT = orjson.dumps({"request_id": "r", "total_recipients": 1, "messages": [{"msg_id": "m", "status": "sent"}]})
SEEN = Seen(
    Observation(None, None, messages=(Message("m", "sent", State.IN_PROGRESS),), total=1),
)
DIGEST = blake2b(SENT, digest_size=16).digest()


class Counting(D7):
    """D7 that remembers what it has read, and may ask for ever."""

    _read: list[int] = PrivateAttr(default_factory=list)
    endless: bool = False

    @property
    def read(self) -> int:
        return len(self._read)

    def parse(self, params: Params, response: Response, *, after: Ask | None = None) -> Outcome:
        self._read.append(response.status)
        if self.endless:
            return Ask(Request("GET", f"https://d7.example/{len(self._read)}"))
        return super().parse(params, response, after=after)


class World:
    """One account that is asked, by way of a script."""

    def __init__(self, *script: Response | NoAnswer, **section: object) -> None:
        keys = section or {"token": "t"}
        self.provider = Counting.model_validate({"base_url": "https://d7.example", **keys})
        self.clock = FakeClock()
        self.transport = FakeTransport(list(script))
        self.asker = Asker(self.provider, transport=self.transport, clock=self.clock)

    async def poll(self, *, digest: bytes | None = None) -> Answered | Unchanged:
        return await self.asker.poll(PARAMS, digest=digest)


APPLICATION = {"client_id": "id", "client_secret": "shh"}


def granted(token: str) -> Response:
    return answered(200, orjson.dumps({"access_token": token}))


async def test_the_same_body_again_is_unchanged_and_not_read() -> None:
    world = World(answered(200, SENT), answered(200, SENT), answered(200, SENT + b" "))
    assert await world.poll() == Answered(SEEN, DIGEST)
    assert await world.poll(digest=DIGEST) == Unchanged()
    assert world.provider.read == 1
    assert await world.poll(digest=DIGEST) == Answered(SEEN, blake2b(SENT + b" ", digest_size=16).digest())
    assert world.provider.read == 2


async def test_without_a_digest_the_same_body_is_read() -> None:
    world = World(answered(200, SENT), answered(200, SENT))
    assert [await world.poll(), await world.poll()] == [Answered(SEEN, DIGEST)] * 2
    assert world.provider.read == 2


@pytest.mark.parametrize("answer", [answered(404, SENT), answered(500, SENT), answered(202, SENT)])
async def test_only_a_200_can_be_unchanged(answer: Response) -> None:
    world = World(answer)
    polled = await world.poll(digest=DIGEST)
    assert isinstance(polled, Answered)
    assert polled.digest is None
    assert world.provider.read == 1


async def test_an_answer_with_retry_after_is_read_each_time() -> None:
    world = World(answered(200, SENT, retry_after="30"))
    polled = await world.poll(digest=DIGEST)
    assert isinstance(polled, Answered)
    assert (polled.digest, world.provider.read) == (None, 1)


async def test_a_200_that_means_nothing_has_no_digest() -> None:
    world = World(answered(200, b"[]"))
    polled = await world.poll()
    assert isinstance(polled, Answered)
    assert isinstance(polled.outcome, Broken)
    assert polled.digest is None


async def test_an_answer_to_a_further_request_is_read_even_if_its_body_is_known() -> None:
    body = b'[{"status": "SUCCESSFUL"}]'
    transport = FakeTransport([answered(303), answered(200, body)])
    provider = Ukg.model_validate({"base_url": "https://ukg.example", "token": "t"})
    asker = Asker(provider, transport=transport, clock=FakeClock())

    polled = await asker.poll({"id": "7"}, digest=blake2b(body, digest_size=16).digest())

    assert isinstance(polled, Answered)
    assert isinstance(polled.outcome, Seen)
    assert (polled.outcome.observation.state, polled.digest) == (State.SUCCEEDED, None)
    assert len(transport.history) == 2


async def test_requests_carry_their_credentials_and_end_in_the_sections_time_all_together() -> None:
    world = World(granted("one"), answered(401), granted("two"), answered(200, SENT), **APPLICATION, timeout="9s")
    assert await world.poll() == Answered(SEEN, DIGEST)

    assert world.transport.asked == [LOGIN, LOG, LOGIN, LOG]
    asked = [request.headers.get("Authorization") for request in world.transport.history]
    assert asked == [None, "Bearer one", None, "Bearer two"]
    assert [within.total_seconds() for within in world.transport.within] == [9, 9, 9, 9]


async def test_what_one_request_took_the_next_has_not() -> None:
    world = World(*[answered(200)] * MOST_REQUESTS, token="t", endless=True, timeout="11s")
    world.transport.takes = lambda: world.clock.advance(2)
    await world.poll()
    assert [within.total_seconds() for within in world.transport.within] == [11, 9, 7, 5, 3, 1]


async def test_a_401_with_a_fresh_token_too_is_denied_and_renews_nothing_for_a_while() -> None:
    script = [granted("one"), answered(401), granted("two"), answered(401), answered(401), answered(200, SENT)]
    world = World(*script, **APPLICATION)
    denied = Answered(Denied(401, renewable=True))

    assert [await world.poll(), await world.poll()] == [denied, denied]
    assert world.transport.asked == [LOGIN, LOG, LOGIN, LOG, LOG]
    assert await world.poll() == Answered(SEEN, DIGEST)


async def test_a_401_of_a_token_of_our_own_is_denied_at_once() -> None:
    world = World(answered(401))
    assert await world.poll() == Answered(Denied(401, renewable=True))
    assert world.transport.asked == [LOG]


async def test_a_403_renews_nothing() -> None:
    world = World(granted("one"), answered(403), **APPLICATION)
    assert await world.poll() == Answered(Denied(403))
    assert world.transport.asked == [LOGIN, LOG]


async def test_without_a_grant_nothing_is_asked() -> None:
    world = World(answered(403), **APPLICATION)
    assert [await world.poll(), await world.poll()] == [Answered(Denied(403))] * 2
    assert world.transport.asked == [LOGIN]


async def test_a_renewal_that_fails_is_the_answer() -> None:
    world = World(granted("one"), answered(401), answered(500), **APPLICATION)
    assert await world.poll() == Answered(Broken(Reason.SERVER_ERROR, 500))


async def test_a_provider_that_asks_for_ever_is_stopped() -> None:
    world = World(*[answered(200)] * (MOST_REQUESTS + 1), token="t", endless=True)
    assert await world.poll() == Answered(Broken(Reason.MALFORMED, detail="each answer asks for one more request"))
    assert len(world.transport.history) == MOST_REQUESTS


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (answered(404), Missing()),
        (answered(429), Throttled(429)),
        (answered(302, location="https://elsewhere.example"), Refused(302)),
        (answered(200, b"{"), Broken(Reason.MALFORMED, 200, "expected JSON")),
    ],
)
async def test_whatever_the_answer_means_is_returned(answer: Response, outcome: object) -> None:
    assert await World(answer).poll() == Answered(outcome)  # type: ignore[arg-type]  # each is an outcome


@pytest.mark.parametrize("fault", Fault)
async def test_no_answer_is_broken(fault: Fault) -> None:
    polled = await World(NoAnswer(fault, "why")).poll(digest=DIGEST)
    reason = Reason.MALFORMED if fault in {Fault.TOO_LARGE, Fault.GARBAGE} else Reason.UNREACHABLE
    assert polled == Answered(Broken(reason, None, "why", fault))
    assert broken(NoAnswer(fault, "why")) == Broken(reason, None, "why", fault)


async def test_over_aiohttp_a_token_that_has_run_out_is_renewed_once(responses: aioresponses) -> None:
    login, log = LOGIN.removeprefix("POST "), LOG.removeprefix("GET ")
    responses.post(login, payload={"access_token": "one", "expires_in": 3600})
    responses.get(log, status=401)
    responses.post(login, payload={"access_token": "two", "expires_in": 3600})
    responses.get(log, body=SENT)
    provider = D7.model_validate({"base_url": "https://d7.example", **APPLICATION})
    async with open_transport() as transport:
        polled = await Asker(provider, transport=transport, clock=FakeClock(NOON)).poll(PARAMS, digest=None)

    assert polled == Answered(SEEN, DIGEST)
    sent = [
        call.kwargs["headers"]["Authorization"]
        for (_, url), calls in responses.requests.items()
        for call in calls
        if str(url) == log
    ]
    assert sent == ["Bearer one", "Bearer two"]
