"""Watches with callbacks, and what delivers to them, for the tests of both."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from fakes import Answer, ScriptedTransport, SpiedStore
from make import SECRET
from outboxes import body_of, pumps
from store_values import a_step, a_watch
from virtual import VirtualClock
from worlds import take_in

from watcher.core.callbacks import Callbacks, origin
from watcher.core.intent import Switch
from watcher.core.model import Watch
from watcher.origins import Origins
from watcher.outbox import Outbox
from watcher.stores.sqlite_records import SqliteRecords

GOOD = Answer(204)
A, B = "https://a.example", "https://b.example"


def section(**keys: object) -> Callbacks:
    return Callbacks.model_validate({"secret": SECRET, "retry": ["1s"] * 50, **keys})


@dataclass
class Calls:
    """Watches with callbacks, and what delivers to them; a watch `w` at an origin is called at `<origin>/w`."""

    store: SpiedStore
    clock: VirtualClock
    path: Path
    callbacks: Callbacks = field(default_factory=section)
    transport: ScriptedTransport = field(init=False)

    def __post_init__(self) -> None:
        self.transport = ScriptedTransport(self.clock, otherwise=lambda _: GOOD)

    @asynccontextmanager
    async def outbox(self, *, callbacks: Callbacks | None = None) -> AsyncIterator[Outbox]:
        """Deliver while the block lasts."""
        made = pumps(self.store, clock=self.clock, transport=self.transport)
        async with made.open():
            await made.change({}, callbacks=callbacks or self.callbacks)
            yield made

    def origins(self, *, most: int) -> Origins:
        return Origins(
            self.callbacks, store=self.store, transport=self.transport, clock=self.clock, agent="test", most=most
        )

    async def tell(self, at: str, *ids: str, events: int = 1, wake: Outbox | Origins | None = None) -> None:
        """Commit so many more events of each watch, now."""
        for each in ids:
            await take_in(self.store, [self.watch(at, each)])
            stored = await self.stored(each)
            step = a_step(stored, events=events, to=(origin(at),))
            now = self.clock.now()
            told = tuple(replace(event, at=now, body=body_of(event)) for event in step.events)
            assert await self.store.commit([replace(step, events=told)]) == [None]
        if wake is not None:
            wake.wake(origin(at))

    async def wanted(self, at: str, *, on: bool) -> Switch:
        """Want an origin switched."""
        await self.store.want(Switch(0, origin(at), on))
        *_, switch = await self.store.intents()
        assert isinstance(switch, Switch)
        return switch

    def watch(self, at: str, id: str, *, secret: str | None = None) -> Watch:
        callback = self.callbacks.take(f"{at}/{id}", secret, nonce=bytes(12), guard=None)
        return replace(a_watch(id), accepted_at=self.clock.now(), webhooks=(), callback=callback)

    async def stored(self, id: str) -> Watch:
        watch = await self.store.watch(f"uid-{id}")
        assert watch is not None
        return watch

    def received(self) -> list[tuple[str, int]]:
        """Which URL was sent which sequence, in order."""
        return [(sent.request.url, int(sent.request.headers["ce-sequence"])) for sent in self.transport.sent]

    async def rows(self) -> list[tuple[str | None, int | None, str, int]]:
        """Return watch, sequence, status and attempts of each delivery."""
        records = await SqliteRecords.open(self.path / "watcher.db")
        found = await records.deliveries(limit=10_000)
        await records.close()
        return sorted((row.watch or "", row.sequence or 0, row.status, row.attempts) for row in found)
