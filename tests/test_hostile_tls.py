"""H18 of a hostile receiver: TLS that must not be trusted. Not a word of the event is said to it."""

import asyncio
import socket
import ssl
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from attempting import LATE, SHORT, attempt, what, why
from raw_server import answer, listening

from watcher.core.wire import Fault
from watcher.transport.tls import tls_context

AUTHORITY = trustme.CA()


def server_side(
    authority: trustme.CA = AUTHORITY, *, name: str = "127.0.0.1", until: datetime | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=until).configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    context = tls_context()
    AUTHORITY.configure_trust(context)
    return context


TRUSTING = trusting()  # not in the event loop, as it reads the disk


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        pytest.param(server_side(until=datetime(2020, 1, 1, tzinfo=UTC)), "certificate has expired", id="expired"),
        pytest.param(server_side(name="other.example.com"), "not valid for '127.0.0.1'", id="wrong host"),
        pytest.param(server_side(trustme.CA()), "unable to get local issuer certificate", id="unknown authority"),
    ],
)
async def test_h18_a_bad_certificate_is_told_no_word_of_the_event(theirs: ssl.SSLContext, words: str) -> None:
    async with listening(answer(), tls=theirs) as server:
        fault, detail = why(await attempt(f"https://127.0.0.1:{server.port}", tls=TRUSTING))
    assert fault is Fault.TLS
    assert words in detail
    assert server.heads == []


async def test_h18_a_self_signed_certificate_is_told_no_word_of_the_event(tmp_path: Path) -> None:
    own, theirs = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = tmp_path / "own.pem"
    pem.write_bytes(own.private_key_pem.bytes() + own.cert_pem.bytes())
    theirs.load_cert_chain(pem)
    async with listening(answer(), tls=theirs) as server:
        fault, detail = why(await attempt(f"https://127.0.0.1:{server.port}", tls=TRUSTING))
    assert fault is Fault.TLS
    assert "self-signed certificate" in detail
    assert server.heads == []


async def test_h18_tls_1_0_is_not_spoken() -> None:
    old = server_side()
    with warnings.catch_warnings(action="ignore"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def shake_hands() -> None:  # asyncio's server would cut the connection, and say nothing
            with listener.accept()[0] as met, suppress(ssl.SSLError):
                old.wrap_socket(met, server_side=True)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.to_thread(shake_hands))
            url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            fault, detail = why(await attempt(url, tls=TRUSTING))
    assert fault is Fault.TLS
    assert "protocol version" in detail


async def test_h18_good_tls_is_fine() -> None:
    async with listening(answer(b"safe"), tls=server_side()) as server:
        assert what(await attempt(f"https://127.0.0.1:{server.port}", tls=TRUSTING)) == (200, b"safe")


async def test_h18_a_handshake_that_never_ends_is_left_in_time() -> None:
    async with listening(answer()) as server:  # it waits for the end of a head
        assert why(await attempt(f"https://127.0.0.1:{server.port}", tls=TRUSTING, within=SHORT)) == LATE
