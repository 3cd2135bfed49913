"""No connection to a forbidden address, whatever a URL, a resolver or an answer says: counted at a real listener."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_address, ip_network

import anyio
import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult
from raw_server import RawServer, Talk, answer, listening, saying

from watcher.core.addresses import Guard
from watcher.core.wire import Fault, NoAnswer, Request, Response
from watcher.ports import Transport
from watcher.transport import open_transport
from watcher.transport.guarded import is_this_machine

SOON = timedelta(seconds=5)
GOOD, BAD = "127.0.0.2", "127.0.0.1"  # loopback both, for want of a public one; the guard allows the first only
GUARD = Guard(allowed=(ip_network(f"{GOOD}/32"),))
LOOPBACK = (ip_network("127.0.0.0/8"),)
KEPT = saying(answer(b"kept"), last=False)


class Scripted(AbstractResolver):
    """Gives one answer after the other, and the last one for ever."""

    def __init__(self, *answers: list[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, OSError):
            raise found
        return [ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0) for one in found]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def good_and_bad(talk: Talk | bytes) -> AsyncIterator[tuple[RawServer, RawServer]]:
    """Listen at an address that may be called and at one that may not, with the same port."""
    async with listening(talk, host=GOOD) as good, listening(talk, host=BAD, port=good.port) as bad:
        yield good, bad


async def post(transport: Transport, url: str) -> Response | NoAnswer:
    return await transport.send(Request("POST", url, {}, b"{}"), within=SOON)


def blocked(why: str) -> NoAnswer:
    return NoAnswer(Fault.BLOCKED, why)


# --- names ----------------------------------------------------------------------------------------------------


async def test_a_name_is_called_at_the_address_that_was_checked() -> None:
    resolver = Scripted([GOOD], [BAD])
    async with (
        good_and_bad(answer(b"here")) as (good, bad),
        open_transport(glance=99, guard=GUARD, resolver=resolver) as transport,
    ):
        response = await post(transport, f"http://hooks.example.com:{good.port}/x")
    assert isinstance(response, Response)
    assert (response.body, response.address) == (b"here", f"{GOOD}:{good.port}")
    assert f"Host: hooks.example.com:{good.port}\r\n".encode() in good.heads[0]
    assert (good.connections, bad.connections, resolver.asked) == (1, 0, ["hooks.example.com"])


async def test_a_name_that_changes_its_mind_reaches_nothing_new() -> None:
    resolver = Scripted([GOOD], [BAD])
    async with (
        good_and_bad(answer(b"here")) as (good, bad),
        open_transport(glance=99, guard=GUARD, resolver=resolver) as transport,
    ):
        url = f"http://rebinding.example.com:{good.port}/x?canary"
        assert isinstance(await post(transport, url), Response)
        for _ in range(3):
            answered = await post(transport, url)
            assert answered == blocked(f"rebinding.example.com: {BAD} is a loopback address")
    assert (good.connections, bad.connections) == (1, 0)
    assert len(resolver.asked) == 4  # nothing is remembered


async def test_a_kept_connection_stays_with_its_address() -> None:
    resolver = Scripted([GOOD], [BAD])
    async with (
        good_and_bad(KEPT) as (good, bad),
        open_transport(glance=99, guard=GUARD, resolver=resolver) as transport,
    ):
        answers = [await post(transport, f"http://rebinding.example.com:{good.port}/") for _ in range(3)]
    assert all(isinstance(one, Response) for one in answers)
    assert (good.connections, bad.connections, len(resolver.asked)) == (1, 0, 1)


async def test_what_replaces_a_stale_connection_is_checked_as_well() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(good.heads) == 1:
            writer.write(answer())
        else:
            writer.close()  # as it is used again

    resolver = Scripted([GOOD], [BAD])
    async with (
        good_and_bad(once) as (good, bad),
        open_transport(glance=99, guard=GUARD, resolver=resolver) as transport,
    ):
        url = f"http://rebinding.example.com:{good.port}/"
        assert isinstance(await post(transport, url), Response)
        assert await post(transport, url) == blocked(f"rebinding.example.com: {BAD} is a loopback address")
    assert (good.connections, bad.connections) == (1, 0)


@pytest.mark.parametrize("found", [[GOOD, BAD], [BAD, GOOD], [GOOD, "::1"], [GOOD, "169.254.169.254"]])
async def test_one_bad_address_among_good_ones_is_enough(found: list[str]) -> None:
    async with (
        good_and_bad(answer()) as (good, bad),
        open_transport(glance=99, guard=GUARD, resolver=Scripted(found)) as transport,
    ):
        answered = await post(transport, f"http://both.example.com:{good.port}/")
    assert isinstance(answered, NoAnswer)
    assert answered.fault is Fault.BLOCKED
    assert (good.connections, bad.connections) == (0, 0)


@pytest.mark.parametrize("name", ["localhost", "LocalHost.", "x.local", "metadata.google.internal"])
async def test_a_name_for_use_inside_is_not_even_looked_up(name: str) -> None:
    resolver = Scripted([BAD])
    async with listening(answer()) as bad, open_transport(glance=99, guard=Guard(), resolver=resolver) as transport:
        answered = await post(transport, f"http://{name}:{bad.port}/")
    assert answered == blocked(f"{name.rstrip('.').lower()} is a name for use inside")
    assert (bad.connections, resolver.asked) == (0, [])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], NoAnswer(Fault.DNS, "the name has no address")),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), NoAnswer(Fault.DNS, "unknown")),
        (socket.gaierror(socket.EAI_AGAIN, "no resolver"), NoAnswer(Fault.LOCAL, "no resolver")),
        (OSError(24, "no handles"), NoAnswer(Fault.LOCAL, "Too many open files")),
    ],
)
async def test_a_name_without_an_address_is_not_called_blocked(found: list[str] | OSError, expected: NoAnswer) -> None:
    async with open_transport(glance=99, guard=Guard(), resolver=Scripted(found)) as transport:
        assert await post(transport, "http://nowhere.example.com/") == expected


async def test_a_resolver_that_never_answers_is_left_in_time() -> None:
    class Silent(Scripted):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            await anyio.sleep_forever()
            raise AssertionError

    async with open_transport(glance=99, guard=Guard(), resolver=Silent([])) as transport:
        with anyio.fail_after(5):
            request = Request("POST", "http://nowhere.example.com/")
            answered = await transport.send(request, within=timedelta(seconds=0.3))
    assert answered == NoAnswer(Fault.TIMEOUT, "no whole answer in time")


# --- addresses in the URL -------------------------------------------------------------------------------------

SPELLINGS = [
    *("127.0.0.1", "127.0.0.1.", "2130706433", "017700000001", "0x7f000001", "0x7f.1", "127.1", "127.0.1"),
    *("0177.0.0.1", "127.0.0.01", "0", "0.0.0.0", "[::1]", "[::]", "[::ffff:7f00:1]", "[::ffff:127.0.0.1]"),  # noqa: S104  # not to bind
    *("[64:ff9b::7f00:1]", "[::1%25lo]", "[fe80::1%lo]", "localhost", "%31%32%37.0.0.1", "127%2e0.0.1"),
    *("example.com@127.0.0.1", "example.com\\@127.0.0.1", "127.0.0.1\\.example.com"),
    *("\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3"),
]


@pytest.mark.parametrize("glance", [None, 99], ids=["a poll", "a delivery"])
@pytest.mark.parametrize("host", SPELLINGS)
async def test_an_address_is_refused_however_it_is_written(host: str, glance: int | None) -> None:
    async with listening(answer()) as bad, open_transport(glance=glance, guard=Guard()) as transport:
        answered = await post(transport, f"http://{host}:{bad.port}/?canary")
    assert isinstance(answered, NoAnswer)
    assert answered.fault is Fault.BLOCKED
    assert "canary" not in answered.detail
    assert bad.connections == 0


@pytest.mark.parametrize("host", SPELLINGS)
async def test_the_last_check_needs_none_before_it(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else read the URL in another way: no socket is made for a forbidden address."""
    monkeypatch.setattr("watcher.transport.client.check_url", lambda *_, **__: None)
    async with listening(answer()) as bad, open_transport(glance=99, guard=Guard()) as transport:
        assert isinstance(await post(transport, f"http://{host}:{bad.port}/"), NoAnswer)
    assert bad.connections == 0


