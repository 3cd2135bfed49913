"""README.md's commands about webhooks, its requests over HTTP, its line of a log: tried on a real daemon."""

import argparse
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import aiohttp
import anyio
import orjson
from nats_server import free_port
from readme import block, commands, plain, table
from running import Stage, stage

from watcher.demo.story import ORDER_42

THEIRS = "http://127.0.0.1:8480"


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[tuple[Stage, str]]:
    """A daemon, and where it listens."""
    async with stage(folder) as world:
        world.environ["WATCHER__WATCHER__LISTEN"] = f"127.0.0.1:{free_port()}"
        async with world.daemon():
            yield world, f"http://{world.environ['WATCHER__WATCHER__LISTEN']}"


@asynccontextmanager
async def after_order_42(folder: Path) -> AsyncIterator[Stage]:
    """A daemon that has delivered all that there is to tell of order-42."""
    async with listening(folder) as (world, _):
        world.ask_for(world.begin(ORDER_42))
        await world.until("watch.finished")
        await world.until("delivery.attempted", times=len(ORDER_42.expected))
        yield world


async def test_each_command_about_a_webhook_that_gets_nothing_and_about_sending_again_is_carried_out(
    tmp_path: Path,
) -> None:
    async with after_order_42(tmp_path) as world:
        event = str(world.lines("delivery.attempted")[0]["event_id"])
        for heading in ("When a webhook gets nothing", "Sending again"):
            for program, *arguments in commands(re.sub(r"evt_\w+", event, block("sh", heading))):
                done = await world.call(*arguments)
                assert (program, done.returncode) == ("watcher", 0), (arguments, done)


async def test_a_line_of_the_log_has_the_keys_that_the_readme_shows(tmp_path: Path) -> None:
    async with after_order_42(tmp_path) as world:
        [real] = world.lines("watch.finished")
    shown = orjson.loads(block("text", "Logs"))
    assert list(shown) == list(real)
    assert shown["event"] == "watch.finished"


async def test_the_first_look_finds_what_is_worth_a_look_in_the_log(tmp_path: Path) -> None:
    """The journal has all that the daemon prints under one priority, so it is the line that says how bad it is."""
    asked, standing, journal = block("sh", "Runbook").splitlines()
    assert standing.startswith("systemctl status watcher ")
    async with after_order_42(tmp_path) as world:
        [words] = commands(asked)
        assert (await world.call(*words[words.index("/opt/watcher/bin/watcher") + 1 :])).returncode == 0
        world.ask_for("this is no request")
        await world.until("request.rejected")
        search = ["/bin/sh", "-c", journal.partition(" | ")[2]]
        found = await anyio.run_process(search, input=world.log.read_bytes())
    events = [orjson.loads(line)["event"] for line in found.stdout.splitlines()]
    assert events == [line["event"] for line in world.lines() if line["level"] not in {"debug", "info"}]
    assert "request.rejected" in events


async def test_a_copy_of_the_store_of_a_running_daemon_is_a_store(tmp_path: Path) -> None:
    """As `sqlite3 … ".backup …"` makes it, which `Upgrading` tells to do before."""
    assert '".backup ' in block("sh", "Upgrading")
    async with after_order_42(tmp_path) as world:
        running = sqlite3.connect(tmp_path / "watcher.db")
        copied = sqlite3.connect(tmp_path / "before.db")
        running.backup(copied)
        shown = await world.call("show", "order-42")
        running.close()
        copied.close()
    world.environ["WATCHER__WATCHER__STATE"] = "sqlite:before.db"
    assert (await world.call("show", "order-42")).stdout == shown.stdout != b""


# --- HTTP -------------------------------------------------------------------------------------------------------


def curl(arguments: list[str]) -> argparse.Namespace:
    """Read the few options of curl that the README uses."""
    options = argparse.ArgumentParser(exit_on_error=True)
    options.add_argument("-s", action="store_true")
    options.add_argument("-N", action="store_true")
    options.add_argument("-H", action="append", default=[])
    options.add_argument("-d")
    options.add_argument("url")
    return options.parse_args(arguments)


async def test_each_request_over_http_is_answered(tmp_path: Path) -> None:
    posting, following = (curl(words[1:]) for words in commands(block("sh", "HTTP")))
    async with listening(tmp_path) as (world, ours), aiohttp.ClientSession() as session:
        world.begin(ORDER_42)
        headers = dict(line.split(": ", 1) for line in posting.H)
        async with session.post(posting.url.replace(THEIRS, ours), data=posting.d, headers=headers) as answer:
            assert (answer.status, (await answer.json())["result"]) == (HTTPStatus.CREATED, "new")
        with anyio.fail_after(20):
            async with session.get(following.url.replace(THEIRS, ours)) as answer:
                told = [await anext(aiter(answer.content)) for _ in range(20)]
    types = [line.split()[1].decode() for line in told if line.startswith(b"event: ")]
    assert types[:3] == ["message.status.changed", "message.status.changed", "watch.status.changed"]


async def test_the_table_of_requests_has_each_route_with_its_parameters_and_no_other(tmp_path: Path) -> None:
    async with listening(tmp_path) as (_, ours), aiohttp.ClientSession() as session:
        paths = (await (await session.get(f"{ours}/openapi.json")).json())["paths"]
    real = {
        f"{method.upper()} {path}": {one["name"] for one in operation.get("parameters", ())}
        for path, methods in paths.items()
        for method, operation in methods.items()
    }
    rows = table("HTTP")
    written = [plain(row["request"]) for row in rows if "…" not in row["request"]]
    assert sorted([*written, *in_one_row()]) == sorted(real)
    for row in rows:
        for name in re.findall(r"[?&](\w+)=", row["does"]):
            assert name in real[plain(row["request"])], row


def in_one_row() -> list[str]:
    """Return the two routes that share a row."""
    [both] = [row["request"] for row in table("HTTP") if "…" in row["request"]]
    first, second = (plain(part) for part in both.split(", "))
    return [first, first.rpartition("/")[0] + second.removeprefix("…")]
