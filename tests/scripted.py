"""Stand-ins for the clock and the network, for tests of what waits: both do only what a test tells them to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel

from watcher.core.wire import NoAnswer, Request, Response

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass
class FakeClock:
    """`ports.Clock` that stands still until it is advanced; the wall may be moved alone, as an operator might."""

    wall: datetime = NOON
    seconds: float = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass
class FakeTransport:
    """`ports.Transport` that answers from a script, in turn, and keeps what it was asked.

    While `gate` is an event that is not set, answers wait for it; `takes` is called before each, to advance a clock.
    """

    script: list[Response | NoAnswer]
    gate: anyio.Event | None = None
    history: list[Request] = field(default_factory=list)
    within: list[timedelta] = field(default_factory=list)
    takes: Callable[[], None] = lambda: None

    async def send(self, request: Request, *, within: timedelta) -> Response | NoAnswer:
        self.history.append(request)
        self.within.append(within)
        await anyio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        self.takes()
        return self.script.pop(0)

    @property
    def asked(self) -> list[str]:
        """The requests, as `GET https://…`."""
        return [f"{request.method} {request.url}" for request in self.history]


def answered(status: int = 200, body: bytes = b"", **headers: str) -> Response:
    """Make an answer; `retry_after="5"` is the header `retry-after`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, named, body, NOON)
