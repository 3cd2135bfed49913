from pathlib import Path

import anyio
import orjson
import pytest
from fakes import ScriptedSource, SpiedStore
from structlog.testing import capture_logs
from virtual import VirtualClock
from worlds import SECTION, turning

from watcher.bell import Bell
from watcher.core.model import Params
from watcher.intake import Desk, Down, Intake
from watcher.ports import Batch, Item
from watcher.providers.d7 import D7
from watcher.stores.sqlite_records import SqliteRecords


class Buggy(D7):
    """A provider with a bug in its check."""

    def check(self, params: Params) -> None:
        if params.get("request_id") == "buggy":
            raise RuntimeError("a bug in check")
        super().check(params)


class Inbox:
    """A source, and what takes it in."""

    def __init__(self, store: SpiedStore, clock: VirtualClock) -> None:
        self.source = ScriptedSource()
        self.feed = Bell()
        desk = Desk({"d7": Buggy.model_validate(SECTION)}, frozenset({"ops"}), clock)
        self.intake = Intake("inbox", self.source, desk=desk, store=store, feed=self.feed)


@pytest.fixture
async def inbox(store: SpiedStore, clock: VirtualClock) -> Inbox:
    return Inbox(store, clock)


def batch(*requests: object, number: int = 1) -> Batch:
    """Make a batch of lines; its number is its position."""
    raws = [one if isinstance(one, bytes) else orjson.dumps(one) for one in requests]
    items = tuple(Item(raw, f"watches.jsonl:{number}.{place}") for place, raw in enumerate(raws, start=1))
    return Batch(items, b"position %d" % number)


def order(id: str, operation: str = "9d056a09") -> dict[str, object]:
    return {"id": id, "provider": "d7", "params": {"request_id": operation}}


async def test_a_batch_is_stored_with_its_position_before_it_is_acknowledged(inbox: Inbox, store: SpiedStore) -> None:
    store.slow["add"] = 1.0
    both = [batch(order("a"), order("b")), batch(order("c"), number=2)]
    inbox.source.push(*both)
    async with turning(inbox.intake):
        await anyio.sleep(0.5)
        assert await store.position("inbox") == b"position 1"
        assert inbox.source.acknowledged == []
        await anyio.sleep(5)

    assert inbox.source.acknowledged == both
    assert await store.position("inbox") == b"position 2"
    assert [one.id for one in await store.load(after=0, limit=10)] == ["a", "b", "c"]


async def test_a_restart_goes_on_behind_what_was_stored(inbox: Inbox, store: SpiedStore, clock: VirtualClock) -> None:
    inbox.source.push(batch(order("a")))
    async with turning(inbox.intake):
        await anyio.sleep(1)
    again = Inbox(store, clock)
    async with turning(again.intake):
        await anyio.sleep(1)

    assert (inbox.source.opened, again.source.opened) == ([(0.0, None)], [(1.0, b"position 1")])


async def test_refusals_are_told_with_their_place_and_stop_no_other_request(
    inbox: Inbox, store: SpiedStore, tmp_path: Path
) -> None:
    inbox.source.push(
        batch(
            b"rubbish",
            {"provider": "acme", "params": {}},
            {"provider": "d7", "params": {}},
            {**order("x"), "webhooks": ["nobody"]},
            {"cancel": "never-seen"},
            order("taken"),
            order("taken", "another"),
            order("taken"),
            order("last"),
        )
    )
    with capture_logs() as logs:
        async with turning(inbox.intake):
            await anyio.sleep(1)

    assert [(line["event"], line["where"], line.get("watch")) for line in logs] == [
        ("request.rejected", "watches.jsonl:1.1", None),
        ("request.rejected", "watches.jsonl:1.2", None),
        ("request.rejected", "watches.jsonl:1.3", None),
        ("request.rejected", "watches.jsonl:1.4", None),
        ("request.rejected", "watches.jsonl:1.5", "never-seen"),
        ("request.accepted", "watches.jsonl:1.6", "taken"),
        ("request.rejected", "watches.jsonl:1.7", "taken"),
        ("request.accepted", "watches.jsonl:1.8", "taken"),
        ("request.accepted", "watches.jsonl:1.9", "last"),
    ]
    assert all(line["source"] == "inbox" for line in logs)
    assert all(line["reason"] for line in logs if line["event"] == "request.rejected")
    records = await SqliteRecords.open(tmp_path / "watcher.db")
    kept = await records.rejected()
    await records.close()
    assert sorted(row.where for row in kept) == [f"watches.jsonl:1.{place}" for place in (1, 2, 3, 4, 5, 7)]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59Z"])
