"""A crew whose configuration changes: what is new turns, what is gone waits, and whoever stays never notices."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar

import anyio
import orjson
import pytest
from fakes import Answer, ScriptedTransport, SpiedStore
from scraping import only, sample, samples
from structlog.testing import capture_logs
from virtual import EPOCH, VirtualClock
from worlds import SECTION, all_sent, cancel, log_of, take_in

from watcher.config import Config
from watcher.core.errors import StoreError
from watcher.core.model import Ending, Watch
from watcher.crew import Crew
from watcher.errand import desk_of
from watcher.poll import Poller

T = TypeVar("T")

D7: Mapping[str, object] = {**SECTION, "type": "d7"}
OPS: Mapping[str, object] = {"url": "https://hooks.example/ops", "unsigned": True, "timeout": "5m", "retry": ["1s"] * 9}
GOOD = Answer(204)


class Usage(NamedTuple):
    free: int


async def at_once(call: Callable[..., T], *arguments: object) -> T:
    """Do without a thread, which virtual time would not wait for."""
    return call(*arguments)


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.room.run_sync", at_once)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**9))


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.feed.BATCH", 100)


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


@pytest.fixture
def world(store: SpiedStore, clock: VirtualClock, tmp_path: Path) -> World:
    return World(store, clock, tmp_path)


def open_watches(provider: str, number: float, *, state: str = "in_progress") -> dict[str, float]:
    return {sample("watcher_watches", provider=provider, state=state): number}


# --- webhooks ---------------------------------------------------------------------------------------------------


async def test_a_webhook_that_hangs_for_a_minute_is_not_cut_off_and_holds_up_no_other(world: World) -> None:
    hanging = {**OPS, "url": "https://hooks.example/hanging"}
    world.posts.script("hanging", Answer(204, takes=60), GOOD)
    async with world.at_work(world.config(webhooks={"ops": OPS, "hanging": hanging})):
        await world.follow("a")
        moved = {**OPS, "url": "https://hooks.example/moved"}
        await world.change(world.config(webhooks={"ops": moved, "hanging": hanging}))
        changed_at = world.now
        world.polls.script("b", log_of("b", "delivered"))
        await world.follow("b")
        assert [sequence for watch, sequence, _ in world.told("moved") if watch == "b"] == [1, 2, 3]
        assert world.now - changed_at < 1.1
        await anyio.sleep(70)

    assert [watch for watch, *_ in world.told("ops")] == ["a", "a"]
    told = world.told("hanging")
    assert len(told) == len(set(told)) == 5
    assert [(watch, sequence) for watch, sequence, _ in told if watch == "a"] == [("a", 1), ("a", 2)]


async def test_what_is_cut_off_goes_to_the_new_address_under_the_same_id_and_never_to_two_at_a_time(
    world: World,
) -> None:
    world.posts.script("ops", Answer(204, takes=60))
    async with world.at_work(world.config()):
        await world.follow("a")
        await world.change(world.config(webhooks={"ops": {**OPS, "url": "https://hooks.example/moved"}}))
        assert world.now == 6  # after so long what hangs is cut off
        assert world.posts.most_in_flight[""] == 1
        await anyio.sleep(1)

    assert [sequence for _, sequence, _ in world.told("moved")] == [1, 2]
    assert world.told("moved")[0] == world.told("ops")[0]


async def test_what_waits_for_a_webhook_that_is_gone_is_named_once_and_sent_when_it_is_back(world: World) -> None:
    world.posts.script("ops", Answer(500))
    with capture_logs() as logs:
        async with world.at_work(world.config()):
            await world.follow("a")
            for max_watches in (7, 8):
                await world.change(world.config(watcher={"max_watches": max_watches}, webhooks={}))
                await world.follow(f"addressed to nobody {max_watches}")
            world.posts.script("ops", GOOD)
            assert "ops" not in str(samples(world.crew))
            sent = len(world.told())
            await world.change(world.config())
            await anyio.sleep(5)

    assert [(watch, sequence) for watch, sequence, _ in world.told()[sent:]] == [("a", 1), ("a", 2)]
    assert len({event_id for *_, event_id in world.told()}) == 2
    assert [line for line in logs if line["event"] == "endpoint.paused"] == [
        {
            "event": "endpoint.paused",
            "log_level": "warning",
            "webhook": "ops",
            "reason": "no such section: its deliveries wait",
        }
    ]


async def test_the_very_next_event_goes_by_the_new_sections(world: World) -> None:
    world.posts.script("ops", Answer(204, takes=60))
    async with world.at_work(world.config()):
        await world.follow("a")
        second = {**OPS, "url": "https://hooks.example/second"}
        async with anyio.create_task_group() as changing:
            changing.start_soon(world.change, world.config(webhooks={"second": second}))
            world.polls.script("a", log_of("a", "delivered"))
            await anyio.sleep(3)  # while the old webhook still hangs
            assert [sequence for _, sequence, _ in world.told("second")] == [3, 4, 5]


# --- providers --------------------------------------------------------------------------------------------------


async def test_a_poll_in_flight_of_a_provider_that_stays_goes_on_and_no_watch_of_it_is_asked_or_loaded_again(
    world: World,
) -> None:
    world.polls.script("slow", log_of("slow", "sent", takes=14))
    async with world.at_work(world.config(providers={"d7": {**D7, "poll": {"min": "1m", "max": "1m"}}})):
        await world.follow("slow", *map(str, range(250)))
        assert len(world.polls.sent) == 251
        loads, looks = world.store.calls["load"], world.store.calls["intents"]
        other = {**D7, "timeout": "1s"}
        for rate in range(1, 5):
            config = world.config(
                providers={
                    "d7": {**D7, "poll": {"min": "1m", "max": "1m"}},
                    "other": {**other, "rate": rate},
                },
                webhooks={"ops": {**OPS, "rate": 1e6 + rate}},
            )
            await world.change(config)
            await anyio.sleep(3)
        assert world.polls.in_flight["slow"] == 1
        assert len(world.polls.sent) == 251
        # One of each look, and one of each new poller: of `other` there is nothing.
        assert world.store.calls["load"] - loads == world.store.calls["intents"] - looks + 4
        await anyio.sleep(10)
        assert (world.polls.in_flight["slow"], len(world.polls.sent)) == (0, 251)

    stored = await world.store.watch("uid-slow")
    assert stored is not None
    assert stored.sequence == 2


async def test_watches_of_a_provider_that_is_gone_wait_and_are_named_and_go_on_when_it_is_back(world: World) -> None:
    other = {**D7, "base_url": "https://other.example"}
    with capture_logs() as logs:
        async with world.at_work(world.config(providers={"d7": D7, "other": other})):
            await world.follow("a", "b")
            await world.follow("c", provider="other")
            assert world.watches() == open_watches("d7", 2) | open_watches("other", 1)
            await world.change(world.config(providers={"other": other}))
            assert world.watches() == open_watches("unknown", 2) | open_watches("other", 1)
            assert 'provider="d7"' not in str(samples(world.crew))
            asked = len(world.polls.times("a"))
            await world.follow("late")
            await anyio.sleep(60)
            assert len(world.polls.times("a")) == asked
            assert world.crew.feed.open == 4

            world.polls.script("a", log_of("a", "delivered"))
            await world.change(world.config(providers={"d7": D7, "other": other}))
            await anyio.sleep(5)
            assert world.watches() == open_watches("d7", 2) | open_watches("other", 1)

    stored = await world.store.watch("uid-a")
    assert stored is not None
    assert stored.ending is Ending.SUCCEEDED
    assert len(world.polls.times("late")) > 1
    assert [line["provider"] for line in logs if line["event"] == "provider.down"] == ["d7"]


async def test_the_same_body_is_read_again_by_a_provider_that_has_changed(world: World) -> None:
    def jobs(state: str) -> Mapping[str, object]:
        url = "https://jobs.example/{request_id}"
        pace = {"min": "2s", "max": "2s"}
        return {"type": "http", "url": url, "status": "status", "states": {"busy": state}, "poll": pace}

    world.polls.script("a", Answer(200, orjson.dumps({"status": "busy"})))
    async with world.at_work(world.config(providers={"jobs": jobs("pending")})):
        await world.follow("a", provider="jobs")
        await anyio.sleep(9)
        assert world.watches() == open_watches("jobs", 1, state="pending")
        await world.change(world.config(providers={"jobs": jobs("succeeded")}))
        await anyio.sleep(5)

    stored = await world.store.watch("uid-a")
    assert stored is not None
    assert stored.ending is Ending.SUCCEEDED


async def test_two_pollers_never_ask_for_the_same_watch_at_a_time(world: World) -> None:
    world.polls.script("a", log_of("a", "sent", takes=3), log_of("a", "sent", takes=60), log_of("a", "sent"))
    async with world.at_work(world.config()):
        await world.follow("a")
        await world.change(world.config(providers={"d7": {**D7, "rate": 7}}))
        assert world.now == 3  # the first is waited for
        await anyio.sleep(3)
        await world.change(world.config(providers={"d7": {**D7, "rate": 8}}))
        assert world.now == 11  # the second is cut off, and asked again
        await anyio.sleep(3)
        assert world.watches() == open_watches("d7", 1)

    assert world.polls.most_in_flight["a"] == 1
    assert len(world.polls.times("a")) > 2


async def test_what_comes_while_a_poller_gets_its_watches_is_polled_once_each(world: World) -> None:
    old, late = [f"op-{number}" for number in range(300)], [f"late-{number}" for number in range(12)]
    async with world.at_work(world.config(providers={})):
        await world.follow(*old)
        assert world.crew.feed.open == 300
        world.store.slow["load"] = 2.0  # each page takes so long
        async with anyio.create_task_group() as changing:
            changing.start_soon(world.change, world.config())
            for each in late:
                await world.follow(each)
                await anyio.sleep(0.37)
        world.store.slow.clear()
        await anyio.sleep(10)
        assert world.watches() == open_watches("d7", 312)
        assert len(world.crew._pollers.loops["d7"]._rota._agenda) == 312

    assert {sent.last for sent in world.polls.sent} == {*old, *late}


async def test_cancellations_while_a_poller_gets_its_watches_leave_nothing_behind(world: World) -> None:
    names = [f"op-{number}" for number in range(250)]
    async with world.at_work(world.config(providers={})):
        await world.follow(*names)
        world.store.slow["load"] = 2.0
        async with anyio.create_task_group() as changing:
            changing.start_soon(world.change, world.config())
            for each in names[::5]:
                await cancel(world.store, each)
                await anyio.sleep(0.17)
        world.store.slow.clear()
        await anyio.sleep(10)
        assert world.watches() == open_watches("d7", 200)
        agenda = world.crew._pollers.loops["d7"]._rota._agenda
        assert (len(agenda), len(agenda._dropped)) == (200, 0)


async def test_a_cancellation_that_is_on_its_way_while_a_poller_comes_leaves_nothing_behind(world: World) -> None:
    async with world.at_work(world.config(providers={})):
        await world.follow("a", "b")
        await cancel(world.store, "a")
        world.store.slow["commit"] = 3.0  # it is done, and the answer is on its way
        world.crew.feed.bell.ring()
        await anyio.sleep(1)
        await world.change(world.config())
        world.store.slow.clear()
        await anyio.sleep(9)
        assert world.watches() == open_watches("d7", 1)
        agenda = world.crew._pollers.loops["d7"]._rota._agenda
        assert (len(agenda), len(agenda._dropped)) == (1, 0)


# --- the rest ---------------------------------------------------------------------------------------------------


async def test_limits_change_at_once(world: World) -> None:
    async with world.at_work(world.config()):
        await world.follow("a", "b")
        lacks = [world.crew.room.lack]
        for most in (2, 3):
            await world.change(world.config(watcher={"max_watches": most, "keep": f"{most}h"}))
            await anyio.sleep(1.1)
            lacks.append(world.crew.room.lack)

    assert lacks == [None, "2 watches are open, which is watcher.max_watches", None]
    assert world.crew._keeper.keep == timedelta(hours=3)


async def test_a_store_that_does_not_answer_delays_a_change_and_ends_nothing(world: World) -> None:
    async with world.at_work(world.config()):
        await world.follow("a")
        for name in ("conditions", "endpoint", "undelivered"):
            world.store.fail(name, times=3, error=StoreError("the disk is full"))
        await world.change(world.config(providers={"d7": {**D7, "rate": 7}}, webhooks={"ops": {**OPS, "rate": 7}}))
        await anyio.sleep(5)
        world.polls.script("a", log_of("a", "delivered"))
        await anyio.sleep(5)

    assert [sequence for _, sequence, _ in world.told()] == [1, 2, 3, 4, 5]


async def test_a_bug_in_a_loop_that_came_with_a_change_ends_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def buggy(_: Poller) -> None:
        raise RuntimeError("a bug in a loop")

    async def turn() -> None:
        async with world.at_work(world.config()):
            monkeypatch.setattr(Poller, "run", buggy)
            await world.change(world.config(providers={"d7": D7, "new": D7}))
            await anyio.sleep_forever()

    with pytest.raises(ExceptionGroup) as raised:
        await turn()
    assert raised.group_contains(RuntimeError, match="a bug in a loop")


async def test_a_stop_in_the_midst_of_a_change_is_as_orderly_as_any(world: World) -> None:
    world.posts.script("ops", Answer(204, takes=4))
    world.polls.script("slow", log_of("slow", "sent", takes=3))
    async with world.at_work(world.config()):
        await world.follow("slow", "a")
        with anyio.move_on_after(1):
            await world.change(world.config(providers={"new": D7}, webhooks={"new": OPS}))
            pytest.fail("there was nothing to wait for")

    assert world.now >= 4  # what was in flight is finished, and what came of it is stored
    assert [sequence for watch, sequence, _ in world.told() if watch == "a"] == [1]
    slow = await world.store.watch("uid-slow")
    assert slow is not None
    assert slow.sequence == 2
