"""`[sources.<name>]` of `type = "redis"`: its keys, its URL, and that no password is shown."""

import socket
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from pydantic import ValidationError

from watcher.core.secret import Secret
from watcher.sources import redis as section_module
from watcher.sources.redis import RedisSection
from watcher.sources.redis_address import EXPECTED, Address
from watcher.sources.redis_stream import RedisSource

PASSWORD = "hunter2"
PLAIN, SECRET = "redis://localhost", f"rediss://watcher:{PASSWORD}@queue.example:6380/3"


def section(**keys: object) -> RedisSection:
    resolve = {"env:QUEUE": SECRET, "env:BAD": PASSWORD}.__getitem__
    context = {"folder": Path("/etc/watcher"), "resolve": resolve}
    return RedisSection.model_validate({"type": "redis", **keys}, context=context)


def problem(**keys: object) -> str:
    with pytest.raises(ValidationError) as caught:
        section(**keys)
    assert PASSWORD not in str(caught.value)
    [error] = caught.value.errors(include_url=False)
    return error["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", Address()),
        ("redis://127.0.0.1:6380/7", Address("127.0.0.1", 6380, database=7)),
        ("redis://[::1]:6380/", Address("::1", 6380)),
        ("rediss://queue.example", Address("queue.example", is_encrypted=True)),
        ("redis://:p%40ss@localhost", Address(password="p@ss")),
        ("redis://watcher@localhost", Address(username="watcher")),
        ("redis://w%3Ar:a:b@localhost/0", Address(username="w:r", password="a:b")),
        ("unix:///run/redis/redis.sock", Address("", path="/run/redis/redis.sock")),
        ("unix://watcher:pass@/run/a%20b?db=2", Address("", 6379, "/run/a b", 2, "watcher", "pass")),
    ],
)
def test_a_url_says_where_and_as_whom(url: str, address: Address) -> None:
    assert Address.read(url) == address


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost", "http://localhost", "redis://", "redis:///0", "unix://", "unix://run/redis.sock"),
        *("redis://localhost/inbox", "redis://localhost/0/1", "redis://localhost:many", "redis://localhost:70000"),
        *("redis://localhost?ssl_cert_reqs=none", "redis://localhost?password=hunter2", "unix:///run/redis?db=x"),
        *(
            "redis://:hunter2/x@localhost",
            "redis://:hunter2?x@localhost",
            "redis://:hunter2#x@localhost",
            "redis://[::1",
        ),
    ],
)
def test_a_url_that_is_none_of_ours_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^expected ") as caught:
        Address.read(url)
    assert str(caught.value) == EXPECTED
    assert caught.value.__cause__ is None


def test_a_section_needs_a_url_alone() -> None:
    short = section(url=PLAIN)
    assert (short.stream, short.group, short.consumer) == ("watcher:requests", "watcher", socket.gethostname())
    assert short.address == Address()
    assert isinstance(short.source(), RedisSource)


def test_a_url_without_a_password_may_be_shown_and_one_with_a_password_is_a_secret() -> None:
    for url in (PLAIN, "redis://watcher@localhost"):
        assert section(url=url).url == Secret(url, url)
    literal, referred = section(url=SECRET), section(url="env:QUEUE")
    assert (literal.url.is_literal, referred.url.reference) == (True, "env:QUEUE")
    assert literal.address == referred.address == Address.read(SECRET)
    for one in (literal, referred):
        shown = f"{one!r} {one.url} {one.address} {one.address!r} {one.model_dump_json()} {one.source()!r} {vars(one)}"
        assert PASSWORD not in shown


def test_a_url_that_is_not_resolved_is_not_looked_at() -> None:
    unresolved = RedisSection.model_validate({"type": "redis", "url": "env:BAD", "ca_file": "ca.pem"})
    assert unresolved.url == Secret("env:BAD")


def test_files_are_relative_to_the_configuration() -> None:
    files = {"ca_file": "ca.pem", "client_cert": "/run/c.pem", "client_key": "c.key"}
    address = section(url=SECRET, **files).address
    assert address.ca_file == Path("/etc/watcher/ca.pem")
    assert address.client_cert == Path("/run/c.pem")
    assert address.client_key == Path("/etc/watcher/c.key")


def test_what_is_wrong_is_said_with_its_key() -> None:
    assert problem(url="env:BAD") == EXPECTED
    assert problem(url=PLAIN, ca_file="ca.pem") == "ca_file: expected a url that begins with rediss://"
    assert problem(url=SECRET, client_key="c.key") == "client_key: expected a client_cert beside it"
    assert problem(url=PLAIN, stream="") == "String should have at least 1 character"
    assert problem(url=PLAIN, topic="x") == "Extra inputs are not permitted"
    assert problem() == "Field required"


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(section_module, "find_spec", nothing)
    assert problem(url=PLAIN) == 'type: expected the package redis: pip install "watcher[redis]"'
