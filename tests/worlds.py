"""Small worlds for the tests of the loops: watches that are stored, pollers that ask for them, all of it running."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from types import MappingProxyType
from typing import Protocol

import anyio
import orjson
from fakes import Answer, ScriptedTransport, SpiedStore
from pydantic import PrivateAttr
from virtual import VirtualClock

from watcher.core.model import Condition, Params, Watch
from watcher.core.outcome import Ask, Outcome
from watcher.core.rows import Admission, Arrival
from watcher.core.webhook_section import Webhook
from watcher.core.wire import Request, Response
from watcher.feed import Feed
from watcher.hold import Hold
from watcher.outbox import Outbox
from watcher.poll import Poller
from watcher.posting import open_posts
from watcher.providers.d7 import D7
from watcher.record import Recorder
from watcher.store import Store

SECTION: Mapping[str, object] = {
    "token": "a-token",
    "base_url": "https://d7.example",
    "rate": 1e6,
    "burst": 1000,
    "concurrency": 16,
    "poll": {"min": "2s", "max": "1m", "mode": "fixed"},
}


class Loop(Protocol):
    """Whatever turns."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...


@asynccontextmanager
async def turning(*loops: Loop) -> AsyncIterator[None]:
    """Turn the loops while the block lasts, then stop them and wait for their ends."""
    async with anyio.create_task_group() as tasks:
        for loop in loops:
            tasks.start_soon(loop.run)
        yield
        for loop in loops:
            loop.stop()


class Spied(D7):
    """A real provider that remembers what it was given to read, and has a bug for one operation."""

    _parsed: list[str] = PrivateAttr(default_factory=list)

    @property
    def parsed(self) -> list[str]:
        return self._parsed

    def parse(self, params: Params, response: Response, *, after: Ask | None = None) -> Outcome:
        operation = str(params["request_id"])
        self._parsed.append(operation)
        if operation == "buggy":
            raise RuntimeError("a bug in parse")
        return super().parse(params, response, after=after)


def log_of(operation: str, status: str, *, takes: float = 0.0, headers: Mapping[str, str] | None = None) -> Answer:
    """Make D7's answer: one message of this status."""
    body = {
        "request_id": operation,
        "total_recipients": 1,
        "messages": [{"msg_id": f"m-{operation}", "status": status}],
    }
    return Answer(200, orjson.dumps(body), headers or {}, takes)


def all_sent(request: Request) -> Answer:
    """Answer for any operation that its message is sent, which it may remain for ever."""
    return log_of(request.url.rpartition("/")[2], "sent")


class Polling:
    """Pollers of D7 accounts, by name, and the feed that brings watches to them."""

    def __init__(
        self,
        store: SpiedStore,
        clock: VirtualClock,
        conditions: Mapping[str, Condition] = MappingProxyType({}),
        hold: Hold | None = None,
        **sections: Mapping[str, object],
    ) -> None:
        self.store = store
        self.clock = clock
        self.transport = ScriptedTransport(clock, otherwise=all_sent)
        self.providers = {
            name: Spied.model_validate({**SECTION, **section}) for name, section in (sections or {"d7": {}}).items()
        }
        webhooks = {"ops": Webhook(url="https://ops.example", unsigned=True)}
        outbox = Outbox(webhooks, store=store, clock=clock, agent="watcher/test", posts=open_posts)
        recorder = Recorder(store=store, webhooks=webhooks, wake=outbox.wake)
        self.pollers = {
            name: Poller(
                name,
                provider,
                condition=conditions.get(name) or Condition(name, uid=f"condition of {name}"),
                store=store,
                recorder=recorder,
                transport=self.transport,
                clock=clock,
                hold=hold,
            )
            for name, provider in self.providers.items()
        }
        self.feed = Feed(self.pollers, store=store, recorder=recorder, outbox=outbox, clock=clock, hold=hold)

    @property
    def loops(self) -> list[Loop]:
        return [self.feed, *self.pollers.values()]

    async def follow(self, *operations: str, provider: str = "d7", deadline: timedelta = timedelta(days=3)) -> None:
        """Store watches of these operations, which are their ids too."""
        await take_in(self.store, [self.watch(one, provider=provider, deadline=deadline) for one in operations])

    def watch(self, operation: str, *, provider: str = "d7", deadline: timedelta = timedelta(days=3)) -> Watch:
        return Watch(
            uid=f"uid-{operation}",
            id=operation,
            provider=provider,
            params={"request_id": operation},
            submitted_at=self.clock.now(),
            accepted_at=self.clock.now(),
            deadline=deadline,
        )

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Load what is stored and poll, without looking for news."""
        await self.feed.load()
        async with turning(*self.pollers.values()):
            yield

    async def run(self, *, seconds: float) -> None:
        """Poll for so long."""
        async with self.polling():
            await anyio.sleep(seconds)


async def take_in(store: Store, watches: Iterable[Watch]) -> list[Admission]:
    """Store watches as a source would."""
    return await store.add([Arrival("inbox", watch.id, b"{}", watch=watch) for watch in watches])


async def cancel(store: Store, *ids: str) -> None:
    """Ask the owner to end watches."""
    await store.add([Arrival("inbox", f"cancel {each}", b"{}", cancel=each) for each in ids])