async def test_an_address_that_is_allowed_is_called() -> None:
    async with listening(answer(b"here"), host=GOOD) as good, open_transport(glance=99, guard=GUARD) as transport:
        answered = await post(transport, good.url)
    assert isinstance(answered, Response)
    assert answered.body == b"here"


async def test_without_a_guard_any_address_is_called() -> None:
    async with listening(answer(b"here")) as server, open_transport(glance=99) as transport:
        assert isinstance(await post(transport, f"http://localhost:{server.port}/"), Response)


# --- ourselves ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", ["127.0.0.1", "0.0.0.0"])  # noqa: S104  # nobody listens there
async def test_where_we_listen_ourselves_is_not_called_even_if_it_is_allowed(own: str) -> None:
    async with listening(answer()) as ours, listening(answer()) as other:
        guard = Guard(allowed=LOOPBACK, own=frozenset({(ip_address(own), ours.port)}))
        async with open_transport(glance=99, guard=guard, resolver=Scripted([BAD])) as transport:
            why = f"127.0.0.1 port {ours.port} is where we listen"
            assert await post(transport, ours.url) == blocked(why)
            assert await post(transport, f"http://us.example.com:{ours.port}/") == blocked(f"us.example.com: {why}")
            assert isinstance(await post(transport, other.url), Response)
    assert (ours.connections, other.connections) == (0, 1)


def test_the_kernel_knows_which_addresses_are_ours() -> None:
    assert is_this_machine("127.0.0.1")
    assert not is_this_machine("192.0.2.1")
    assert not is_this_machine("2001:db8::1")
    assert not is_this_machine("localhost")  # and nobody is asked for it


def test_without_file_handles_no_address_is_taken_for_another_machine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        is_this_machine("127.0.0.1")


# --- TLS stays with the name ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "is_good"), [("hooks.example.com", True), ("other.example.com", False)])
async def test_the_certificate_must_be_the_names_and_not_the_addresss(name: str, *, is_good: bool) -> None:
    authority, ours = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(ours)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.example.com").configure_cert(theirs)
    asked: list[str | None] = []
    theirs.sni_callback = lambda _, said, __: asked.append(said)
    async with (
        listening(answer(b"safe"), host=GOOD, tls=theirs) as server,
        open_transport(glance=99, tls=ours, guard=GUARD, resolver=Scripted([GOOD])) as transport,
    ):
        answered = await post(transport, f"https://{name}:{server.port}/")
    assert asked == [name]
    if is_good:
        assert isinstance(answered, Response)
        assert f"Host: {name}:{server.port}\r\n".encode() in server.heads[0]
    else:
        assert isinstance(answered, NoAnswer)
        assert answered.fault is Fault.TLS
        assert server.heads == []
