from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.addresses import Address, Guard

GUARD = Guard()

# The list of what may not be called, written out again: the tests judge by this one.
DENIED = [
    ip_network(written)
    for written in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/8", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16"),
        *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
]


# --- addresses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("0.0.0.0", "an address of this machine"),  # noqa: S104  # nobody listens here
        ("0.1.2.3", "an address of this machine"),
        ("10.0.0.1", "a private address"),
        ("10.255.255.255", "a private address"),
        ("100.64.0.1", "a carrier's private address"),
        ("100.127.255.255", "a carrier's private address"),
        ("127.0.0.1", "a loopback address"),
        ("127.1.2.3", "a loopback address"),
        ("127.255.255.254", "a loopback address"),
        ("169.254.169.254", "a link-local address"),
        ("169.254.170.2", "a link-local address"),
        ("172.16.0.1", "a private address"),
        ("172.31.255.255", "a private address"),
        ("192.0.0.1", "a protocol's own address"),
        ("192.0.0.170", "a protocol's own address"),
        ("192.0.0.192", "a protocol's own address"),
        ("192.0.2.1", "an address for documentation"),
        ("192.88.99.1", "a 6to4 relay"),
        ("192.168.0.1", "a private address"),
        ("192.168.255.255", "a private address"),
        ("198.18.0.1", "an address for benchmarks"),
        ("198.19.255.255", "an address for benchmarks"),
        ("198.51.100.1", "an address for documentation"),
        ("203.0.113.1", "an address for documentation"),
        ("224.0.0.1", "a multicast address"),
        ("239.255.255.255", "a multicast address"),
        ("240.0.0.1", "a reserved address"),
        ("255.255.255.255", "a reserved address"),
        ("::", "an address of this machine"),
        ("::1", "a loopback address"),
        ("::127.0.0.1", "a reserved address"),
        ("::ffff:127.0.0.1", "an IPv4 address written as IPv6"),
        ("::ffff:7f00:1", "an IPv4 address written as IPv6"),
        ("::ffff:8.8.8.8", "an IPv4 address written as IPv6"),
        ("::ffff:0:127.0.0.1", "a reserved address"),
        ("64:ff9b::7f00:1", "a loopback address"),
        ("64:ff9b::10.0.0.1", "a private address"),
        ("64:ff9b::a9fe:a9fe", "a link-local address"),
        ("64:ff9b:1::1", "a reserved address"),
        ("64:ff9b:1::8.8.8.8", "a reserved address"),
        ("100::1", "an address that discards"),
        ("2001::1", "a protocol's own address"),
        ("2001:1::1", "a protocol's own address"),
        ("2001:20::1", "a protocol's own address"),
        ("2001:db8::1", "an address for documentation"),
        ("2002:7f00:1::", "a 6to4 address"),
        ("2002:808:808::1", "a 6to4 address"),
        ("3fff::1", "an address for documentation"),
        ("5f00::1", "a segment routing address"),
        ("fc00::1", "a private address"),
        ("fd00:ec2::254", "a private address"),
        ("fe80::1", "a link-local address"),
        ("febf::1", "a link-local address"),
        ("fec0::1", "a site-local address"),
        ("ff02::1", "a multicast address"),
    ],
)
def test_an_address_that_is_not_public_is_refused(written: str, kind: str) -> None:
    assert GUARD.why_not_address(written, port=443) == f"{written} is {kind}"


@pytest.mark.parametrize("written", ["fe80::1%eth0", "2606:4700::1%1", "::1%lo"])
def test_an_address_with_a_zone_is_refused(written: str) -> None:
    assert GUARD.why_not_address(written, port=443) == f"{written} has a zone"


@pytest.mark.parametrize("written", ["", "localhost", "127.1", "0x7f000001", "127.0.0.1:80", "[::1]", "1.2.3.04"])
def test_what_is_no_address_is_refused(written: str) -> None:
    assert GUARD.why_not_address(written, port=443) == f"{written} is no address"


@pytest.mark.parametrize(
    "written",
    [
        *("1.1.1.1", "8.8.8.8", "93.184.215.14", "100.63.255.255", "172.32.0.1", "198.20.0.1"),
        *("2001:4860:4860::8888", "2606:4700:4700::1111", "2a00:1450:4001:80f::200e", "64:ff9b::808:808"),
    ],
)
def test_a_public_address_is_allowed(written: str) -> None:
    assert GUARD.why_not_address(written, port=443) is None


def test_one_bad_address_is_enough() -> None:
    assert GUARD.why_not_any(["8.8.8.8", "2606:4700::1"], port=443) is None
    assert GUARD.why_not_any(["8.8.8.8", "10.0.0.1", "::1"], port=443) == "10.0.0.1 is a private address"


def is_denied(address: Address) -> bool:
    return any(address in network for network in DENIED)


@given(st.ip_addresses(v=4))
def test_every_ipv4_address_is_judged_by_the_list(address: IPv4Address) -> None:
    assert (GUARD.why_not_address(str(address), port=443) is not None) == is_denied(address)


def at_the_edges(version: int) -> st.SearchStrategy[int]:
    """Draw numbers of addresses in the denied networks and just beside them."""
    networks = [network for network in DENIED if network.version == version]
    edges = [int(edge) + by for one in networks for edge in (one[0], one[-1]) for by in (-1, 0, 1)]
    return st.sampled_from([edge for edge in edges if 0 <= edge < 2 ** (32 if version == 4 else 128)])


