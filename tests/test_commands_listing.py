"""Long lists: whole unless a limit was asked for, one JSON document, and no complaint where nobody reads on."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import aiohttp
import anyio
import orjson
import pytest
import pytest_asyncio
from commands import Desk
from nats_server import free_port
from store_values import NOON, a_watch, added, arrival, refusal

from watcher.core.diff import merge
from watcher.core.event import number as numbered
from watcher.core.event import status_changed
from watcher.core.model import Json, Observation, State, Step
from watcher.stores.sqlite import SqliteStore

CONFIG = """
[watcher]
listen = ""
[providers.d7]
type = "d7"
token = "env:NOT_SET"
[webhooks.ops]
url = "https://example.com/"
unsigned = true
"""
MANY = 2100  # more than two pages


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.config.write_text(CONFIG)
    return made


@pytest_asyncio.fixture
async def store(desk: Desk) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(desk.database)
    await opened.lease()
    yield opened
    await opened.close()


async def watches(store: SqliteStore, *, number: int) -> list[str]:
    """Store some watches, oldest first, and return their ids."""
    names = [f"watch-{place}" for place in range(number)]
    await store.add([arrival(a_watch(name), line=place) for place, name in enumerate(names)])
    return names


async def happen(store: SqliteStore, *, number: int) -> list[str]:
    """Commit some events of one watch, each for `ops`, and return their ids."""
    [watch] = await added(store, a_watch())
    seen = Observation("sent", State.IN_PROGRESS)
    drafts = [status_changed(None, merge(None, seen), seen)] * number
    events = tuple(replace(event, to=("ops",)) for event in numbered(watch, drafts, at=NOON))
    after = replace(watch, sequence=number, snapshot=merge(None, seen), changed_at=NOON)
    assert await store.commit([Step(after, before=0, events=events, writes=True)]) == [None]
    return [event.id for event in events]


def ids(document: Json, key: str = "id") -> list[Json]:
    assert isinstance(document, list)
    return [row[key] for row in document if isinstance(row, dict)]


# --- to the last ------------------------------------------------------------------------------------------------


async def test_a_list_has_no_end_before_the_last(desk: Desk, store: SqliteStore) -> None:
    names = await watches(store, number=MANY)
    table, document = await desk.run("list"), await desk.run("list", "--json")
    assert (table.status, table.err, document.status, document.err) == (0, "", 0, "")
    assert [line.split()[0] for line in table.out.splitlines()] == ["ID", *names]
    assert ids(document.json) == names


async def test_events_and_deliveries_have_no_end_before_the_last(desk: Desk, store: SqliteStore) -> None:
    names = await happen(store, number=MANY)
    log, deliveries = await desk.run("events"), await desk.run("deliveries", "--watch", "order-42")
    assert [len(done.out.splitlines()) for done in (log, deliveries)] == [MANY, MANY + 1]
    assert ids((await desk.run("events", "--json")).json) == names
    assert ids((await desk.run("deliveries", "--json")).json, "event_id") == names
    shown = (await desk.run("show", "order-42", "--json")).json
    assert isinstance(shown, dict)
    assert (ids(shown["events"]), ids(shown["deliveries"], "event_id")) == (names, names)


@pytest.mark.parametrize("limit", [1, 1000, 1500, MANY, 5000])
async def test_a_limit_that_cuts_a_list_off_says_so(desk: Desk, store: SqliteStore, limit: int) -> None:
    names = await watches(store, number=MANY)
    done = await desk.run("list", "--limit", str(limit), "--json")
    note = f"only the first {limit} are shown: --limit shows more, and all without it\n"
    assert (ids(done.json), done.err) == (names[:limit], note if limit < MANY else "")


async def test_of_refused_requests_the_latest_are_shown_and_that_there_are_older_ones_is_said(
    desk: Desk, store: SqliteStore
) -> None:
    await store.add([refusal("no JSON", line=line) for line in range(1, 102)])
    done, whole = await desk.run("rejected", "--json"), await desk.run("rejected", "--limit", "101")
    assert (len(ids(done.json, "where")), ids(done.json, "where")[0]) == (100, "watches.jsonl:101")
    assert done.err == "only the latest 100 are shown: --limit shows more\n"
    assert (whole.out.count("    no JSON\n"), whole.err) == (101, "")


async def test_a_refused_request_is_shown_in_three_lines_of_which_none_is_endless(
    desk: Desk, store: SqliteStore
) -> None:
    await store.add([refusal("no JSON", raw=b"\x1b[2J" + b"x" * 1000)])
    at, why, raw = (await desk.run("rejected")).out.splitlines()
    assert (at.split()[1:], why) == (["inbox", "watches.jsonl:1"], "    no JSON")
    assert raw == f"    \\x1b[2J{'x' * 496}…"


# --- one document -----------------------------------------------------------------------------------------------


LISTS = ["list", "events", "deliveries", "rejected", "webhook list"]


@pytest.mark.parametrize("command", LISTS)
async def test_a_list_is_one_json_array_also_when_it_is_empty(desk: Desk, store: SqliteStore, command: str) -> None:
    empty = await desk.run(*command.split(), "--json")
    await happen(store, number=2)
    await store.add([refusal("no JSON")])
    found = await desk.run(*command.split(), "--json")
    assert isinstance(empty.json, list)
    assert isinstance(found.json, list)
    assert len(found.json) >= 1


async def test_what_goes_on_is_one_json_object_a_line(desk: Desk, store: SqliteStore) -> None:
    names = await happen(store, number=3)
    following = [sys.executable, "-m", "watcher", "events", "--follow", "--json"]
    async with await anyio.open_process(following, cwd=desk.folder, stderr=None) as process:
        assert process.stdout is not None
        out = b""
        with anyio.fail_after(20):
            while out.count(b"\n") < len(names):
                out += await process.stdout.receive()
        process.kill()
    assert [orjson.loads(line)["id"] for line in out.splitlines()] == names


async def test_what_never_ends_has_no_limit(desk: Desk, store: SqliteStore) -> None:
    done = await desk.run("events", "--follow", "--limit", "3")
    assert (done.status, done.out) == (2, "")


# --- where nobody reads on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["list", "list --json", "events", "deliveries", "show order-42", "check", "--help"])
async def test_a_reader_that_goes_away_is_no_fault(desk: Desk, store: SqliteStore, command: str) -> None:
    await happen(store, number=MANY)
    environ = {"NOT_SET": "a-token", "PATH": os.environ["PATH"]}
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        process = await anyio.run_process(
            [sys.executable, "-m", "watcher", *command.split()],
            stdout=closed,
            cwd=desk.folder,
            check=False,
            env=environ,
        )
    assert (process.returncode, process.stderr) == (128 + signal.SIGPIPE, b"")


async def test_what_a_terminal_cannot_show_is_written_as_an_escape(desk: Desk, store: SqliteStore) -> None:
    await happen(store, number=1)
    process = await anyio.run_process(
        [sys.executable, "-m", "watcher", "events"],
        cwd=desk.folder,
        env={"NOT_SET": "a-token", "PYTHONIOENCODING": "latin-1"},
    )
    assert rb"\u2192" in process.stdout


async def test_what_an_output_cannot_hold_is_still_json(desk: Desk, store: SqliteStore) -> None:
    await added(store, a_watch("é😀"))
    process = await anyio.run_process(
        [sys.executable, "-m", "watcher", "list", "--json"],
        cwd=desk.folder,
        env={"NOT_SET": "a-token", "PYTHONIOENCODING": "ascii"},
    )
    [shown] = orjson.loads(process.stdout)
    assert shown["id"] == "é😀"


async def test_a_disk_that_is_full_is_one_line(desk: Desk, store: SqliteStore) -> None:
    with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230  # a device that never makes anybody wait
        process = await anyio.run_process(
            [sys.executable, "-m", "watcher", "list"], stdout=full, cwd=desk.folder, check=False
        )
    assert (process.returncode, process.stderr) == (1, b"watcher: No space left on device\n")


async def test_a_receiver_ends_as_by_ctrl_c_when_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    listening = [sys.executable, "-m", "watcher", "listen", "--port", str(port := free_port())]
    reader, writer = os.pipe()
    with (tmp_path / "stderr").open("wb") as complaints:
        process = await anyio.open_process(listening, cwd=tmp_path, stdout=writer, stderr=complaints)
    os.close(writer)
    async with process:
        await anyio.wait_readable(reader)
        os.close(reader)
        with anyio.move_on_after(20):
            async with aiohttp.ClientSession() as session:
                while process.returncode is None:
                    with suppress(aiohttp.ClientError):
                        await session.post(f"http://127.0.0.1:{port}/", data=b"{}")
                    await anyio.sleep(0.05)
        with suppress(ProcessLookupError):
            process.kill()
    assert (process.returncode, (tmp_path / "stderr").read_bytes()) == (0, b"")
