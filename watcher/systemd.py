"""What systemd is told, over the datagram socket that it names: sd_notify(3). Without systemd nobody hears it.

How things stand is asked for; nothing is decided here, but that a daemon with a stuck loop does not feed the watchdog.
"""

import os
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import NamedTuple

import anyio
import structlog

from watcher import metrics
from watcher.metrics import Reading

TELL_EVERY = 5.0
ON_TIME = 1.0  # seconds late, that nobody needs to know of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Standing(NamedTuple):
    """How things stand: the gauges that `/metrics` shows, and the names of the loops that are stuck."""

    readings: Iterable[Reading]
    stuck: Sequence[str] = ()


def notify(*lines: str) -> None:
    """Send `READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=…`; lost if nobody listens, as systemd means it to be."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError):
        _sender().sendto("\n".join(lines).encode(), address.replace("@", "\0", 1))


@cache  # later there may be no handle for it, and whoever does not feed the watchdog then is killed
def _sender() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)


def watchdog_seconds() -> float | None:
    """Return how often systemd wants to hear from us, None if it does not (`WATCHDOG_USEC`, `WATCHDOG_PID`)."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(usec) / 1e6 if usec.isdigit() and pid == str(os.getpid()) else None


def extend(seconds: float) -> str:
    """Ask for so many seconds more to start or to stop in, whatever the unit says."""
    return f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}"


def status(standing: Standing) -> str:
    """Say in one line, for `systemctl status`, how many watches and deliveries there are, and how late the polls."""
    watches, late, waiting = 0.0, (0.0, ""), 0.0
    for of, labels, value in standing.readings:
        if of is metrics.WATCHES:
            watches += value
        elif of is metrics.OLDEST_DUE:
            late = max(late, (value, labels[0]))
        elif of is metrics.OUTBOX:
            waiting += value
    told = [f"stuck: {', '.join(standing.stuck)}"] if standing.stuck else []
    told.append(f"{watches:,.0f} open watches")
    told.append("on time" if late[0] < ON_TIME else f"{late[1]} {late[0]:,.0f} s late")
    told.append(f"{waiting:,.0f} deliveries waiting")
    return f"STATUS={', '.join(told)}"


async def keep_told(look: Callable[[], Standing | None]) -> None:
    """Tell how things stand every few seconds, and that we live while no loop is stuck; for ever.

    Until there is something to look at (None) nothing is told.
    """
    patience = watchdog_seconds()
    every = TELL_EVERY if patience is None else min(TELL_EVERY, patience / 3)
    known: Sequence[str] = ()
    while True:
        standing = look()
        if standing is not None:
            if standing.stuck and not known:
                log.error("daemon.fault", message="stuck: the watchdog is not fed", loops=list(standing.stuck))
            known = standing.stuck
            notify(status(standing), *([] if known or patience is None else ["WATCHDOG=1"]))
        await anyio.sleep(every)
