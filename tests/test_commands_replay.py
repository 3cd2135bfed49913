"""`watcher replay`, over a real store."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from commands import Desk
from delivered import a_desk, a_store, said
from store_values import NOON, a_watch, added, head_of, settled, told

from watcher.core.delivery import Decision
from watcher.core.endpoint import Disabled
from watcher.core.intent import Intent, Replay
from watcher.core.model import EventType
from watcher.stores.sqlite import SqliteStore


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> Desk:
    return a_desk(tmp_path)


@pytest_asyncio.fixture
async def store(desk: Desk) -> AsyncIterator[SqliteStore]:
    async with a_store(desk) as opened:
        yield opened


def wanted(intents: list[Intent]) -> list[Replay]:
    return [intent for intent in intents if isinstance(intent, Replay)]


async def test_events_are_wanted_again_by_their_ids(desk: Desk, store: SqliteStore) -> None:
    done = await desk.run("replay", "--event", "evt_uid-done_1", "evt_uid-lost_1", "--event", "evt_uid-done_1")
    assert said(done) == (
        0,
        "to send again: 2 events to ops, at 100 a second; the running daemon begins within a second\n",
        "",
    )
    [replay] = wanted(await store.intents())
    assert replay == Replay(replay.id, 100, ("evt_uid-done_1", "evt_uid-lost_1"))


async def test_all_that_a_webhook_is_for_is_wanted_by_the_filters_of_its_section(
    desk: Desk, store: SqliteStore
) -> None:
    began = datetime.now(UTC)
    done = await desk.run("replay", "--webhook", "ops", "--since", "3650d", "--status", "exhausted", "--rate", "5")
    assert said(done) == (
        0,
        "to send again: 1 event to ops, at 5 a second; the running daemon begins within a second\n",
        "",
    )
    [replay] = wanted(await store.intents())
    assert replay.since is not None
    assert timedelta(0) <= replay.since - (began - timedelta(days=3650)) < timedelta(minutes=1)
    assert replay == Replay(
        replay.id,
        5,
        webhook="ops",
        since=replay.since,
        exhausted=True,
        types=(EventType.STATUS, EventType.MESSAGE),
        providers=("d7",),
    )


async def test_without_a_daemon_the_next_one_does_it(desk: Desk, store: SqliteStore) -> None:
    await store.close()
    done = await desk.run("replay", "--event", "evt_uid-done_1")
    assert said(done) == (
        0,
        "to send again: 1 event to ops, at 100 a second; no daemon is running, the next one does it\n",
        "",
    )


async def test_what_goes_to_several_webhooks_is_counted_for_each(desk: Desk, store: SqliteStore) -> None:
    [watch] = await added(store, a_watch("both"))
    await told(store, watch, events=1, to=("audit", "ops"))
    for webhook in ("audit", "ops"):
        await store.settle([settled(await head_of(store, webhook, watch="both"), Decision.DELIVERED)])
    done = await desk.run("replay", "--event", "evt_uid-both_1", "evt_uid-done_1", "evt_uid-stuck_1")
    assert done.out.partition(", at")[0] == "to send again: 3 deliveries to audit, ops"


async def test_where_nothing_is_to_be_sent_again_nothing_is_wanted(desk: Desk, store: SqliteStore) -> None:
    for options in (["--event", "evt_uid-stuck_1"], ["--webhook", "ops", "--since", "1s"]):
        done = await desk.run("replay", *options)
        assert said(done) == (0, "nothing to send again: there is nothing, or it waits to be sent already\n", "")
    assert await store.intents() == []


async def test_that_a_webhook_takes_nothing_now_is_said_with_a_replay(desk: Desk, store: SqliteStore) -> None:
    endpoint = await store.endpoint("ops", ordered=True)
    await store.settle([], endpoint=replace(endpoint, disabled=Disabled.GONE, disabled_at=NOON))
    done = await desk.run("replay", "--event", "evt_uid-done_1")
    assert done.out.splitlines()[1:] == ["ops takes nothing now (disabled): what is for it waits"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--event", "evt_x"], "there is no event 'evt_x', or it was for no webhook"),
        (["--webhook", "opps", "--since", "1h"], "there is no webhook 'opps'; expected one of ops"),
    ],
)
async def test_what_nobody_knows_is_not_replayed(
    desk: Desk, store: SqliteStore, options: list[str], problem: str
) -> None:
    assert said(await desk.run("replay", *options)) == (1, "", f"watcher: {problem}\n")
    assert await store.intents() == []


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["evt_uid-done_1"],
        ["--webhook", "ops"],
        ["--event", "evt_uid-done_1", "--webhook", "ops", "--since", "1h"],
        ["--webhook", "ops", "--since", "1h", "evt_uid-done_1"],
        ["--webhook", "ops", "--since", "soon"],
        ["--webhook", "ops", "--since", "1h", "--status", "waiting"],
        ["--event", "evt_uid-done_1", "--rate", "0"],
        ["--event", "evt_uid-done_1", "--rate", "inf"],
        ["--event", "evt_uid-done_1", "--rate", "nan"],
    ],
)
async def test_a_replay_that_cannot_be_meant_so_is_wrong_usage(desk: Desk, options: list[str]) -> None:
    done = await desk.run("replay", *options)
    assert (done.status, done.out, desk.database.exists()) == (2, "", False)
