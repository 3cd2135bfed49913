"""`watcher add` and `watcher cancel`, over a real store: one request, or as many as standard input has."""

import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import anyio
import orjson
import pytest
import pytest_asyncio
from commands import Desk
from make import whsec

from watcher.core.model import Ending
from watcher.core.rows import RejectedRow
from watcher.stores.sqlite import SqliteStore
from watcher.stores.sqlite_records import SqliteRecords

CANARY = whsec(b"canary-7f3a, and 24 bytes long")
CONFIG = """
[providers.d7]
type = "d7"
token = "env:T_D7"

[callbacks]
secret = "env:T_CALLBACKS"
"""
ONE = {"id": "one", "provider": "d7", "params": {"request_id": "1"}}
CALLED = {**ONE, "id": "called", "callback_url": "https://example.com/hook?token=t", "callback_secret": CANARY}
CONFLICT = "conflict: the id is known with another provider or other params"
UNKNOWN = "unknown: there is no watch of this id"


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.config.write_text(CONFIG)
    return made


@pytest_asyncio.fixture
async def records(desk: Desk) -> AsyncIterator[SqliteRecords]:
    await (await SqliteStore.open(desk.database)).close()
    opened = await SqliteRecords.open(desk.database)
    yield opened
    await opened.close()


def lines(*requests: object) -> bytes:
    return b"".join((one if isinstance(one, bytes) else orjson.dumps(one)) + b"\n" for one in requests)


async def ending(records: SqliteRecords, id: str) -> Ending | None:
    watch = await records.find(id)
    assert watch is not None
    return watch.ending


async def test_each_line_of_standard_input_is_answered_and_a_refusal_stops_no_other(
    desk: Desk, records: SqliteRecords
) -> None:
    written = lines(ONE, b"rubbish", b"", {**ONE, "params": {"request_id": "2"}}, {"cancel": "nobody"}, ONE)
    done = await desk.run("add", "-", written=written + orjson.dumps({**ONE, "id": "two"}))
    assert (done.status, done.out) == (1, "one  new\none  known already: nothing changed\ntwo  new\n")
    rubbish, *others = done.err.splitlines()
    assert rubbish.startswith("-:2: expected one JSON object: ")
    assert others == [f"-:4: {CONFLICT}", f"-:5: {UNKNOWN}"]
    assert [row.watch.id for row in await records.watches()] == ["one", "two"]
    assert [(row.source, row.where) for row in await records.rejected()] == [
        ("command", "-:5"),
        ("command", "-:4"),
        ("command", "-:2"),
    ]


async def test_programs_get_one_object_for_each_line(desk: Desk) -> None:
    done = await desk.run("add", "-", "--json", written=lines(ONE, ONE, {"cancel": "one"}, {"cancel": "nobody"}))
    assert (done.status, done.err) == (1, "")
    assert done.lines == [
        {"where": "-:1", "id": "one", "result": "new", "reason": None},
        {"where": "-:2", "id": "one", "result": "known", "reason": None},
        {"where": "-:3", "id": "one", "result": "cancelling", "reason": None},
        {"where": "-:4", "id": "nobody", "result": "unknown", "reason": UNKNOWN},
    ]


async def test_a_cancellation_on_standard_input_is_carried_out_where_no_daemon_runs(
    desk: Desk, records: SqliteRecords
) -> None:
    done = await desk.run("add", "-", written=lines(ONE, {"cancel": "one"}))
    assert (done.status, done.out, done.err) == (0, "one  new\none  cancelled\n", "")
    assert await ending(records, "one") is Ending.CANCELLED


async def test_nothing_on_standard_input_is_nothing_to_do(desk: Desk) -> None:
    done = await desk.run("add", "-")
    assert (done.status, done.out, done.err) == (0, "", "")


async def test_a_line_is_answered_before_the_next_one_is_written(desk: Desk) -> None:
    command = [sys.executable, "-m", "watcher", "add", "-"]
    async with await anyio.open_process(command, cwd=desk.folder, stderr=subprocess.DEVNULL) as process:
        assert process.stdin
        assert process.stdout
        with anyio.fail_after(20):
            for each in ("one", "two"):
                await process.stdin.send(lines({**ONE, "id": each}))
                assert await process.stdout.receive() == f"{each}  new\n".encode()
            await process.stdin.aclose()
            assert await process.wait() == 0


