"""A crew whose webhooks change: what is new is sent to, what is gone waits, and whoever stays never notices."""

from pathlib import Path

import anyio
import pytest
from changing import OPS, World, world_of
from fakes import Answer, SpiedStore
from outboxes import GOOD
from scraping import samples
from structlog.testing import capture_logs
from virtual import VirtualClock
from worlds import log_of


@pytest.fixture
def world(store: SpiedStore, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return world_of(store, clock=clock, folder=tmp_path, monkeypatch=monkeypatch)


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
