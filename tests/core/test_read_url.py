"""A caller's URL: parsed once, and what was parsed is what is sent."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.addresses import Guard, Target, read_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com", Target("https", "example.com", 443)),
        ("https://example.com/", Target("https", "example.com", 443)),
        ("https://example.com?x=@y:z", Target("https", "example.com", 443)),
        ("HTTPS://Example.COM:8443/a?b=%20@", Target("https", "example.com", 8443)),
        ("https://example.com./x", Target("https", "example.com.", 443)),
        ("https://xn--bcher-kva.example/x", Target("https", "xn--bcher-kva.example", 443)),
        ("https://a_b.example:443/x", Target("https", "a_b.example", 443)),
        ("https://127.0.0.1.nip.example/", Target("https", "127.0.0.1.nip.example", 443)),
        ("https://8.8.8.8/x", Target("https", IPv4Address("8.8.8.8"), 443)),
        ("https://[2606:4700::1111]:8443/x", Target("https", IPv6Address("2606:4700::1111"), 8443)),
        ("https://[::ffff:7f00:1]/", Target("https", IPv6Address("::ffff:127.0.0.1"), 443)),
        ("https://[::ffff:127.0.0.1]/", Target("https", IPv6Address("::ffff:127.0.0.1"), 443)),
    ],
)
def test_a_url_is_read_once(url: str, expected: Target) -> None:
    assert read_url(url) == expected


def test_http_must_be_allowed() -> None:
    assert read_url("http://example.com/", allow_http=True) == Target("http", "example.com", 80)
    with pytest.raises(ValueError, match="expected https://"):
        read_url("http://example.com/")


FOUR = "expected an IPv4 address as four decimal numbers without leading zeros"
ASCII = "expected visible ASCII without backslashes; other names are written as xn--…"
HOST = "expected a host name, or an address, with or without a port"
NAME = "expected a host name"
PORT = "expected a port from 1 to 65535"
URL = "expected an address such as https://example.com/hooks, without fragment"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://2130706433/", FOUR),
        ("https://0x7f000001/", FOUR),
        ("https://0X7F.1/", FOUR),
        ("https://0x/", FOUR),
        ("https://127.1/", FOUR),
        ("https://127.0.1/", FOUR),
        ("https://127.0.0.1./", FOUR),
        ("https://0177.0.0.1/", FOUR),
        ("https://127.0.0.01/", FOUR),
        ("https://127.0.0.0x1/", FOUR),
        ("https://1.2.3.4.5/", FOUR),
        ("https://256.1.1.1/", FOUR),
        ("https://0/", FOUR),
        ("https://\uff11\uff12\uff17.0.0.1/", ASCII),  # full-width digits
        ("https://127\u30020\u30020\u30021/", ASCII),  # ideographic full stops
        ("https://b\u00fccher.example/", ASCII),
        ("https://local\u00adhost/", ASCII),  # a soft hyphen
        ("https://\u2460.example/", ASCII),
        ("https://example.com\\@127.0.0.1/", ASCII),
        ("https:\\\\127.0.0.1\\", ASCII),
        ("https://example.com/a b", ASCII),
        ("https://example.com/\r\nx: y", ASCII),
        ("https://exam\tple.com/", ASCII),
        ("https://example.com/\x00", ASCII),
        ("", ASCII),
        ("https://127.0.0.1%2f@example.com/", "expected no user info"),
        ("https://example.com@127.0.0.1/", "expected no user info"),
        ("https://a:b@127.0.0.1/", "expected no user info"),
        ("https://@127.0.0.1/", "expected no user info"),
        ("https://%31%32%37.0.0.1/", HOST),
        ("https://localhost%00.example.com/", HOST),
        ("https://%6c%6f%63alhost/", HOST),
        ("https://[fe80::1%25eth0]/", HOST),
        ("https://[fe80::1%eth0]/", HOST),
        ("https://[::1/", HOST),
        ("https://::1/", HOST),
        ("https://[::1]x/", HOST),
        ("https://[v1.x]/", HOST),
        ("https://example.com:/", HOST),
        ("https://example.com:443:80/", HOST),
        ("https://example.com:+443/", HOST),
        ("https://example.com:123456/", HOST),
        ("https://example.com:0/", PORT),
        ("https://example.com:65536/", PORT),
        ("https://[127.0.0.1]/", "expected an IPv6 address inside the brackets"),
        ("https://[::1::]/", "expected an IPv6 address inside the brackets"),
        ("https://[1.2.3.4::]/", "expected an IPv6 address inside the brackets"),
        ("https://example.com#x", URL),
        ("https://example.com/#@127.0.0.1", URL),
        ("https:///127.0.0.1/", URL),
        ("https:/127.0.0.1/", URL),
        ("https:127.0.0.1", URL),
        ("//127.0.0.1/", URL),
        ("ftp://example.com/", URL),
        ("file:///etc/passwd", URL),
        ("example.com", URL),
        ("https://..example.com/", NAME),
        ("https://a..b/", NAME),
        ("https://./", NAME),
        ("https://-a.example/", NAME),
        (f"https://{'a' * 64}.example/", NAME),
        (f"https://{'a.' * 130}example/", NAME),
    ],
)
def test_a_url_that_could_be_read_in_two_ways_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        read_url(url)
    assert str(refused.value) == why


@given(st.text() | st.from_regex(r"https?://[!-~]*"))
def test_any_text_is_a_target_or_a_reason(text: str) -> None:
    try:
        target = read_url(text, allow_http=True)
    except ValueError as error:
        assert str(error).startswith("expected")  # noqa: PT017  # either is right
    else:
        assert target.scheme in {"http", "https"}
        assert 0 < target.port < 65536


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://127.0.0.1/", "127.0.0.1 is a loopback address"),
        ("https://[::1]/", "::1 is a loopback address"),
        ("https://[::ffff:a9fe:a9fe]/", "::ffff:a9fe:a9fe is an IPv4 address written as IPv6"),
        ("https://Metadata.google.internal./", "metadata.google.internal is a name for use inside"),
        ("https://8.8.8.8/", None),
        ("https://example.com/", None),
    ],
)
def test_what_shows_before_a_lookup_is_said_before_it(url: str, why: str | None) -> None:
    assert Guard().why_not(read_url(url)) == why
