"""A Redis that is away, slow, full, forbidden, or none: what the source says of it, and that it waits."""

import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.abc
import pytest
import trustme
from redis_server import RedisServer, redis_server

from watcher.sources.redis_address import Address
from watcher.sources.redis_stream import RedisSource

NONE: Mapping[int, str] = {}
PASSWORD = "hunter2-hunter2"


@asynccontextmanager
async def closing(address: Address, *, within: float = 5.0) -> AsyncIterator[RedisSource]:
    source = RedisSource(address, stream="inbox", group="watcher", consumer="one", timeout=within)
    try:
        yield source
    finally:
        with anyio.fail_after(5):
            await source.close()


async def complaint(address: Address, *, within: float = 5.0) -> str:
    """Return what is said of a Redis that can't be read; it is said in time, and nothing stays open."""
    with anyio.fail_after(3 * within):
        async with closing(address, within=within) as source:
            with pytest.raises(OSError, match=r"^inbox at ") as caught:
                await source.open(None)
            assert caught.value.__cause__ is None
    return str(caught.value).removeprefix(f"inbox at {address}: ")


async def works(address: Address) -> bool:
    """Is a request read, and let go of?"""
    async with closing(address) as source:
        await source.open(None)
        batch = await source.receive()
        assert batch is not None
        await source.acknowledge(batch, refused=NONE)
        return [item.raw for item in batch.items] == [b"{}"]


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[Address]:
    """Serve what is no Redis: it says one thing to whatever it is asked."""

    async def talk(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(answer)
            with anyio.move_on_after(1), pytest.raises(anyio.EndOfStream):
                await stream.receive()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, talk)
        port = listener.extra_attributes[anyio.abc.SocketAttribute.local_port]()
        yield Address("127.0.0.1", port, password=PASSWORD)
        tasks.cancel_scope.cancel()


async def test_a_redis_that_is_absent_is_named(tmp_path: Path) -> None:
    nobody = RedisServer(tmp_path)
    assert "Error 111" in await complaint(Address.read(nobody.url))
    assert "No such file" in await complaint(Address(path=str(tmp_path / "redis.sock")))


async def test_a_server_that_refuses_is_an_error_that_may_pass(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as server, server.client() as client:
        address = Address.read(server.url)
        await client.set("inbox", "no stream")
        assert await complaint(address) == "WRONGTYPE Operation against a key holding the wrong kind of value"
        await client.delete("inbox")
        await client.config_set("maxmemory", 1)
        assert await complaint(address) == "OOM command not allowed when used memory > 'maxmemory'."
        await client.config_set("maxmemory", 0)
        assert await complaint(replace(address, database=99)) == "ERR DB index is out of range"
        await client.replicaof("127.0.0.1", "1")
        assert await complaint(address) == "READONLY You can't write against a read only replica."
        await client.replicaof("NO", "ONE")
        await client.xadd("inbox", {"request": "{}"})
        assert await works(address)


async def test_a_user_needs_four_commands_and_no_more(tmp_path: Path) -> None:
    commands = ["+xgroup|create", "+xautoclaim", "+xreadgroup", "+xack"]
    async with redis_server(tmp_path) as server, server.client() as client:
        await client.xadd("inbox", {"request": "{}"})
        await client.acl_setuser("watcher", enabled=True, passwords=f"+{PASSWORD}", keys=["inbox"], commands=commands)
        address = replace(Address.read(server.url), username="watcher", password=PASSWORD)
        assert await works(address)
        await client.acl_setuser("watcher", enabled=True, commands=["-xreadgroup"])
        missing = "NOPERM this user has no permissions to run the 'xreadgroup' command"
        assert await complaint(address) == missing
        wrong = "WRONGPASS invalid username-password pair or user is disabled."
        assert await complaint(replace(address, password="another")) == wrong
        await client.acl_setuser("default")
        assert await complaint(replace(address, username=None, password=None)) == "NOAUTH Authentication required."


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "LOADING Redis is loading the dataset in memory"),
        (b"-ERR unknown command 'AUTH', with args beginning with: 'hunter2-hu\r\n", "ERR unknown command 'AUTH'"),
        (b"-ERR what is hunter2-hunter2?\r\n", "ERR what is ********?"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", "MASTERDOWN Link with MASTER is down"),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", "MOVED 3999 127.0.0.1:6381"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "Protocol Error: b'HTTP/1.1 400 Bad Request'"),
        (b"$many\r\n", "invalid literal for int() with base 10: b'many'"),
        (b"*2\r\n", "Timeout reading from 127.0.0.1"),
        (b"x" * 200_000, "Separator is not found, and chunk exceed the limit"),
    ],
    ids=lambda value: value[:10].decode() if isinstance(value, bytes) else "",
)
async def test_what_is_said_holds_no_password_and_makes_no_crash(answer: bytes, words: str) -> None:
    async with saying(answer) as address:
        said = await complaint(address, within=0.3)
    assert said.startswith(words)
    assert PASSWORD[:6] not in said


async def test_tls_is_verified_and_shows_a_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.issue_cert("watcher.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    server_files = ("--tls-cert-file", "server.pem", "--tls-key-file", "server.pem", "--tls-ca-cert-file", "ca.pem")
    async with redis_server(tmp_path, *server_files, is_encrypted=True) as server:
        known = Address("127.0.0.1", server.port, is_encrypted=True, ca_file=tmp_path / "ca.pem")
        shown = replace(known, client_cert=tmp_path / "client.pem")
        async with closing(shown) as source:
            await source.open(None)
        assert "certificate verify failed" in await complaint(replace(shown, ca_file=tmp_path / "other.pem"))
        assert "certificate verify failed" in await complaint(replace(shown, ca_file=None))
        assert "No such file" in await complaint(replace(shown, client_cert=tmp_path / "gone.pem"))
        assert await complaint(known)
        async with closing(shown) as source:
            await source.open(None)
            server.signal(signal.SIGSTOP)


async def test_a_server_that_hangs_is_told_of_in_time(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as server, server.client() as client:
        async with closing(Address.read(server.url), within=0.2) as source:
            await source.open(None)
            with anyio.move_on_after(0.5):
                await source.receive()  # nothing is no trouble
            server.signal(signal.SIGSTOP)
            with anyio.fail_after(5), pytest.raises(OSError, match=r"^inbox at 127\.0\.0\.1:\d+: Timeout"):
                await source.receive()
        server.signal(signal.SIGCONT)
        await client.xadd("inbox", {"request": "{}"})
        assert await works(Address.read(server.url))
