"""Why there is no answer: exceptions of aiohttp and the system as values, in words that quote nothing secret."""

import errno
import os
import socket
import ssl

import aiohttp

from watcher.core.wire import Fault, NoAnswer

# Our own side: no handles, no memory, no ports, no network; and a resolver that cannot be asked.
_LOCAL = {
    *(errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM),
    *(errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.ENETUNREACH),
    *(socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM),
}

_MEANINGS = (
    (aiohttp.ConnectionTimeoutError, NoAnswer(Fault.TIMEOUT, "no connection in time")),
    (TimeoutError, NoAnswer(Fault.TIMEOUT, "no whole answer in time")),
    (aiohttp.ClientResponseError, NoAnswer(Fault.GARBAGE, "the answer is not HTTP, or its headers are too long")),
    (aiohttp.ClientPayloadError, NoAnswer(Fault.GARBAGE, "the body is cut short or broken")),
    (aiohttp.ServerDisconnectedError, NoAnswer(Fault.CONNECTION, "closed without an answer")),
)


class UnusableError(Exception):
    """An answer came, and cannot be used."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.why = NoAnswer(fault, detail)


class BlockedError(OSError):
    """Our guard lets nobody call this address; the text says why."""


# What the other side and the network can do to a request; anything else is a bug of ours.
EXPECTED = (UnusableError, aiohttp.ClientError, OSError, ValueError)


def no_answer(error: Exception) -> NoAnswer:
    """Say why there is no answer. Not in the error's own words where they quote the URL or what the server sent."""
    if isinstance(error, UnusableError):
        return error.why
    for kind, meaning in _MEANINGS:
        if isinstance(error, kind):
            return meaning
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, BlockedError):
        return NoAnswer(Fault.BLOCKED, str(cause))
    if isinstance(cause, socket.gaierror | ssl.SSLError):  # whose numbers are not the system's
        return NoAnswer(_fault(cause), cause.strerror or str(cause))
    if isinstance(cause, OSError):  # its own words hold the whole URL, or a call of Python's
        return NoAnswer(_fault(cause), os.strerror(cause.errno) if cause.errno else "the connection broke")
    if isinstance(cause, ValueError):
        return NoAnswer(Fault.GARBAGE, "the request cannot be sent as it is written")
    return NoAnswer(Fault.CONNECTION, type(error).__name__)


def _fault(cause: OSError) -> Fault:
    if cause.errno in _LOCAL:
        return Fault.LOCAL
    if isinstance(cause, socket.gaierror):
        return Fault.DNS
    return Fault.TLS if isinstance(cause, ssl.SSLError) else Fault.CONNECTION
