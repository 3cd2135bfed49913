"""Looks names up, so that one whose server is silent is never felt by another. Nothing is remembered or judged here."""

import socket
from collections import deque
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import anyio
from aiohttp.abc import AbstractResolver, ResolveResult

from watcher.aside import Aside

MOST = 128  # lookups at once: a silent server holds each up for ten seconds or more, in 30 KB of memory
PATIENCE = 2.0  # seconds in the queue; then our own side is to blame, before the attempt is late and the name is
TOO_LONG = 30.0  # seconds, after which nobody joins a lookup any more: it may never end
FLAGS = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

_Key: TypeAlias = tuple[str, socket.AddressFamily]


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    family: socket.AddressFamily
    protocol: int


@dataclass(slots=True, eq=False)
class _Lookup:
    """What is being asked of a name: `call` once it has begun, or why it cannot."""

    key: _Key
    joined_for: float
    waiting: int = 0
    begun: anyio.Event = field(default_factory=anyio.Event)
    call: Aside[list[_Address]] | OSError | None = None

    @property
    def is_stuck(self) -> bool:
        """Has it lasted so long that it is better to ask anew?"""
        return isinstance(self.call, Aside) and self.call.age > self.joined_for


class Names(AbstractResolver):
    """A resolver that answers as aiohttp's own does, with a thread for each name that is being looked up.

    Who asks for such a name waits for the same answer. It comes after they asked, and nothing is kept, so it is as
    good as one of their own, also for a guard. Who gives up leaves the lookup to others; its place is free again when
    its thread has ended, not before. At most `most` names are looked up at once, others queue.
    """

    def __init__(self, *, most: int = MOST) -> None:
        self._free = most
        self._lookups: dict[_Key, _Lookup] = {}
        self._queue: deque[_Lookup] = deque()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return all addresses of a name; raise what `getaddrinfo` raises.

        Raises:
            OSError: there is none, or it cannot be asked for just now.

        """
        key = host, family
        lookup = self._lookups.get(key)
        if lookup is None or lookup.is_stuck:
            lookup = self._add(key, instead_of=lookup)
        lookup.waiting += 1
        try:
            found = await _answer(lookup)
        finally:
            lookup.waiting -= 1
        return [
            ResolveResult(hostname=host, host=one.host, port=port, family=one.family, proto=one.protocol, flags=FLAGS)
            for one in found
        ]

    async def close(self) -> None:
        """Wait for nothing: what is being looked up ends by itself, or with the process."""

    def _add(self, key: _Key, *, instead_of: _Lookup | None) -> _Lookup:
        # Twice as long each time, so that one name takes few places, however long it hangs.
        joined_for = TOO_LONG if instead_of is None else 2 * instead_of.joined_for
        lookup = self._lookups[key] = _Lookup(key, joined_for)
        if self._free:
            self._begin(lookup)
        else:
            self._queue.append(lookup)
        return lookup

    def _begin(self, lookup: _Lookup) -> None:
        try:
            lookup.call = Aside(partial(_look_up, *lookup.key), name="look up a name", then=partial(self._end, lookup))
            self._free -= 1
        except OSError:
            lookup.call = socket.gaierror(socket.EAI_AGAIN, "no thread is left to look the name up")
            self._forget(lookup)
        lookup.begun.set()

    def _end(self, lookup: _Lookup) -> None:
        """Forget a lookup, and begin the next one that anybody waits for."""
        self._forget(lookup)
        self._free += 1
        while self._queue and self._free:
            following = self._queue.popleft()
            if following.waiting:
                self._begin(following)
            else:
                self._forget(following)

    def _forget(self, lookup: _Lookup) -> None:
        if self._lookups.get(lookup.key) is lookup:
            del self._lookups[lookup.key]


async def _answer(lookup: _Lookup) -> list[_Address]:
    with anyio.move_on_after(PATIENCE):
        await lookup.begun.wait()
    if lookup.call is None:
        raise socket.gaierror(socket.EAI_AGAIN, "too many names are being looked up")
    if isinstance(lookup.call, OSError):
        raise copy(lookup.call)
    return await lookup.call.result()


def _look_up(host: str, family: socket.AddressFamily) -> list[_Address]:
    """Ask the system, as long as that takes."""
    found = socket.getaddrinfo(host, 0, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [_Address(_written(address), kind, protocol) for kind, _, protocol, _, address in found]


def _written(address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    """Write an address as a number; a link-local one with its link, or nobody could call it."""
    return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
