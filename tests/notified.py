"""A socket as systemd has it, and what it heard."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Ear:
    """Hears all at once that was told since it was asked last."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(address)

    def heard(self) -> list[str]:
        told = []
        while True:
            try:
                told.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return told


@contextmanager
def listening(folder: Path, environ: pytest.MonkeyPatch) -> Iterator[Ear]:
    """Listen where a daemon in this process tells systemd; no watchdog waits for it."""
    environ.setenv("NOTIFY_SOCKET", str(folder / "notify"))
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        environ.delenv(name, raising=False)
    ear = Ear(str(folder / "notify"))
    with ear.socket:
        yield ear
