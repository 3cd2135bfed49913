"""The four pretend providers together, each listening on a port of its own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from watcher.demo.chime import Chime
from watcher.demo.d7 import D7
from watcher.demo.kore import Kore
from watcher.demo.pretend import Vendor, serving
from watcher.demo.ukg import Ukg


@dataclass(frozen=True, slots=True)
class Vendors:
    """One of each; fresh, they know no operation."""

    d7: D7 = field(default_factory=D7)
    kore: Kore = field(default_factory=Kore)
    chime: Chime = field(default_factory=Chime)
    ukg: Ukg = field(default_factory=Ukg)

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Self]:
        """Let all four listen on 127.0.0.1; each vendor's `url` says where."""
        vendors = cls()
        async with AsyncExitStack() as stack:
            each: tuple[Vendor, ...] = (vendors.d7, vendors.kore, vendors.chime, vendors.ukg)
            for vendor in each:
                vendor.url = await stack.enter_async_context(serving(vendor.application()))
            yield vendors