async def test_more_lines_than_are_stored_at_a_time_are_all_taken(desk: Desk, records: SqliteRecords) -> None:
    done = await desk.run("add", "-", written=lines(*({**ONE, "id": f"w{number}"} for number in range(1234))))
    assert done.out.splitlines() == [f"w{number}  new" for number in range(1234)]
    assert len(await records.watches(limit=2000)) == 1234


async def test_a_callback_secret_is_sealed_under_that_of_callbacks(desk: Desk, records: SqliteRecords) -> None:
    desk.environ["T_CALLBACKS"] = whsec(bytes(32))
    done = await desk.run("add", "-", written=lines(CALLED))
    watch = await records.find("called")
    assert (done.status, done.out, done.err) == (0, "called  new\n", "")
    assert watch is not None
    assert watch.callback is not None
    assert watch.callback.secret not in {None, CANARY}


async def test_a_callback_secret_that_nothing_can_seal_is_refused_alone_and_is_not_kept(
    desk: Desk, records: SqliteRecords
) -> None:
    plain = {**CALLED, "id": "plain", "callback_secret": None}
    done = await desk.run("add", "-", written=lines(CALLED, plain))
    why = (
        "callback_secret: the secret of [callbacks], which it is kept under, cannot be read here: "
        "`watcher check` says why"
    )
    assert (done.status, done.out, done.err) == (1, "plain  new\n", f"-:1: {why}\n")
    [row] = await records.rejected()
    masked = lines({**CALLED, "callback_secret": "********"}).rstrip()
    assert row == RejectedRow(row.at, "command", "-:1", why, masked)


async def test_one_watch_takes_a_deadline_labels_and_an_id(desk: Desk, records: SqliteRecords) -> None:
    options = ["--id", "one", "--deadline", "24h", "--label", "order=42"]
    done = await desk.run("add", "d7", "request_id=1", *options)
    watch = await records.find("one")
    assert (done.status, done.out) == (0, "one  new\n")
    assert watch is not None
    assert (watch.deadline, watch.labels) == (timedelta(hours=24), {"order": "42"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "d7"], "expected params as key=value; or - alone"),
        (["add", "-", "request_id=1"], "expected nothing beside -"),
        (["add", "-", "--id", "one"], "expected nothing beside -"),
        (["add", "d7", "request_id"], "expected params as key=value, got 'request_id'"),
    ],
)
async def test_what_cannot_be_meant_so_is_wrong_usage(desk: Desk, arguments: list[str], said: str) -> None:
    done = await desk.run(*arguments)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert not desk.database.exists()


async def test_a_request_that_is_refused_says_why_and_is_kept(desk: Desk, records: SqliteRecords) -> None:
    done = await desk.run("add", "d7", "request_id=1", "--deadline", "soon")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("watcher: deadline: expected ")
    [row] = await records.rejected()
    assert (row.where, f"watcher: {row.reason}\n") == ("command line", done.err)


async def test_cancel_ends_each_that_is_open_and_names_each_that_is_not_known(
    desk: Desk, records: SqliteRecords
) -> None:
    await desk.run("add", "-", written=lines(ONE, {**ONE, "id": "two"}))
    done = await desk.run("cancel", "one", "nobody", "two")
    assert (done.status, done.out, done.err) == (1, "one  cancelled\ntwo  cancelled\n", f"nobody: {UNKNOWN}\n")
    assert [await ending(records, each) for each in ("one", "two")] == [Ending.CANCELLED, Ending.CANCELLED]
    again = await desk.run("cancel", "one")
    assert (again.status, again.out, again.err) == (0, "one  finished already\n", "")


async def test_show_names_the_callback_without_its_query(desk: Desk) -> None:
    await desk.run("add", "-", written=lines({**CALLED, "callback_secret": None}))
    assert ("callback_url", "https://example.com/hook") in (await desk.run("show", "called")).facts
    shown = (await desk.run("show", "called", "--json")).json
    assert isinstance(shown, dict)
    assert shown["callback_url"] == "https://example.com/hook"
