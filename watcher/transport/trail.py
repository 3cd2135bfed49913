"""How far one attempt got, and when. Whoever comes to a point notes it; the trail is found by the task."""

from asyncio import BaseTransport
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic

from watcher.core.wire import Timing


@dataclass(slots=True)
class Trail:
    """What is known of one attempt; moments are monotonic seconds, None before they come."""

    began: float = field(default_factory=monotonic)
    address: str | None = None
    is_reused: bool = False
    dns: float | None = None  # seconds
    connecting: float | None = None
    connected: float | None = None
    secured: float | None = None
    ready: float | None = None
    first: float | None = None

    @property
    def is_stale(self) -> bool:
        """Was the connection an old one, of which no byte came any more?"""
        return self.is_reused and self.first is None

    def timing(self) -> Timing:
        """Return the phases, as far as they came to an end."""
        return Timing(
            monotonic() - self.began,
            self.dns,
            _between(self.connecting, self.connected),
            _between(self.connected, self.secured),
            _between(self.ready, self.first),
        )


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start


current: ContextVar[Trail] = ContextVar("trail of the attempt that is being made")


def peer(transport: BaseTransport | None) -> str | None:
    """Return the address at the other end, as `192.0.2.1:443` or `[2001:db8::1]:443`."""
    return address_of(transport.get_extra_info("peername")) if transport else None


def address_of(socket_address: object) -> str | None:
    """Write the address of a socket."""
    if not isinstance(socket_address, tuple):
        return None
    host, port, *_ = socket_address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