async def test_a_time_that_no_calendar_holds_is_refused_and_ends_nothing(
    inbox: Inbox, store: SpiedStore, moment: str
) -> None:
    inbox.source.push(batch({**order("odd"), "submitted_at": moment}, order("sound")))
    with capture_logs() as logs:
        async with turning(inbox.intake):
            await anyio.sleep(1)

    assert [line["event"] for line in logs] == ["request.rejected", "request.accepted"]


async def test_a_bug_that_one_request_meets_refuses_that_request(inbox: Inbox, store: SpiedStore) -> None:
    inbox.source.push(batch(order("odd", "buggy"), order("sound")))
    with capture_logs() as logs:
        async with turning(inbox.intake):
            await anyio.sleep(1)

    assert [line["event"] for line in logs] == ["daemon.fault", "request.rejected", "request.accepted"]
    assert len(inbox.source.acknowledged) == 1


async def test_when_the_store_fails_nothing_is_acknowledged_and_the_same_batch_comes_again(
    inbox: Inbox, store: SpiedStore
) -> None:
    inbox.source.push(batch(order("a")), batch(order("b"), number=2))
    store.fail("add", times=2)
    with capture_logs() as logs:
        async with turning(inbox.intake):
            await anyio.sleep(2.5)
            assert inbox.source.acknowledged == []
            assert await store.position("inbox") is None
            await anyio.sleep(5)

    assert inbox.source.opened == [(0.0, None), (1.0, None), (3.0, None)]
    assert inbox.source.returned == [batch(order("a"))] * 2
    assert [one.id for one in await store.load(after=0, limit=10)] == ["a", "b"]
    assert [line["event"] for line in logs] == ["store.slow"] * 2 + ["request.accepted"] * 2


async def test_a_source_that_breaks_is_told_once_opened_again_ever_more_slowly_and_told_once_when_it_is_back(
    inbox: Inbox, store: SpiedStore
) -> None:
    inbox.source.fail(*[ConnectionRefusedError("refused")] * 7)
    inbox.source.push(batch(order("a")))
    with capture_logs() as logs:
        async with turning(inbox.intake):
            await anyio.sleep(200)

    assert [at for at, _ in inbox.source.opened] == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0]
    assert [line["event"] for line in logs] == ["source.down", "source.up", "request.accepted"]
    assert logs[0] == {"event": "source.down", "log_level": "warning", "source": "inbox", "error": "refused"}


async def test_a_source_that_cannot_be_read_says_since_when_and_why_as_it_last_was(inbox: Inbox) -> None:
    inbox.source.fail(ConnectionRefusedError("refused"), TimeoutError("too late"))
    began_at = inbox.intake.desk.clock.now()
    async with turning(inbox.intake):
        await anyio.sleep(2)
        down = inbox.intake.down
        await anyio.sleep(2)
        assert inbox.intake.down is None
    assert down == Down(began_at, "too late")


async def test_a_source_that_brought_something_is_opened_soon_again(inbox: Inbox, store: SpiedStore) -> None:
    inbox.source.fail(*[ConnectionRefusedError("refused")] * 5)
    inbox.source.push(batch(order("a")))
    async with turning(inbox.intake):
        await anyio.sleep(100)
        inbox.source.fail(ConnectionResetError("reset"))
        await anyio.sleep(50)

    assert [at for at, _ in inbox.source.opened][-2:] == [31.0, 101.0]


async def test_intake_ends_when_the_source_ends(inbox: Inbox, store: SpiedStore) -> None:
    inbox.source.push(batch(order("a")))
    inbox.source.end()

    await inbox.intake.run()

    assert len(inbox.source.acknowledged) == 1
    assert inbox.source.is_closed


async def test_the_source_is_told_which_requests_of_a_batch_were_refused_and_why(
    inbox: Inbox, store: SpiedStore
) -> None:
    rubbish = Item(b"[]", "place:2")
    link = Item(b"", "place:3", refused="expected a file, got a symbolic link")
    first = batch(order("a"))
    inbox.source.push(Batch((*first.items, rubbish, link), first.position))
    inbox.source.end()

    await inbox.intake.run()

    assert inbox.source.refused == [
        {1: "expected one JSON object, got a list", 2: "expected a file, got a symbolic link"}
    ]


async def test_stopping_finishes_the_batch_at_hand_and_waits_for_no_other(inbox: Inbox, store: SpiedStore) -> None:
    store.slow["add"] = 5.0
    inbox.source.push(batch(order("a")), batch(order("b"), number=2))
    async with turning(inbox.intake):
        await anyio.sleep(1)

    assert [one.position for one in inbox.source.acknowledged] == [b"position 1"]
    assert inbox.intake.is_turning


async def test_what_was_stored_is_fed_to_the_pollers_at_once(inbox: Inbox, store: SpiedStore) -> None:
    began = anyio.current_time()
    async with turning(inbox.intake):
        inbox.source.push(batch(order("a")))
        await inbox.feed.wait(at_most=60)
        assert anyio.current_time() - began < 0.01
