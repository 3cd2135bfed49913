"""Names are looked up beside each other: one whose server is silent is felt by nobody who asks for another."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeAlias

import aiohttp
import anyio
import pytest
from aiohttp.abc import ResolveResult
from raw_server import answer, listening

from watcher.core.addresses import Guard
from watcher.core.wire import Fault, NoAnswer, Request, Response
from watcher.ports import Transport
from watcher.transport import names, open_transport
from watcher.transport.names import MOST, Names

AMPLE = 20.0
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
Infos: TypeAlias = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]]


class World:
    """Instead of the machine's resolver: a name that begins with `dead` is not answered until it is let go."""

    def __init__(self) -> None:
        self.asked = Counter[str]()
        self.ended = 0
        self.let_go = threading.Event()
        self.error: OSError | ValueError | None = None

    def getaddrinfo(self, host: str, port: int, *_: object, **__: object) -> Infos:
        self.asked[host] += 1
        if host.startswith("dead"):
            assert self.let_go.wait(AMPLE)
        self.ended += 1
        if self.error:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.let_go.set()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "PATIENCE", 0.05)


def here(host: str, port: int) -> list[ResolveResult]:
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    family, proto = socket.AF_INET, socket.IPPROTO_TCP
    return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=proto, flags=flags)]


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(AMPLE):
        while not is_so():
            await anyio.sleep(0.001)


@contextmanager
def soon() -> Iterator[None]:
    with anyio.fail_after(AMPLE / 2):  # of what the dead would take
        yield


async def give_up(asked: Names, host: str) -> None:
    """Ask, and be gone at once."""
    with anyio.move_on_after(0.001):
        await asked.resolve(host)


async def get(transport: Transport, url: str) -> Response | NoAnswer:
    return await transport.send(Request("POST", url), within=timedelta(seconds=AMPLE / 2))


# --- the silent and the others ----------------------------------------------------------------------------------


async def test_names_whose_servers_are_silent_are_not_felt_by_others(world: World) -> None:
    resolver = Names()
    async with anyio.create_task_group() as asking:
        for number in range(MOST - 1):
            asking.start_soon(resolver.resolve, f"dead-{number}.example")
        await until(lambda: len(world.asked) == MOST - 1)
        with soon():
            found = [await resolver.resolve(f"{number}.example", 443) for number in range(20)]
        assert found == [here(f"{number}.example", 443) for number in range(20)]
        world.let_go.set()


