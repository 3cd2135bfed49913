"""Where to listen: `listen` of `[watcher]`, read. Opens nothing."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

EXPECTED = 'expected "127.0.0.1:8480", "[::1]:8480", "unix:/run/watcher/http.sock", or "" for nothing'


@dataclass(frozen=True, slots=True)
class Tcp:
    """A host, without brackets, and a port; 0 is any free one."""

    host: str
    port: int

    @property
    def is_private(self) -> bool:
        """Can only this machine reach it?"""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    """A socket in the file system, whose permissions say who may connect."""

    path: Path

    @property
    def is_private(self) -> bool:
        """Can only this machine reach it?"""
        return True

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address: TypeAlias = Tcp | Unix


def read_address(written: str, *, folder: Path = Path()) -> Address | None:
    """Read `listen`; None where it is empty. A relative path is one of `folder`.

    Raises:
        ValueError: it is no address; the text says what was expected.

    """
    if not written:
        return None
    scheme, _, place = written.partition(":")
    if scheme == "unix":
        if not place or "\0" in place:
            raise ValueError(EXPECTED)
        return Unix((folder / place).absolute())
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]{1,253})):(\d{1,5})", written, re.ASCII)
    if found is None or int(found[3]) > 65535 or (found[1] and not _is_ip(found[1])):  # noqa: PLR2004  # the last port
        raise ValueError(EXPECTED)
    return Tcp(found[1] or found[2], int(found[3]))


def is_loopback(host: str) -> bool:
    """Does this name, or address without brackets, always mean the machine itself?"""
    return ip_address(host).is_loopback if _is_ip(host) else host.lower() == "localhost"


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
