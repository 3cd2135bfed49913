"""No connection to an address that `Guard` forbids: names are checked when looked up, addresses when called."""

import errno
import socket
from ipaddress import ip_address

from aiohttp import AddrInfoType, SocketFactoryType
from aiohttp.abc import AbstractResolver, ResolveResult

from watcher.core.addresses import Guard, read_url
from watcher.transport.faults import BlockedError


def check_url(url: str, *, guard: Guard | None) -> None:
    """Refuse what shows before a lookup; the scheme is the configuration's affair. Without guard, nothing.

    Raises:
        BlockedError: it must not be called, or not everybody reads it in the same way.

    """
    if guard is None:
        return
    try:
        target = read_url(url, allow_http=True)
    except ValueError as error:
        raise BlockedError(str(error)) from None
    if why := guard.why_not(target):
        raise BlockedError(why)


class GuardedResolver(AbstractResolver):
    """Answers with the addresses of a name, once all of them have passed; the connection goes to one of these."""

    def __init__(self, resolver: AbstractResolver, *, guard: Guard) -> None:
        self._resolver = resolver
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Look a name up, or raise `BlockedError`."""
        if why := self._guard.why_not_name(host):
            raise BlockedError(why)
        found = await self._resolver.resolve(host, port, family)
        addresses = [one["host"] for one in found]
        here = [one for one in addresses if _is_here(one, guard=self._guard)]
        if why := self._guard.why_not_any(addresses, port=port, here=here):
            raise BlockedError(f"{host}: {why}")
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        return found

    async def close(self) -> None:
        """Let go of the resolver behind this one."""
        await self._resolver.close()


def guarded_sockets(guard: Guard) -> SocketFactoryType:
    """Make sockets only for addresses that may be called: the last check, which an address in the URL meets too."""

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, (address, port, *_) = info
        if why := guard.why_not_address(address, port=port, is_here=_is_here(address, guard=guard)):
            raise BlockedError(why)
        return socket.socket(family, kind, protocol)

    return make


def _is_here(address: str, *, guard: Guard) -> bool:
    """Is it an address of this machine, in case that matters?"""
    return guard.listens_everywhere and is_this_machine(address)


def is_this_machine(address: str) -> bool:
    """Ask the kernel which address it would call from: of ourselves, the same. Nothing is sent.

    Raises:
        OSError: there is no file handle to ask with.

    """
    try:
        called = ip_address(address)
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(0)
            asking.connect((address, 9))
            return ip_address(asking.getsockname()[0]) == called
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
            raise
        return False
