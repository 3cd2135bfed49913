"""A crew whose configuration a test changes, with providers and webhooks that follow a script. In virtual time."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar

import anyio
import pytest
from fakes import ScriptedTransport, SpiedStore
from outboxes import GOOD
from scraping import only, sample, samples
from virtual import EPOCH, VirtualClock
from worlds import SECTION, all_sent, take_in

from watcher.config import Config
from watcher.core.model import Watch
from watcher.crew import Crew
from watcher.errand import desk_of

T = TypeVar("T")
D7: Mapping[str, object] = {**SECTION, "type": "d7"}
OPS: Mapping[str, object] = {"url": "https://hooks.example/ops", "unsigned": True, "timeout": "5m", "retry": ["1s"] * 9}


class Usage(NamedTuple):
    free: int


async def at_once(call: Callable[..., T], *arguments: object) -> T:
    """Do without a thread, which virtual time would not wait for."""
    return call(*arguments)


@dataclass
class World:
    """A crew over a store, with providers and webhooks that follow a script."""

    store: SpiedStore
    clock: VirtualClock
    folder: Path
    polls: ScriptedTransport = field(init=False)
    posts: ScriptedTransport = field(init=False)
    crew: Crew = field(init=False)

    def __post_init__(self) -> None:
        self.polls = ScriptedTransport(self.clock, otherwise=all_sent)
        self.posts = ScriptedTransport(self.clock, otherwise=lambda _: GOOD)

    def config(
        self,
        *,
        watcher: Mapping[str, object] | None = None,
        providers: Mapping[str, object] | None = None,
        webhooks: Mapping[str, object] | None = None,
    ) -> Config:
        return Config.model_validate(
            {
                "watcher": {"state": f"sqlite:{self.folder}/watcher.db", "listen": "", **(watcher or {})},
                "providers": {"d7": D7} if providers is None else providers,
                "webhooks": {"ops": OPS} if webhooks is None else webhooks,
            }
        )

    @asynccontextmanager
    async def at_work(self, config: Config) -> AsyncIterator[None]:
        self.crew = Crew(
            config,
            desk=desk_of(config, clock=self.clock),
            store=self.store,
            polls=self.polls,
            posts=lambda _: nullcontext(self.posts),
            clock=self.clock,
            told=lambda: None,
            lease=await self.store.renew(),
        )
        async with self.crew.at_work():
            await self.crew.begin(config)
            yield

    async def change(self, config: Config) -> None:
        await self.crew.change(config, desk=desk_of(config, clock=self.clock))

    async def follow(self, *operations: str, provider: str = "d7") -> None:
        """Store watches of these operations, which are their ids too; a second later they are known."""
        await take_in(self.store, [self._watch(one, provider) for one in operations])
        self.crew.feed.bell.ring()
        await anyio.sleep(1)

    def _watch(self, operation: str, provider: str) -> Watch:
        now = self.clock.now()
        return Watch(
            uid=f"uid-{operation}",
            id=operation,
            provider=provider,
            params={"request_id": operation},
            submitted_at=now,
            accepted_at=now,
            deadline=timedelta(days=3),
        )

    def told(self, name: str = "ops") -> list[tuple[str, int, str]]:
        """What one webhook was sent, in order: watch, sequence, id."""
        posts = [sent.request.headers for sent in self.posts.sent if sent.last == name]
        return [(headers["ce-subject"], int(headers["ce-sequence"]), headers["webhook-id"]) for headers in posts]

    def watches(self) -> dict[str, float]:
        """What is shown of how many watches are open, zeros left out."""
        shown = only("watcher_watches", samples(self.crew).items())
        return {name: value for name, value in shown.items() if value}

    @property
    def now(self) -> float:
        return round(self.clock.monotonic() - EPOCH, 3)


def world_of(store: SpiedStore, *, clock: VirtualClock, folder: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Make a world without threads, which virtual time would not wait for, and with small pages."""
    monkeypatch.setattr("watcher.room.run_sync", at_once)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**9))
    monkeypatch.setattr("watcher.feed.BATCH", 100)
    return World(store, clock, folder)


def open_watches(provider: str, number: float, *, state: str = "in_progress") -> dict[str, float]:
    return {sample("watcher_watches", provider=provider, state=state): number}
