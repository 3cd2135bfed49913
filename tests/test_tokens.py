"""The tokens of an account: one login for all who ask, renewed in time, and tried again in measure."""

from datetime import timedelta

import anyio
import pytest
from aioresponses import aioresponses
from granting import LOGIN, World, d7, login
from scripted import NOON, FakeClock, answered

from watcher.core.model import Reason
from watcher.core.outcome import Broken, Denied, Grant, Throttled
from watcher.core.wire import Fault, NoAnswer, Response
from watcher.ports import Provider
from watcher.providers.d7 import D7
from watcher.providers.ukg import Ukg
from watcher.tokens import Tokens
from watcher.transport import open_transport

DOWN = NoAnswer(Fault.CONNECTION, "refused")
OPENAM = {"type": "openam", "username": "u", "password": "p", "client_id": "c", "client_secret": "s"}


def ukg() -> Provider:
    return Ukg.model_validate({"base_url": "https://ukg.example", "auth": OPENAM})


async def test_an_account_with_a_token_of_its_own_needs_no_grant() -> None:
    world = World(provider=D7.model_validate({"token": "its-own"}))
    assert await world.tokens.grant() is None
    assert world.transport.asked == []


async def test_however_many_ask_at_once_one_login_is_made() -> None:
    world = World(login("first", expires_in=3600))
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(world.ask)

    assert world.seen == [Grant({"token": "first"}, NOON + timedelta(hours=1))] * 50
    assert world.transport.asked == [LOGIN]
    assert world.transport.within == [timedelta(seconds=15)]


@pytest.mark.parametrize(("lives", "renewed_after"), [(3600, 3540), (100, 90), (0, 5), (-50, 5)])
async def test_a_grant_is_renewed_before_it_expires_and_never_at_once(lives: int, renewed_after: float) -> None:
    expiring = Grant({"token": "first"}, NOON + timedelta(seconds=lives))
    world = World(login("first"), login("second"))
    world.tokens._keep(expiring)

    world.clock.advance(renewed_after - 0.1)
    assert await world.grant() is expiring
    world.clock.advance(0.2)
    assert (await world.grant()).values == {"token": "first"}
    assert world.transport.asked == [LOGIN]


async def test_a_grant_without_an_end_is_kept() -> None:
    world = World(login("for-ever"))
    first = await world.grant()
    world.clock.advance(86400 * 365)
    assert await world.grant() is first


async def test_a_wall_clock_that_is_set_back_keeps_no_grant_too_long() -> None:
    world = World(login("first", expires_in=3600), login("second", expires_in=3600))
    await world.grant()
    world.clock.advance(3550)
    world.clock.wall -= timedelta(days=1)
    assert (await world.grant()).values == {"token": "second"}


async def test_however_many_polls_saw_the_401_one_renewal_is_made() -> None:
    world = World(login("old"), login("new"))
    old = await world.grant()
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(lambda: world.ask(instead_of=old))

    assert world.seen == [Grant({"token": "new"})] * 50
    await world.ask(instead_of=old)  # a late one
    assert world.transport.asked == [LOGIN] * 2


async def test_a_grant_that_can_be_refreshed_is_and_once_that_is_refused_a_login_follows() -> None:
    tokens_of = [login("a", refresh_token="r1"), login("b", refresh_token="r2"), answered(401), login("c")]
    world = World(*tokens_of, provider=ukg())
    first = await world.grant()
    second = await world.grant(instead_of=first)
    third = await world.grant(instead_of=second)

    assert third == Grant({"token": "c"})
    kinds = [request.body.partition(b"&")[0] for request in world.transport.history]
    assert kinds == [b"grant_type=" + kind for kind in (b"password", b"refresh_token", b"refresh_token", b"password")]


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (answered(401), Denied(401)),
        (answered(429, retry_after="7"), Throttled(429, timedelta(seconds=7))),
        (answered(500), Broken(Reason.SERVER_ERROR, 500)),
        (answered(200, b"<html>"), Denied(200, "login: expected JSON")),
        (DOWN, Broken(Reason.UNREACHABLE, None, "login: refused", Fault.CONNECTION)),
    ],
)
async def test_a_login_that_fails_is_the_answer_until_its_wait_is_over(
    answer: Response | NoAnswer, refusal: object
) -> None:
    world = World(answer, login("at-last"))
    for _ in range(10):
        await world.ask()
        world.clock.advance(0.49)
    assert world.seen == [refusal] * 10
    assert world.transport.asked == [LOGIN]
    world.clock.advance(0.2)
    assert await world.grant() == Grant({"token": "at-last"})


