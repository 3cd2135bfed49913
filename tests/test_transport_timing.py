"""How long each phase of an attempt took, where it went, and how far it got."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from datetime import timedelta

import anyio
import pytest
import trustme
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult
from raw_server import answer, listening, saying

from watcher.core.wire import Fault, NoAnswer, Request, Response, Timing
from watcher.ports import Transport
from watcher.transport import open_transport

PAUSE = 0.05
SOON = timedelta(seconds=5)
KEPT = saying(answer(b"kept"), last=False)


async def post(transport: Transport, url: str, *, within: timedelta = SOON) -> tuple[str | None, Timing]:
    came = await transport.send(Request("POST", url, {}, b"{}"), within=within)
    assert came.timing is not None
    return came.address, came.timing


def happened(timing: Timing) -> dict[str, bool]:
    """Say which phases came to an end; together they are never longer than the whole."""
    phases = {"dns": timing.dns, "connect": timing.connect, "tls": timing.tls, "first_byte": timing.first_byte}
    assert all(phase is None or phase >= 0 for phase in phases.values())
    assert sum(filter(None, phases.values())) <= timing.total
    return {name: phase is not None for name, phase in phases.items()}


class Slow(AbstractResolver):
    """Knows every name, after a while."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        await asyncio.sleep(PAUSE)
        if host == "unknown.example.com":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


async def test_a_new_connection_is_timed_and_a_kept_one_needs_no_time() -> None:
    async with listening(KEPT) as server, open_transport(glance=99) as transport:
        new, kept = [await post(transport, server.url) for _ in range(2)]
    assert new[0] == kept[0] == f"127.0.0.1:{server.port}"
    assert happened(new[1]) == {"dns": False, "connect": True, "tls": False, "first_byte": True}
    assert happened(kept[1]) == {"dns": False, "connect": False, "tls": False, "first_byte": True}


async def test_each_wait_is_of_its_own_phase() -> None:
    async def slowly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * PAUSE)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        await asyncio.sleep(3 * PAUSE)
        writer.write(b"ok")

    async with listening(slowly) as server, open_transport(glance=99, resolver=Slow()) as transport:
        _, timing = await post(transport, f"http://slow.example.com:{server.port}/")
    assert happened(timing) == {"dns": True, "connect": True, "tls": False, "first_byte": True}
    assert timing.dns is not None
    assert timing.first_byte is not None
    assert timing.dns >= PAUSE
    assert timing.first_byte >= 2 * PAUSE
    assert timing.total >= timing.dns + timing.first_byte + 3 * PAUSE


AUTHORITY = trustme.CA()


async def tls_phases() -> list[Timing]:
    """Post twice to a server whose handshake takes a while."""
    ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.configure_trust(ours)
    AUTHORITY.issue_cert("slow.example.com").configure_cert(theirs)
    theirs.sni_callback = lambda *_: time.sleep(PAUSE)
    async with listening(KEPT, tls=theirs) as server, open_transport(glance=99, tls=ours, resolver=Slow()) as transport:
        return [(await post(transport, f"https://slow.example.com:{server.port}/"))[1] for _ in range(2)]


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_tls_is_told_from_connecting_on_the_daemons_loop_too(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        new, kept = runner.run(tls_phases())
    assert happened(new) == {"dns": True, "connect": True, "tls": True, "first_byte": True}
    assert happened(kept) == {"dns": False, "connect": False, "tls": False, "first_byte": True}
    assert new.tls is not None
    assert new.tls >= PAUSE
    assert new.connect is not None
    assert new.connect < PAUSE


async def test_a_refused_connection_tells_where_it_was_refused() -> None:
    async with open_transport(glance=99) as transport:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            address, timing = await post(transport, f"http://127.0.0.1:{port}/")
    assert address == f"127.0.0.1:{port}"
    assert not any(happened(timing).values())


async def test_an_attempt_that_never_had_an_answer_tells_how_far_it_got() -> None:
    async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await anyio.sleep_forever()

    async with listening(never) as server, open_transport(glance=99) as transport:
        address, timing = await post(transport, server.url, within=timedelta(seconds=PAUSE))
    assert address == f"127.0.0.1:{server.port}"
    assert happened(timing) == {"dns": False, "connect": True, "tls": False, "first_byte": False}
    assert timing.total >= PAUSE


async def test_a_name_that_nobody_knows_has_no_address_and_no_phase() -> None:
    async with open_transport(glance=99, resolver=Slow()) as transport:
        came = await transport.send(Request("POST", "http://unknown.example.com/"), within=SOON)
    assert came == NoAnswer(Fault.DNS, "unknown")
    assert came.timing is not None
    assert not any(happened(came.timing).values())
    assert came.timing.total >= PAUSE


async def test_a_second_try_has_the_phases_of_its_own_connection() -> None:
    async def once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.heads) == 2:
            await asyncio.sleep(PAUSE)
            writer.close()
        else:
            writer.write(answer())

    async with listening(once) as server, open_transport(glance=99) as transport:
        _, (_, timing) = [await post(transport, server.url) for _ in range(2)]
    assert happened(timing) == {"dns": False, "connect": True, "tls": False, "first_byte": True}
    assert timing.total >= PAUSE


async def test_attempts_at_the_same_time_are_timed_apart() -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(4 * PAUSE)
        await KEPT(reader, writer)

    async with listening(KEPT) as fast, listening(slowly) as slow, open_transport(glance=99) as transport:
        urls = [slow.url, *[fast.url] * 5]
        (address, timing), *fast_ones = await asyncio.gather(*(post(transport, url) for url in urls))
    assert address == f"127.0.0.1:{slow.port}"
    assert timing.total >= 4 * PAUSE
    for address, timing in fast_ones:
        assert address == f"127.0.0.1:{fast.port}"
        assert happened(timing)["first_byte"]
        assert (timing.first_byte or 0) < 4 * PAUSE


async def test_a_poll_is_not_timed() -> None:
    async with listening(answer()) as server, open_transport() as transport:
        came = await transport.send(Request("GET", server.url), within=SOON)
    assert isinstance(came, Response)
    assert came.timing is None
