"""What the pretend providers share: a script for each operation, a history of requests. No vendor's own rules."""

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import anyio
import orjson
from aiohttp import web

from watcher.core.model import Json


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: a JSON document, or bytes that go out as they are; `delay` is seconds before it is sent."""

    status: int = 200
    body: "Json | bytes" = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0

    def response(self) -> web.Response:
        """Put it on the wire."""
        headers = dict(self.headers)
        match self.body:
            case None:
                content = b""
            case bytes():
                content = self.body
            case _:
                content = orjson.dumps(self.body)
                headers.setdefault("Content-Type", "application/json")
        return web.Response(status=self.status, body=content, headers=headers)


Stage: TypeAlias = "tuple[float, Json | Reply]"


class Script:
    """What is answered about one operation: each stage from so many seconds after the first question on.

    No stage is skipped: a question moves on by one stage at most. So what a client sees does not hang on its pace.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = [(after, doc if isinstance(doc, Reply) else Reply(body=doc)) for after, doc in stages]
        self._place = -1
        self._begun_at = 0.0

    @property
    def last(self) -> Reply | None:
        """The answer given last."""
        return self._stages[self._place][1] if self._place >= 0 else None

    def reply(self, *, now: float) -> Reply:
        """Answer one question."""
        if self._place < 0:
            self._begun_at = now
        following = self._place + 1
        if following == 0 or (following < len(self._stages) and now - self._begun_at >= self._stages[following][0]):
            self._place = following
        return self._stages[self._place][1]


@dataclass(frozen=True, slots=True)
class Visit:
    """One request that was answered; `path` is as it was on the wire, `at` is monotonic seconds."""

    method: str
    path: str
    status: int
    at: float


class Vendor(ABC):
    """One pretend provider; `url` is where it listens, `history` every request up to now."""

    def __init__(self) -> None:
        self.url = ""
        self.history: list[Visit] = []
        self._scripts: dict[str, Script] = {}

    def script(self, operation: str, stages: Sequence[Stage]) -> None:
        """Say what is answered about an operation, as [(seconds since the first question, document or Reply)]."""
        self._scripts[operation] = Script(stages)

    @abstractmethod
    async def answer(self, request: web.Request) -> Reply:
        """Check a request as the vendor does, and answer it."""

    def told(self, operation: str) -> Reply | None:
        """Answer from the operation's script; None if there is no such operation."""
        script = self._scripts.get(operation)
        return None if script is None else script.reply(now=time.monotonic())

    def application(self) -> web.Application:
        """Return the server as an aiohttp application; every path and method comes to `answer`."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        return application

    async def _serve(self, request: web.Request) -> web.Response:
        at = time.monotonic()
        reply = await self.answer(request)
        self.history.append(Visit(request.method, request.raw_path, reply.status, at))
        await anyio.sleep(reply.delay)
        return reply.response()


def bearer(request: web.Request) -> str:
    """Return the token of `Authorization: Bearer …`, or nothing."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


@asynccontextmanager
async def serving(application: web.Application, *, port: int = 0) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 and yield the URL, without a slash at its end.

    Raises:
        OSError: the port is taken.

    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