async def test_the_waits_double_up_to_five_minutes_and_begin_anew_after_a_success() -> None:
    world = World(*[DOWN] * 9, login("at-last"), DOWN, DOWN)
    for wait in (5, 10, 20, 40, 80, 160, 300, 300, 300):
        await world.ask()
        asked = len(world.transport.asked)
        world.clock.advance(wait - 0.1)
        await world.ask()
        assert len(world.transport.asked) == asked
        world.clock.advance(0.2)

    grant = await world.grant()
    await world.ask(instead_of=grant)
    world.clock.advance(5.1)
    await world.ask(instead_of=grant)
    assert world.transport.asked == [LOGIN] * 12


async def test_what_is_held_is_not_asked_for_again_and_the_grant_stays_in_use() -> None:
    world = World(login("useless"), login("better"))
    useless = await world.grant()
    world.tokens.hold(Denied(401, renewable=True))

    assert await world.tokens.grant(instead_of=useless) == Denied(401, renewable=True)
    assert await world.tokens.grant() is useless
    world.clock.advance(5.1)
    assert await world.grant(instead_of=useless) == Grant({"token": "better"})


async def test_when_the_first_to_ask_is_cancelled_the_others_get_their_grant() -> None:
    world = World(login("first"))
    world.transport.gate = anyio.Event()
    async with anyio.create_task_group() as others:
        async with anyio.create_task_group() as first:
            first.start_soon(world.ask)
            await anyio.wait_all_tasks_blocked()
            others.start_soon(world.ask)
            others.start_soon(world.ask)
            await anyio.wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        world.transport.gate.set()

    assert world.seen == [Grant({"token": "first"})] * 2
    assert world.transport.asked == [LOGIN] * 2


async def test_a_grant_is_in_no_repr() -> None:
    world = World(login("canary-token", refresh_token="canary-refresh"), provider=ukg())
    assert "canary" not in repr(await world.grant())


async def test_over_aiohttp_a_refused_login_is_denied_and_then_one_is_granted(responses: aioresponses) -> None:
    url = LOGIN.removeprefix("POST ")
    responses.post(url, status=401, payload={"detail": {"code": "INVALID_CLIENT"}})
    responses.post(url, payload={"access_token": "granted", "expires_in": 3600})
    clock = FakeClock()
    async with open_transport() as transport:
        ours = Tokens(d7(), transport=transport, clock=clock)
        refused = await ours.grant()
        clock.advance(5.1)
        granted = await ours.grant()

    assert refused == Denied(401, "INVALID_CLIENT")
    assert isinstance(granted, Grant)
    assert granted.values == {"token": "granted"}


async def test_a_grant_that_works_is_used_on_while_a_new_one_cannot_be_had() -> None:
    world = World(login("old", expires_in=1000), DOWN, login("new", expires_in=1000))
    old = await world.grant()
    world.clock.advance(950)
    assert await world.grant() is old
    assert await world.grant() is old
    assert len(world.transport.history) == 2
    world.clock.advance(49)
    assert (await world.grant()).values == {"token": "new"}


async def test_a_grant_that_was_denied_or_is_over_is_not_used_on() -> None:
    world = World(login("old", expires_in=1000), DOWN, DOWN)
    old = await world.grant()
    world.clock.advance(950)
    assert await world.tokens.grant(instead_of=old) == Broken(
        Reason.UNREACHABLE, detail="login: refused", fault=Fault.CONNECTION
    )
    world.clock.advance(60)
    assert isinstance(await world.tokens.grant(), Broken)
