"""The keys of the AWS chain are tokens like others: resolved anew in time, and what is wrong with them is said."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from granting import World
from scripted import NOON

from watcher.core.model import Reason
from watcher.core.outcome import Broken, Denied, Grant
from watcher.ports import Provider
from watcher.providers.chime import Chime
from watcher.tokens import LONGEST_WAIT

HANGS = Broken(Reason.UNREACHABLE, detail="AWS credentials: no answer in time")


class Chain:
    """What botocore's chain finds, one after the other; the last for ever."""

    def __init__(self, *found: object) -> None:
        self.found = list(found)
        self.asked = 0

    def get_credentials(self) -> object:
        self.asked += 1
        found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if isinstance(found, Exception):
            raise found
        return found and SimpleNamespace(get_frozen_credentials=lambda: found)


def keys(access: str, token: str | None = None) -> object:
    return SimpleNamespace(access_key=access, secret_key="secret", token=token)


def chime() -> Provider:
    return Chime.model_validate({"region": "us-east-1", "timeout": "200ms"})


async def test_the_keys_of_the_aws_chain_are_resolved_anew_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(keys("first"), keys("second", "session"))
    monkeypatch.setattr("botocore.session.get_session", lambda: chain)
    world = World(provider=chime())

    first = await world.grant()
    assert await world.grant() is first
    world.clock.advance(300)
    second = await world.grant()

    assert first == Grant({"access_key_id": "first", "secret_access_key": "secret"}, NOON + timedelta(minutes=5))
    assert second.values == {"access_key_id": "second", "secret_access_key": "secret", "session_token": "session"}
    assert chain.asked == 2


@pytest.mark.parametrize(
    ("found", "refusal"),
    [
        (None, Denied(401, "no AWS credentials: set keys, or an instance role, or ~/.aws")),
        (
            EndpointConnectionError(endpoint_url="http://169.254.169.254?secret"),
            Broken(Reason.UNREACHABLE, detail="AWS credentials: EndpointConnectionError"),
        ),
        (
            ClientError({"Error": {"Code": "AccessDenied", "Message": "arn:secret"}}, "AssumeRole"),
            Denied(403, "AWS credentials: AccessDenied"),
        ),
    ],
)
async def test_an_aws_chain_without_keys_says_why(
    found: object, refusal: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain(found)
    monkeypatch.setattr("botocore.session.get_session", lambda: chain)
    world = World(provider=chime())
    assert [await world.tokens.grant(), await world.tokens.grant()] == [refusal] * 2
    assert chain.asked == 1


class Hanging(Chain):
    """A chain that hangs each time until it is let go, such as a `credential_process`, or a home on a dead NFS."""

    def __init__(self, *found: object) -> None:
        super().__init__(*found)
        self.let_go = threading.Event()

    def get_credentials(self) -> object:
        found = super().get_credentials()
        assert self.let_go.wait(20)
        return found


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    chain = Hanging(keys("late"), keys("later"))
    monkeypatch.setattr("botocore.session.get_session", lambda: chain)
    yield chain
    chain.let_go.set()


async def test_an_aws_chain_that_hangs_takes_one_thread_however_often_it_is_tried(hanging: Hanging) -> None:
    world = World(provider=chime())
    for _ in range(5):
        assert await world.tokens.grant() == HANGS
        world.clock.advance(LONGEST_WAIT)
    assert hanging.asked == 1


async def test_where_an_aws_chain_hangs_for_ever_another_one_is_asked_in_the_end(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.tokens.CHAIN_MAY_LAST", 0.0)
    world = World(provider=chime())
    assert await world.tokens.grant() == HANGS
    world.clock.advance(LONGEST_WAIT)
    assert await world.tokens.grant() == HANGS
    assert hanging.asked == 2


async def test_without_a_thread_left_an_aws_chain_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.Thread.start", Mock(side_effect=RuntimeError))
    why = "AWS credentials: Resource temporarily unavailable"
    assert await World(provider=chime()).tokens.grant() == Broken(Reason.UNREACHABLE, detail=why)


async def test_what_an_aws_chain_found_too_late_is_taken_by_the_next_try(hanging: Hanging) -> None:
    world = World(provider=chime())
    assert await world.tokens.grant() == HANGS
    hanging.let_go.set()
    world.clock.advance(LONGEST_WAIT)
    first = await world.grant()
    world.clock.advance(300)
    second = await world.grant()
    assert [one.values["access_key_id"] for one in (first, second)] == ["late", "later"]


async def test_an_aws_chain_that_fails_by_surprise_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(RecursionError("a profile that names itself"), keys("first"))
    monkeypatch.setattr("botocore.session.get_session", lambda: chain)
    world = World(provider=chime())
    with pytest.raises(RecursionError):
        await world.tokens.grant()
    assert (await world.grant()).values["access_key_id"] == "first"
