"""`watcher status` says what is not well, also what nobody would see in the log any more, and since when."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from commands import Desk
from store_values import a_watch, added, head_of, refusal, settled, told

from watcher.cli.status import Look, problems, sources
from watcher.config import Config
from watcher.core.delivery import Decision
from watcher.core.endpoint import Disabled, Endpoint
from watcher.core.model import Callback, Condition, Reason
from watcher.core.rows import Overview, RejectedRow
from watcher.core.standing import standings
from watcher.http.standing import Concern, Status
from watcher.stores.sqlite import SqliteStore

WRITTEN = """
[watcher]
listen = ""
max_watches = 3
[providers.d7]
type = "d7"
token = "env:NOT_SET"
[webhooks.ops]
url = "https://example.com/"
unsigned = true
"""
CONFIG = Config.model_validate(
    {
        "watcher": {"max_watches": 3},
        "providers": {"d7": {"type": "d7", "token": "t"}},
        "webhooks": {"ops": {"url": "https://x.y/", "unsigned": True}},
    }
)
NOW = datetime(2026, 11, 23, 12, 10, tzinfo=UTC)
LONG_AGO, LATELY, SOON = NOW - timedelta(hours=2), NOW - timedelta(seconds=5), NOW + timedelta(minutes=5)
NOTHING = Overview({}, {}, {}, {}, {}, rejected=0, intents=0, down={}, owner="process 7")
OPEN = replace(NOTHING, watches={("d7", "pending"): 1, ("d7", "in_progress"): 1, ("d7", "succeeded"): 9})


def wrong(
    now: Overview,
    *endpoints: Endpoint,
    conditions: tuple[Condition, ...] = (),
    refused: int = 0,
    told: tuple[Concern, ...] | None = (),
) -> list[str]:
    webhooks = standings(CONFIG.webhooks, endpoints, now, now=NOW)
    rows = [RejectedRow(LATELY, "inbox", "x:1", "no JSON", b"x")] * refused
    answer = None if told is None else answered(*told)
    return [said for said, _ in problems(Look(CONFIG, now, conditions, webhooks, rows, answer, NOW))]


def answered(*concerns: Concern) -> Status:
    return Status(
        at=NOW,
        counted_at=NOW,
        version="1",
        is_well=not concerns,
        concerns=list(concerns),
        open=0,
        waiting=0,
        rejected=0,
        cursor=0,
        providers=[],
        webhooks=[],
    )


def test_all_is_well() -> None:
    fine = replace(OPEN, waiting={"ops": 3}, oldest_waiting={"ops": LATELY})
    up = Condition("d7", "uid", 2, None, None, paused_until=LONG_AGO)
    assert wrong(fine, Endpoint("ops", failing_since=LATELY), conditions=(up,)) == []


def test_a_webhook_that_takes_nothing_is_named_long_before_anything_is_given_up() -> None:
    late = replace(NOTHING, waiting={"ops": 3}, oldest_waiting={"ops": LONG_AGO})
    assert wrong(late) == ["webhook ops is behind since 10:10:00Z (2h ago); 3 deliveries wait"]


def test_what_waits_for_a_section_that_is_gone_is_named() -> None:
    gone = replace(NOTHING, watches={("old", "pending"): 1}, waiting={"gone": 1}, oldest_waiting={"gone": LATELY})
    assert wrong(gone) == [
        "provider old has no section any more; 1 watch waits",
        "webhook gone has no section any more; 1 delivery waits",
    ]


def test_a_provider_that_is_not_asked_is_named_with_the_reason_and_the_time() -> None:
    down = Condition("d7", "uid", 1, Reason.DENIED, LONG_AGO)
    paused = Condition("d7", "uid", 0, paused_until=SOON)
    in_trouble = replace(OPEN, troubled={"d7": 2})
    assert wrong(OPEN, conditions=(down,)) == ["provider d7 is down (denied) since 10:10:00Z (2h ago); 2 watches wait"]
    assert wrong(OPEN, conditions=(paused,)) == [
        "provider d7 is paused, as it asked for, until 12:15:00Z (in 5m); 2 watches wait"
    ]
    assert wrong(NOTHING, conditions=(down,)) == []  # nobody asks it, so nobody knows
    assert wrong(in_trouble) == ["provider d7 has 2 watches in trouble"]


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (
            Endpoint("ops", paused_at=LONG_AGO, paused_until=SOON),
            "webhook ops is paused, as it asked for, since 10:10:00Z (2h ago), until 12:15:00Z (in 5m)",
        ),
        (
            Endpoint("ops", opened_at=LONG_AGO, probe_at=SOON),
            "webhook ops is paused by its breaker since 10:10:00Z (2h ago)",
        ),
        (
            Endpoint("ops", disabled=Disabled.SILENT, disabled_at=LONG_AGO),
            "webhook ops is disabled (no 2xx in 5 days) since 10:10:00Z (2h ago)",
        ),
    ],
)
def test_a_webhook_that_nothing_is_sent_to_is_named_with_the_reason(endpoint: Endpoint, said: str) -> None:
    assert wrong(NOTHING, endpoint) == [said]


def test_without_a_daemon_all_else_waits_too() -> None:
    assert wrong(replace(OPEN, owner=None), told=None) == ["no daemon is running"]


def test_requests_that_were_refused_lately_are_counted() -> None:
    assert wrong(NOTHING, refused=2) == ["source inbox had 2 requests refused in the last hour"]


def test_what_only_the_daemon_knows_is_said_as_it_told_it_and_what_the_store_knows_as_it_is_now() -> None:
    source = Concern(about="source", name="inbox", text="cannot be read (No such file)", since=LONG_AGO, so=None)
    room = Concern(about="daemon", name=None, text="takes no more requests: 3 watches are open", since=None, so=None)
    late = Concern(about="provider", name="d7", text="is polled late", since=LONG_AGO, so=None)
    stale = Concern(about="webhook", name="ops", text="is disabled (by command)", since=LONG_AGO, so=None)
    known = Concern(about="source", name="inbox", text="had 1 request refused in the last hour", since=None, so=None)
    assert wrong(NOTHING, told=(source, room, late, stale, known)) == [
        "source inbox cannot be read (No such file) since 10:10:00Z (2h ago)",
        "the daemon takes no more requests: 3 watches are open",
        "provider d7 is polled late since 10:10:00Z (2h ago)",
    ]


def test_which_sources_cannot_be_read_only_the_daemon_knows() -> None:
    named = {name: {"type": "file", "path": f"/x/{name}"} for name in ("inbox", "other")}
    config = Config.model_validate({"providers": {"d7": {"type": "d7", "token": "t"}}, "sources": named})
    look = Look(config, NOTHING, (), (), (), None, NOW)
    refused = Concern(about="source", name="other", text="had 1 request refused in the last hour", since=None, so=None)
    unread = Concern(about="source", name="inbox", text="cannot be read (No such file)", since=LONG_AGO, so=None)
    assert list(sources(look)) == [("inbox", "file", "not known"), ("other", "file", "not known")]
    assert list(sources(replace(look, told=answered(unread, refused)))) == [
        ("inbox", "file", "down since 10:10:00Z (2h ago)"),
        ("other", "file", "ok"),
    ]


def test_that_sources_wait_is_seen_in_the_store_where_the_daemon_does_not_answer() -> None:
    full = replace(NOTHING, watches={("d7", "pending"): 2, ("d7", "in_progress"): 1, ("d7", "failed"): 9})
    assert wrong(full, told=None) == ["sources wait: 3 watches are open, and watcher.max_watches is 3"]


# --- the command ------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.config.write_text(WRITTEN)
    return made


@pytest_asyncio.fixture
async def store(desk: Desk) -> AsyncIterator[SqliteStore]:
    """The store of a daemon that runs."""
    opened = await SqliteStore.open(desk.database)
    await opened.lease()
    yield opened
    await opened.close()


async def test_the_screen_has_a_line_for_each_provider_and_each_webhook(desk: Desk, store: SqliteStore) -> None:
    await added(store, a_watch("one"), a_watch("two", provider="old"))
    await store.pause(Condition("d7", "uid", paused_until=datetime(2099, 1, 1, tzinfo=UTC)))
    done = await desk.run("status")
    rows = [re.split(r"  +", line) for line in done.out.splitlines()[-6:]]
    assert (done.status, done.err, done.out.splitlines()[0]) == (0, "", "Not all is well:")
    assert rows == [
        ["PROVIDER", "PENDING", "IN PROGRESS", "TROUBLE", "FINISHED", "STATE"],
        ["d7", "1", "0", "0", "0", rows[1][-1]],
        ["old", "1", "0", "0", "0", "no such section"],
        [""],
        ["WEBHOOK", "WAITING", "OLDEST", "GIVEN UP", "STATE"],
        ["ops", "0", "-", "0", "ok"],
    ]
    assert rows[1][-1].startswith("paused until 2099-01-01T00:00:00Z (in ")


async def test_the_exit_status_says_whether_all_is_well_only_to_who_asks_for_it(desk: Desk, store: SqliteStore) -> None:
    done = [await desk.run("status"), await desk.run("status", "--check")]
    assert [(one.status, one.out.splitlines()[0]) for one in done] == [(0, "All is well.")] * 2
    await store.add([refusal("no JSON")])
    done = [
        await desk.run("status"),
        await desk.run("status", "--check"),
        await desk.run("status", "--check", "--json"),
    ]
    assert [one.status for one in done] == [0, 1, 1]
    shown = done[2].json
    assert isinstance(shown, dict)
    assert (shown["is_well"], shown["problems"]) == (
        False,
        ["source inbox had 1 request refused in the last hour"],
    )
    assert done[0].out.splitlines()[1:3] == [
        "  source inbox had 1 request refused in the last hour",
        "    `watcher rejected` shows each, and why; its sender must send it again.",
    ]


async def test_a_callback_that_its_caller_ended_is_nobodys_trouble_and_stays_visible(
    desk: Desk, store: SqliteStore
) -> None:
    origin = "callback:https://caller.example"
    desk.config.write_text(WRITTEN + "[callbacks]\nunsigned = true\n")
    [watch] = await added(store, replace(a_watch(), callback=Callback("https://caller.example/done")))
    await told(store, watch, events=2, to=(origin,))
    await store.settle([settled(await head_of(store, origin), Decision.ENDED)])
    assert (await desk.run("status", "--check")).out.splitlines()[0] == "All is well."
    listed = (await desk.run("webhook", "list")).out.splitlines()[1]
    assert re.split(r"  +", listed) == [
        *(origin, "-", "0", "-", "0", "-"),
        "ok; 2 given up, as their receiver ended the callback",
    ]
