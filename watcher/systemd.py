"""What systemd is told, over the datagram socket that it names: sd_notify(3). Without systemd it does nothing."""

import os
import socket


def notify(*lines: str) -> None:
    """Send `READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=…`; lost if nobody listens, as systemd means it to be."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
        try:
            sender.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1))
        except OSError:
            return


def watchdog_seconds() -> float | None:
    """Return how often systemd wants to hear from us, None if it does not (`WATCHDOG_USEC`, `WATCHDOG_PID`)."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(usec) / 1e6 if usec.isdigit() and pid == str(os.getpid()) else None
