"""`watcher deliveries`, over a real store."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from commands import Desk
from delivered import CONFIG, a_desk, a_store, said
from store_values import a_watch, added, head_of, told

from watcher.core.delivery import Attempt, Decision, Phases, Settled
from watcher.core.endpoint import Disabled
from watcher.stores.sqlite import SqliteStore

HOSTILE = b"\x1b]0;owned\x07\x1b[2Jno\r\nwatcher: all is well\x00\xff"


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> Desk:
    return a_desk(tmp_path)


@pytest_asyncio.fixture
async def store(desk: Desk) -> AsyncIterator[SqliteStore]:
    async with a_store(desk) as opened:
        yield opened


async def shown(desk: Desk, *options: str) -> list[tuple[str, str, str]]:
    """Return watch, sequence and status of what is listed."""
    found = (await desk.run("deliveries", *options, "--json")).json
    assert isinstance(found, list)
    rows = [row for row in found if isinstance(row, dict)]
    return [(str(row["watch"]), str(row["sequence"]), str(row["status"])) for row in rows]


async def test_what_was_sent_is_listed_with_why_it_failed_and_when_it_goes_again(
    desk: Desk, store: SqliteStore
) -> None:
    done = await desk.run("deliveries")
    lines = [re.split(r"  +", line) for line in done.out.splitlines()]
    status = "watch.status.changed"
    assert (done.status, done.err) == (0, "")
    assert lines == [
        ["EVENT", "TYPE", "WATCH", "SEQ", "WEBHOOK", "STATUS", "ATTEMPTS", "LAST", "ANSWER", "NEXT"],
        ["evt_uid-done_1", status, "done", "1", "ops", "delivered", "1", "2026-11-23T12:00:01Z", "204", "-"],
        [
            *("evt_uid-stuck_1", status, "stuck", "1", "ops", "waiting", "2", "2026-11-23T12:00:31Z"),
            *("500 Internal Server Error", "2026-11-23T12:01:01Z"),
        ],
        ["evt_uid-stuck_2", status, "stuck", "2", "ops", "waiting", "0", "-", "-", "after an earlier one"],
        [
            *("evt_uid-lost_1", status, "lost", "1", "ops", "exhausted", "0", "2026-11-23T12:00:01Z"),
            *("timeout: no whole answer in time", "-"),
        ],
    ]


LONG_AGO, SOON = datetime(2026, 11, 23, 7, 30, tzinfo=UTC), datetime(2099, 11, 23, 7, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("known", "following", "held"),
    [
        ({"disabled": Disabled.SILENT, "disabled_at": LONG_AGO}, "disabled", ("disabled", None)),
        (
            {"opened_at": LONG_AGO, "probe_at": SOON},
            "breaker, probe at 2099-11-23T07:30:00Z",
            ("breaker_open", "2099-11-23T07:30:00.000000Z"),
        ),
        (
            {"paused_at": LONG_AGO, "paused_until": SOON},
            "paused until 2099-11-23T07:30:00Z",
            ("paused", "2099-11-23T07:30:00.000000Z"),
        ),
    ],
)
async def test_next_is_what_decides_and_not_what_the_schedule_says_of_a_webhook_that_takes_nothing(
    desk: Desk, store: SqliteStore, known: dict[str, datetime], following: str, held: tuple[str, str | None]
) -> None:
    endpoint = await store.endpoint("ops", ordered=True)
    await store.settle([], endpoint=replace(endpoint, **known))  # type: ignore[arg-type]  # named above
    lines = [re.split(r"  +", line) for line in (await desk.run("deliveries")).out.splitlines()]
    assert [line[-1] for line in lines] == ["NEXT", "-", following, following, "-"]
    found = (await desk.run("deliveries", "--status", "waiting", "--json")).json
    assert isinstance(found, list)
    assert {(row["held"], row["held_until"]) for row in found if isinstance(row, dict)} == {held}


async def test_what_waits_for_a_section_that_is_gone_does_not_go_next(desk: Desk, store: SqliteStore) -> None:
    desk.config.write_text(CONFIG.replace("[webhooks.ops]", "[webhooks.other]"))
    lines = (await desk.run("deliveries", "--status", "waiting")).out.splitlines()
    assert [re.split(r"  +", line)[-1] for line in lines] == ["NEXT", "no such section", "no such section"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--status", "delivered"], ["done"]),
        (["--status", "exhausted"], ["lost"]),
        (["--webhook", "other"], []),
        (["--watch", "stuck"], ["stuck", "stuck"]),
        (["--event", "evt_uid-lost_1"], ["lost"]),
        (["--since", "3650d"], ["done", "stuck", "stuck", "lost"]),
    ],
)
async def test_the_list_is_narrowed_by_what_is_asked(
    desk: Desk, store: SqliteStore, options: list[str], expected: list[str]
) -> None:
    assert [watch for watch, _, _ in await shown(desk, *options)] == expected


async def test_a_list_that_is_cut_off_says_so(desk: Desk, store: SqliteStore) -> None:
    done = await desk.run("deliveries", "--limit", "2")
    assert (done.status, len(done.out.splitlines())) == (0, 3)
    assert done.err == "only the first 2 are shown: --limit shows more, and all without it\n"
    whole = await desk.run("deliveries", "--limit", "4")
    assert (whole.err, len(whole.out.splitlines())) == ("", 5)


async def test_of_one_event_each_failed_attempt_is_shown_and_nothing_reaches_the_terminal_raw(
    desk: Desk, store: SqliteStore
) -> None:
    [watch] = await added(store, a_watch("evil"))
    await told(store, watch, events=1)
    head = await head_of(store, watch="evil")
    attempt = Attempt(
        *(1, head.due_at, 0.25, 302, "192.0.2.1:443", {"location": "http://169.254.169.254/\x1b[2J"}, HOSTILE),
        timing=Phases(dns=0.001, connect=0.002, tls=0.03, first_byte=0.2),
    )
    await store.settle([Settled(head, Decision.RETRY, attempt)])
    done = await desk.run("deliveries", "--event", "evt_uid-evil_1")
    assert (done.status, done.err) == (0, "")
    assert re.sub(r"2026-11-23T| \([^)]* ago\)", "", done.out).splitlines() == [
        "evt_uid-evil_1 watch.status.changed to ops, of evil #1",
        "  attempt 1  12:00:01Z  302  from 192.0.2.1:443",
        "    took 250 ms (dns 1 ms, connect 2 ms, tls 30 ms, first byte 200 ms)",
        "    location: http://169.254.169.254/\\x1b[2J",
        "    \\x1b]0;owned\\x07\\x1b[2Jno\\r\\nwatcher: all is well\\x00\\xff",
        "  waiting, attempts: 0, last 12:00:01Z: 302, next: 12:00:01Z",
    ]


async def test_programs_get_the_attempts_of_one_event_too(desk: Desk, store: SqliteStore) -> None:
    found = (await desk.run("deliveries", "--event", "evt_uid-stuck_1", "--json")).json
    failed = {
        "at": "2026-11-23T12:00:31.123456Z",
        "duration": 0.25,
        "status": 500,
        "address": "192.0.2.1",
        "headers": {"server": "nginx"},
        "body": "sorry",
        "error": "500 Internal Server Error",
        "timing": {"dns": 0.01, "connect": None, "tls": None, "first_byte": 0.2},
    }
    assert isinstance(found, list)
    [row] = found
    assert isinstance(row, dict)
    assert {key: value for key, value in row.items() if key != "id"} == {
        "webhook": "ops",
        "event_id": "evt_uid-stuck_1",
        "type": "watch.status.changed",
        "watch": "stuck",
        "sequence": 1,
        "status": "waiting",
        "attempts": 2,
        "due_at": "2026-11-23T12:01:01.123456Z",
        "last_at": "2026-11-23T12:00:31.123456Z",
        "last_status": 500,
        "last_error": "500 Internal Server Error",
        "duration": 0.25,
        "held": None,
        "held_until": None,
        "failed": [{"number": 1, **failed, "at": "2026-11-23T12:00:01.123456Z"}, {"number": 2, **failed}],
    }


async def test_deliveries_of_an_event_that_nobody_knows(desk: Desk, store: SqliteStore) -> None:
    problem = "watcher: there is no event 'evt_x', or it was for no webhook\n"
    assert said(await desk.run("deliveries", "--event", "evt_x")) == (1, "", problem)


async def test_what_only_reads_makes_no_store(desk: Desk) -> None:
    for command in (["deliveries"], ["replay", "--event", "evt_x"], ["webhook", "list"]):
        done = await desk.run(*command)
        assert (done.status, done.out, desk.database.exists()) == (1, "", False)
        assert "watcher.db does not exist" in done.err
