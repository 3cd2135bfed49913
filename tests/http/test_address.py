"""`listen`: what can be written, what it means, and what may be reached without a token."""

import re
from pathlib import Path

import pytest

from watcher.http.address import EXPECTED, Tcp, Unix, read_address


@pytest.mark.parametrize(
    ("written", "address", "is_private", "shown"),
    [
        ("127.0.0.1:8480", Tcp("127.0.0.1", 8480), True, "127.0.0.1:8480"),
        ("127.9.9.9:0", Tcp("127.9.9.9", 0), True, "127.9.9.9:0"),
        ("[::1]:8480", Tcp("::1", 8480), True, "[::1]:8480"),
        ("localhost:8480", Tcp("localhost", 8480), True, "localhost:8480"),
        ("0.0.0.0:8480", Tcp("0.0.0.0", 8480), False, "0.0.0.0:8480"),  # noqa: S104
        ("[::]:8480", Tcp("::", 8480), False, "[::]:8480"),
        ("[::ffff:127.0.0.1]:1", Tcp("::ffff:127.0.0.1", 1), False, "[::ffff:127.0.0.1]:1"),
        ("10.0.0.1:65535", Tcp("10.0.0.1", 65535), False, "10.0.0.1:65535"),
        ("localhost.example.com:80", Tcp("localhost.example.com", 80), False, "localhost.example.com:80"),
        ("unix:/run/watcher/http.sock", Unix(Path("/run/watcher/http.sock")), True, "unix:/run/watcher/http.sock"),
        ("unix:http.sock", Unix(Path("/etc/watcher/http.sock")), True, "unix:/etc/watcher/http.sock"),
    ],
)
def test_an_address_is_read_and_known_to_be_private_or_not(
    written: str, address: Tcp | Unix, *, is_private: bool, shown: str
) -> None:
    found = read_address(written, folder=Path("/etc/watcher"))
    assert found is not None
    assert (found, found.is_private, str(found)) == (address, is_private, shown)


def test_nothing_is_listened_on_where_nothing_is_written() -> None:
    assert read_address("") is None


@pytest.mark.parametrize(
    "written",
    [
        *("8480", ":8480", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:http", "::1:8480"),
        *("[::1]", "[localhost]:80", "[::g]:1", "http://127.0.0.1:8480", "unix:", "unix:a\0b", "a b:1", "a:1\n", " "),
        *("127.0.0.1:٨", "a/b:1"),
    ],
)
def test_anything_else_is_refused_with_what_was_expected(written: str) -> None:
    with pytest.raises(ValueError, match=re.escape(EXPECTED)):
        read_address(written)
