"""Which addresses a caller may make us call (SPEC.md, section 7.6), and how a caller's URL is read. No lookup here."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# First match wins. `ipaddress.is_global` alone lets half of these through.
DENIED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "an address of this machine"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a carrier's private address"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a protocol's own address"),
        ("192.0.2.0/24", "an address for documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "an address for benchmarks"),
        ("198.51.100.0/24", "an address for documentation"),
        ("203.0.113.0/24", "an address for documentation"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
        ("::/128", "an address of this machine"),
        ("::1/128", "a loopback address"),
        ("::ffff:0:0/96", "an IPv4 address written as IPv6"),
        ("::/8", "a reserved address"),
        ("100::/64", "an address that discards"),
        ("2001::/23", "a protocol's own address"),
        ("2001:db8::/32", "an address for documentation"),
        ("2002::/16", "a 6to4 address"),
        ("3fff::/20", "an address for documentation"),
        ("5f00::/16", "a segment routing address"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address"),
        ("ff00::/8", "a multicast address"),
    )
)
NAT64 = IPv6Network("64:ff9b::/96")
DENIED_NAMES = ("localhost", "local", "internal")  # and all below them, metadata.google.internal among them

_URL = re.compile(r"(https?)://([^/?#]+)(?:[/?][^#]*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_LABEL = re.compile(r"(?!-)[0-9a-z_-]{1,63}(?<!-)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_LONGEST_NAME = 253
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads, read once: `host` is a name in lower case, or an address."""

    scheme: str
    host: str | Address
    port: int


def read_url(url: str, *, allow_http: bool = False) -> Target:
    """Read a caller's URL in the one way in which everybody reads it, so that it can be sent as it is.

    Raises:
        ValueError: there is none, or it is not https; the text says what was expected and quotes nothing.

    """
    if not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        raise ValueError("expected visible ASCII without backslashes; other names are written as xn--…")
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError("expected an address such as https://example.com/hooks, without fragment")
    scheme, authority = found[1].lower(), found[2]
    if scheme == "http" and not allow_http:
        raise ValueError("expected https://")
    if "@" in authority:
        raise ValueError("expected no user info")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise ValueError("expected a host name, or an address, with or without a port")
    port = int(parts[2] or {"http": 80, "https": 443}[scheme])
    if not 0 < port <= _LAST_PORT:
        raise ValueError("expected a port from 1 to 65535")
    return Target(scheme, _host(parts[1].lower()), port)


def _host(written: str) -> str | Address:
    if written.startswith("["):
        try:
            return IPv6Address(written[1:-1])
        except ValueError:
            raise ValueError("expected an IPv6 address inside the brackets") from None
    labels = written.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):  # what resolvers take for IPv4: 2130706433, 0x7f.1, 127.1
        try:
            return IPv4Address(written)
        except ValueError:
            raise ValueError("expected an IPv4 address as four decimal numbers without leading zeros") from None
    if len(written) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("expected a host name")
    return written


@dataclass(frozen=True, slots=True)
class Guard:
    """Says which addresses may be called: public ones, those in `allowed`, and never our `own`.

    `own` is where we listen ourselves; there port 0 means all of them, and 0.0.0.0 or :: whatever `is_here`, which
    is what the caller knows of the address: is it one of this machine's? Each method returns None for yes, or why
    not, for people.
    """

    allowed: tuple[Network, ...] = ()
    own: frozenset[tuple[Address, int]] = frozenset()

    @property
    def listens_everywhere(self) -> bool:
        """Do we listen on every address of this machine?"""
        return any(ours.is_unspecified for ours, _ in self.own)

    def why_not(self, target: Target) -> str | None:
        """Say what shows before a lookup: of an address all, of a name only that it is one of the forbidden ones.

        Where networks are allowed, what is inside them has such names; then only what a name leads to counts.
        """
        if not isinstance(target.host, str):
            return self.why_not_address(str(target.host), port=target.port)
        return self.why_not_name(target.host)

    def why_not_name(self, name: str) -> str | None:
        """Judge a name before it is looked up."""
        plain = name.rstrip(".").lower()
        if not self.allowed and plain.rpartition(".")[2] in DENIED_NAMES:
            return f"{plain} is a name for use inside"
        return None

    def why_not_address(self, written: str, *, port: int, is_here: bool = False) -> str | None:
        """Judge one address, as a resolver or a user writes it."""
        try:
            address = ip_address(written)
        except ValueError:
            return f"{written} is no address"
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return f"{written} has a zone"
        inside = _inside(address)
        if self._is_own(inside, port=port, is_here=is_here):
            return f"{written} port {port} is where we listen"
        judged = inside if address in NAT64 else address
        if any(judged in network for network in self.allowed):
            return None
        return next((f"{written} is {kind}" for network, kind in DENIED if judged in network), None)

    def why_not_any(self, written: Iterable[str], *, port: int, here: Collection[str] = ()) -> str | None:
        """Judge all addresses of one name: one that is bad is enough. Those in `here` are this machine's."""
        verdicts = (self.why_not_address(one, port=port, is_here=one in here) for one in written)
        return next(filter(None, verdicts), None)

    def _is_own(self, address: Address, *, port: int, is_here: bool) -> bool:
        is_ours = is_here or address.is_loopback or address.is_unspecified
        return any(
            (address == own or (is_ours and own.is_unspecified)) and own_port in {0, port} for own, own_port in self.own
        )


def _inside(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address only wraps."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address
