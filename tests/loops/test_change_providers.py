"""A crew whose providers change: what is new is polled, what is gone waits, and whoever stays never notices."""

from collections.abc import Mapping
from pathlib import Path

import anyio
import orjson
import pytest
from changing import D7, OPS, World, open_watches, world_of
from fakes import Answer, SpiedStore
from scraping import samples
from structlog.testing import capture_logs
from virtual import VirtualClock
from worlds import cancel, log_of

from watcher.core.model import Ending


@pytest.fixture
def world(store: SpiedStore, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return world_of(store, clock=clock, folder=tmp_path, monkeypatch=monkeypatch)


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