@given(at_the_edges(4).map(IPv4Address))
def test_ipv4_is_judged_rightly_where_a_network_begins_and_ends(address: IPv4Address) -> None:
    assert (GUARD.why_not_address(str(address), port=443) is not None) == is_denied(address)


@given(
    (st.ip_addresses(v=6) | at_the_edges(6).map(IPv6Address)).filter(lambda one: one not in ip_network("64:ff9b::/96"))
)
def test_every_ipv6_address_is_judged_by_the_list(address: IPv6Address) -> None:
    assert (GUARD.why_not_address(str(address), port=443) is not None) == is_denied(address)


@given(st.ip_addresses(v=4) | at_the_edges(4).map(IPv4Address))
def test_an_ipv4_address_behind_nat64_has_its_own_verdict(address: IPv4Address) -> None:
    translated = IPv6Address(int(IPv6Address("64:ff9b::")) | int(address))
    refused = GUARD.why_not_address(str(translated), port=443) is not None
    assert refused == (GUARD.why_not_address(str(address), port=443) is not None)


@given(st.ip_addresses())
def test_what_is_not_global_is_never_allowed(address: Address) -> None:
    """As the standard library sees it, which knows less."""
    if not address.is_global:
        assert GUARD.why_not_address(str(address), port=443) is not None


# --- exceptions, and ourselves --------------------------------------------------------------------------------

OFFICE = Guard(allowed=(ip_network("10.1.0.0/16"), ip_network("fd00::/8")))


@pytest.mark.parametrize("written", ["10.1.2.3", "fd12::1", "64:ff9b::10.1.2.3", "8.8.8.8"])
def test_an_allowed_network_is_an_exception(written: str) -> None:
    assert OFFICE.why_not_address(written, port=443) is None


@pytest.mark.parametrize("written", ["10.2.0.1", "127.0.0.1", "fc00::1", "::ffff:10.1.2.3", "fd12::1%eth0"])
def test_an_allowed_network_allows_nothing_else(written: str) -> None:
    assert OFFICE.why_not_address(written, port=443) is not None


def test_where_networks_are_allowed_their_names_are_too() -> None:
    assert OFFICE.why_not_name("hooks.corp.internal") is None


LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::/8"))


@pytest.mark.parametrize(
    ("own", "written", "port", "is_refused"),
    [
        (("127.0.0.1", 8480), "127.0.0.1", 8480, True),
        (("127.0.0.1", 8480), "::ffff:127.0.0.1", 8480, True),
        (("127.0.0.1", 8480), "127.0.0.1", 8481, False),
        (("127.0.0.1", 8480), "127.0.0.2", 8480, False),
        (("127.0.0.1", 0), "127.0.0.1", 8481, True),
        (("::1", 8480), "::1", 8480, True),
        (("8.8.8.8", 8480), "8.8.8.8", 8480, True),
        (("8.8.8.8", 8480), "64:ff9b::808:808", 8480, True),
    ],
)
def test_where_we_listen_is_refused_even_if_it_is_allowed(
    own: tuple[str, int], written: str, port: int, *, is_refused: bool
) -> None:
    guard = Guard(allowed=LOOPBACK, own=frozenset({(ip_address(own[0]), own[1])}))
    expected = f"{written} port {port} is where we listen" if is_refused else None
    assert guard.why_not_address(written, port=port) == expected


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])  # noqa: S104  # nobody listens here
def test_who_listens_everywhere_is_not_called_at_any_address_of_the_machine(everywhere: str) -> None:
    guard = Guard(own=frozenset({(ip_address(everywhere), 8480)}))
    assert guard.listens_everywhere
    assert guard.why_not_address("8.8.8.8", port=8480) is None
    assert guard.why_not_address("8.8.8.8", port=443, is_here=True) is None
    assert guard.why_not_address("8.8.8.8", port=8480, is_here=True) == "8.8.8.8 port 8480 is where we listen"
    assert guard.why_not_any(["1.1.1.1", "8.8.8.8"], port=8480, here=["8.8.8.8"]) is not None


@pytest.mark.parametrize("written", ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::ffff:127.0.0.1"])  # noqa: S104
def test_loopback_is_always_this_machine(written: str) -> None:
    allowed = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    guard = Guard(allowed, own=frozenset({(ip_address("0.0.0.0"), 8480)}))  # noqa: S104
    assert guard.why_not_address(written, port=8480) == f"{written} port 8480 is where we listen"
    assert guard.why_not_address(written, port=8481) is None


# --- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("localhost", "LOCALHOST", "localhost.", "localhost..", "a.localhost", "printer.local", "a.b.local."),
        *("metadata.google.internal", "METADATA.google.Internal.", "db.internal", "local", "internal"),
    ],
)
def test_a_name_for_use_inside_is_refused_before_it_is_looked_up(name: str) -> None:
    assert GUARD.why_not_name(name) == f"{name.rstrip('.').lower()} is a name for use inside"


@pytest.mark.parametrize("name", ["example.com", "localhost.example.com", "notlocalhost", "internal.example", "x.y."])
def test_any_other_name_may_be_looked_up(name: str) -> None:
    assert GUARD.why_not_name(name) is None
