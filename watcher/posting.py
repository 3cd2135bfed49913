"""How the POSTs of one webhook leave this machine: whom its section trusts, and which addresses it lets us call."""

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

from anyio import to_thread

from watcher.attempt import MOST_BODY
from watcher.core.addresses import Address, Guard
from watcher.core.errors import ConfigError
from watcher.core.webhook_section import Terms
from watcher.ports import Transport
from watcher.transport import open_transport, tls_context


@asynccontextmanager
async def open_posts(terms: Terms, *, own: frozenset[tuple[Address, int]] = frozenset()) -> AsyncIterator[Transport]:
    """Open the connections of a webhook and close them in the end; `own` is as in `guard_of`.

    Raises:
        ConfigError: one of its TLS files cannot be read.

    """
    async with open_transport(glance=MOST_BODY, tls=await trust_of(terms), guard=guard_of(terms, own=own)) as transport:
        yield transport


async def trust_of(terms: Terms) -> ssl.SSLContext:
    """Read the TLS files of a section.

    Raises:
        ConfigError: one of them cannot be read.

    """
    return await to_thread.run_sync(_read_trust, terms)


def _read_trust(terms: Terms) -> ssl.SSLContext:
    return tls_context(ca_file=terms.ca_file, client_cert=terms.client_cert, client_key=terms.client_key)


def distrusted(sections: Mapping[str, Terms]) -> Iterator[str]:
    """Say which TLS files of sections, by their paths, cannot be used, and why: `webhooks.ops.ca_file: …`."""
    for path, terms in sections.items():
        try:
            _read_trust(terms)
        except ConfigError as error:
            yield f"{path}.{error}"


def guard_of(terms: Terms, *, own: frozenset[tuple[Address, int]] = frozenset()) -> Guard | None:
    """Return who judges the addresses, which are never our `own`; None where all may be called."""
    return None if terms.private is True else Guard(allowed=terms.private or (), own=own)