async def test_no_pool_of_the_process_is_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop's own is: libuv's has four threads, and two for names."""

    async def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    async with listening(answer(b"here")) as server, open_transport() as transport:
        answered = await get(transport, f"http://alive.example:{server.port}/")
    assert isinstance(answered, Response)
    assert world.asked == {"alive.example": 1}


@pytest.mark.parametrize("guard", [None, Guard()], ids=["a webhook", "callbacks"])
async def test_what_a_transport_looks_up_takes_no_place_of_another(world: World, guard: Guard | None) -> None:
    async with (
        listening(answer(b"here")) as server,
        open_transport() as polls,
        open_transport(glance=99, guard=guard) as posts,
        anyio.create_task_group() as posting,
    ):
        for number in range(MOST + 50):
            posting.start_soon(get, posts, f"http://dead-{number}.example/")
        await until(lambda: len(world.asked) == MOST)
        with soon():
            answered = await get(polls, f"http://alive.example:{server.port}/")
        posting.cancel_scope.cancel()
    assert isinstance(answered, Response)


# --- many who ask for one name ------------------------------------------------------------------------------------


async def test_a_hundred_who_ask_for_a_name_at_once_ask_once_whatever_the_port(world: World) -> None:
    resolver, found = Names(), list[list[ResolveResult]]()

    async def ask(port: int) -> None:
        found.append(await resolver.resolve("dead.example", port))

    async with anyio.create_task_group() as asking:
        for port in range(100):
            asking.start_soon(ask, port)
        await until(lambda: world.asked["dead.example"] == 1)
        world.let_go.set()
    assert found == [here("dead.example", port) for port in range(100)]
    assert world.asked == {"dead.example": 1}


async def test_what_was_looked_up_is_not_remembered(world: World) -> None:
    resolver = Names()
    for _ in range(3):
        await resolver.resolve("rebinding.example")
    world.error = UNKNOWN
    with pytest.raises(socket.gaierror):
        await resolver.resolve("rebinding.example")
    assert world.asked == {"rebinding.example": 4}


async def test_who_gives_up_leaves_the_answer_to_others(world: World) -> None:
    resolver = Names()
    await give_up(resolver, "dead.example")
    async with anyio.create_task_group() as asking:
        asking.start_soon(resolver.resolve, "dead.example")
        await give_up(resolver, "dead.example")
        world.let_go.set()
    assert world.asked == {"dead.example": 1}


async def test_what_cannot_be_looked_up_is_said_to_all_who_ask(world: World) -> None:
    world.error, said = UNKNOWN, list[NoAnswer | Response]()

    async with open_transport(glance=99, guard=Guard()) as transport:

        async def ask() -> None:
            said.append(await get(transport, "http://dead.example/"))

        async with anyio.create_task_group() as asking:
            for _ in range(5):
                asking.start_soon(ask)
            await until(lambda: world.asked["dead.example"] == 1)
            world.let_go.set()
    assert [one.detail if isinstance(one, NoAnswer) else one for one in said] == ["Name or service not known"] * 5


# --- the bound ----------------------------------------------------------------------------------------------------


async def test_a_lookup_that_nobody_waits_for_takes_its_place_until_it_ends(world: World) -> None:
    resolver = Names(most=2)
    for host in ("dead-1.example", "dead-2.example"):
        await give_up(resolver, host)
    async with anyio.create_task_group() as asking:
        for host in ("dead-3.example", "alive.example"):
            asking.start_soon(resolver.resolve, host)
        await anyio.wait_all_tasks_blocked()
        assert world.asked.keys() == {"dead-1.example", "dead-2.example"}
        world.let_go.set()
    assert world.asked.keys() == {"dead-1.example", "dead-2.example", "dead-3.example", "alive.example"}


@pytest.mark.usefixtures("hasty")
async def test_without_a_place_it_is_our_own_side_that_fails(world: World) -> None:
    async with open_transport(glance=99, guard=Guard(), resolver=Names(most=0)) as transport:
        with soon():
            said = await get(transport, "http://alive.example/")
    assert isinstance(said, NoAnswer)
    assert (said.fault, said.detail) == (Fault.LOCAL, "too many names are being looked up")
    assert world.asked == {}


async def test_a_name_that_hangs_for_too_long_is_asked_for_anew_and_takes_few_places(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "TOO_LONG", 0.02)
    asked = Names()
    for _ in range(20):
        await give_up(asked, "dead.example")
        await anyio.sleep(0.005)
    assert world.asked["dead.example"] in range(2, 5)
    world.let_go.set()
    with soon():
        assert await asked.resolve("dead.example", 80) == here("dead.example", 80)
    await until(lambda: asked._free == MOST)
    assert asked._lookups == {}


async def test_who_gave_up_in_the_queue_is_not_looked_up(world: World) -> None:
    resolver = Names(most=1)
    for host in ("dead-1.example", "dead-2.example", "dead-3.example"):
        await give_up(resolver, host)
    world.let_go.set()
    await until(lambda: world.ended == 1)
    assert await resolver.resolve("alive.example", 1) == here("alive.example", 1)
    assert world.asked == {"dead-1.example": 1, "alive.example": 1}


async def test_a_thread_that_cannot_be_had_is_our_own_side_and_takes_no_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async with listening(answer(b"here")) as server, open_transport(glance=99) as transport:
        url = f"http://alive.example:{server.port}/"
        with monkeypatch.context() as without:
            without.setattr(threading.Thread, "start", refuse)
            said = [await get(transport, url) for _ in range(MOST + 1)]
        answered = await get(transport, url)
    assert {(one.fault, one.detail) for one in said if isinstance(one, NoAnswer)} == {
        (Fault.LOCAL, "no thread is left to look the name up")
    }
    assert isinstance(answered, Response)


# --- what is said of a name ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [socket.AF_UNSPEC, socket.AF_INET])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "fe80::1%lo", "2130706433", "127.1"])
async def test_it_says_of_a_name_what_aiohttp_says(host: str, family: socket.AddressFamily) -> None:
    assert await said(Names(), host, family=family) == await said(aiohttp.ThreadedResolver(), host, family=family)


@pytest.mark.parametrize("host", ["x" * 64, "a..b", "nul\0"])
async def test_it_says_of_what_is_no_name_what_aiohttp_says(host: str) -> None:
    assert await said(Names(), host) == await said(aiohttp.ThreadedResolver(), host)


async def said(
    resolver: Names | aiohttp.ThreadedResolver, host: str, *, family: socket.AddressFamily = socket.AF_UNSPEC
) -> object:
    try:
        return await resolver.resolve(host, 8443, family)
    except (OSError, ValueError) as error:
        return type(error), error.args


# --- the end ------------------------------------------------------------------------------------------------------


async def test_a_transport_closes_while_a_name_is_looked_up(world: World) -> None:
    for guard in (None, Guard()):
        with soon():
            async with open_transport(guard=guard) as transport, anyio.create_task_group() as asking:
                asking.start_soon(get, transport, "http://dead.example/")
                await until(lambda: world.asked["dead.example"] > 0)
                asking.cancel_scope.cancel()
        assert world.ended == 0  # it waited for no lookup
        world.asked.clear()
