"""The real daemon, as a user meets it: requests in the file, verified POSTs at the webhook, signals, mistakes."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import orjson
import pytest_asyncio
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from running import SECRETS, WEBHOOK_SECRET, Stage, stage, stop
from standardwebhooks import Webhook as Verifier

from watcher.demo.kore import Kore
from watcher.demo.pretend import Reply
from watcher.demo.story import PLOTS


async def finished(world: Stage, *, watches: int, within: float = 30) -> None:
    with anyio.fail_after(within):
        while sum(a.type == "watch.finished" and a.answered < 300 for a in world.receiver.arrivals) < watches:
            await anyio.sleep(0.02)


async def asked(world: Stage, *operations: str) -> None:
    """Wait until D7 was asked about each of them."""
    with anyio.fail_after(10):
        while not all(any(name in visit.path for visit in world.vendors.d7.history) for name in operations):
            await anyio.sleep(0.01)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as world:
        yield world


async def test_every_change_of_four_providers_arrives_once_verified_and_in_order(world: Stage) -> None:
    async with world.daemon() as process:
        world.ask_for(*(world.begin(plot) for plot in PLOTS))
        await finished(world, watches=len(PLOTS))
        assert await stop(process) == 0
    for plot in PLOTS:
        events = [arrival for arrival in world.receiver.arrivals if arrival.watch == plot.watch]
        told = [(a.type, a.message, a.before, a.after) for a in events]
        assert told == [tuple(change) for change in plot.expected]
        assert [a.sequence for a in events] == list(range(1, len(plot.expected) + 1))
        assert all(a.problem is None for a in events)


async def test_each_post_is_a_standard_webhook_and_a_cloud_event(world: Stage) -> None:
    plot = PLOTS[0]
    async with world.daemon():
        world.ask_for(world.begin(plot))
        await finished(world, watches=1)
    for arrival in world.receiver.arrivals:
        headers = {name.lower(): value for name, value in arrival.headers.items()}
        body = Verifier(WEBHOOK_SECRET).verify(arrival.body, headers)
        event = from_http_event(HTTPMessage(headers=headers, body=arrival.body))
        assert event.get_id() == headers["webhook-id"] == arrival.id
        assert event.get_type() == body["type"]
        assert event.get_source() == f"/watcher/{plot.provider}"
        assert event.get_subject() == plot.watch
        assert event.get_data() == body
        assert body["data"]["labels"] == {"of": plot.watch}
        assert headers["user-agent"].startswith("watcher/")


async def test_a_wrong_line_is_kept_with_its_place_and_reason_and_the_next_ones_work(world: Stage) -> None:
    good = world.begin(PLOTS[0])
    async with world.daemon():
        world.ask_for(
            "rubbish",
            {"provider": "nobody", "params": {}},
            {"provider": "d7", "params": {}},
            good,
            {**good, "params": {"request_id": "another"}},
            {"cancel": "nobody"},
            good,
            {**good, "id": "second", "webhooks": ["nowhere"]},
            {"id": "later", "provider": "d7", "params": {"request_id": "never-known"}},
        )
        await world.until("request.accepted", times=3)
        await world.until("request.rejected", times=6)
    refused = [(line["where"], line["reason"]) for line in world.lines("request.rejected")]
    assert [where for where, _ in refused] == [f"watches.jsonl:{n}" for n in (1, 2, 3, 5, 6, 8)]
    for (_, reason), words in zip(
        refused, ("JSON", "nobody", "request_id", "conflict", "unknown", "nowhere"), strict=True
    ):
        assert isinstance(reason, str)
        assert words in reason
    shown = await world.call("rejected", "--json")
    kept = orjson.loads(shown.stdout)
    assert {row["where"] for row in kept} == {where for where, _ in refused}
    assert "rubbish" in {row["raw"] for row in kept}


async def test_a_provider_that_answers_rubbish_is_nobody_elses_problem(world: Stage) -> None:
    bad = {
        "html": Reply(200, b"<html>maintenance</html>"),
        "shape": Reply(200, {"messages": 7}),
        "huge": Reply(200, b"[" + b" " * 10_000_000 + b"]"),
        "slow": Reply(200, {}, delay=1.0),
        "broken": Reply(500, b"oops"),
    }
    for name, reply in bad.items():
        world.vendors.d7.script(name, [(0.0, reply)])
    async with world.daemon() as process:
        world.ask_for(*({"id": name, "provider": "d7", "params": {"request_id": name}} for name in bad))
        await asked(world, *bad)
        world.ask_for(world.begin(PLOTS[0]))
        await finished(world, watches=1)
        assert await stop(process) == 0
    assert {a.watch for a in world.receiver.arrivals} == {PLOTS[0].watch}
    assert not world.lines("daemon.fault")
    listed = orjson.loads((await world.call("list", "--state", "open", "--json")).stdout)
    assert {row["id"] for row in listed} == set(bad)


async def test_a_cancellation_ends_a_watch_within_a_moment_daemon_running_or_not(world: Stage) -> None:
    for name in ("one", "two"):
        world.vendors.d7.script(name, [(0.0, {"request_id": name, "total_recipients": 1, "messages": []})])
    async with world.daemon() as process:
        assert (await world.call("add", "d7", "request_id=one", "--id", "one")).returncode == 0
        await world.until("watch.changed")
        assert (await world.call("cancel", "one")).returncode == 0
        await finished(world, watches=1)
        await stop(process)
    assert (await world.call("add", "d7", "request_id=two", "--id", "two")).returncode == 0
    assert (await world.call("cancel", "two")).returncode == 0
    listed = orjson.loads((await world.call("list", "--json")).stdout)
    assert [row["outcome"] for row in listed] == ["cancelled", "cancelled"]
    assert (await world.call("cancel", "three")).returncode == 1


async def test_a_second_daemon_on_the_same_file_is_refused_and_told_whose_it_is(world: Stage) -> None:
    async with world.daemon() as first:
        second = await world.call("run")
        assert second.returncode == 1
        assert str(first.pid) in second.stdout.decode()
        assert await stop(first) == 0


async def test_a_wrong_configuration_ends_with_status_2_and_says_which_key(world: Stage) -> None:
    world.config.write_text(world.config.read_text().replace("rate = 1000", 'rate = "fast"', 1))
    for command in ("check", "run"):
        ended = await world.call(command)
        assert ended.returncode == 2
        assert b"watcher.toml: providers.d7.rate: expected a number" in ended.stdout + ended.stderr


async def test_a_daemon_that_finds_no_file_handles_says_so_and_ends_without_a_traceback(world: Stage) -> None:
    few = ["sh", "-c", 'ulimit -n 12; exec "$@"', "sh", sys.executable, "-m", "watcher", *world.arguments("run")]
    ended = await anyio.run_process(few, env=world.environ, check=False)
    last = orjson.loads(ended.stdout.splitlines()[-1])
    assert (ended.returncode, last["event"]) == (1, "daemon.stopped")
    assert last["error"] == "no file handle is left: raise `ulimit -n`, or `LimitNOFILE=` of the unit"
    assert b"Traceback" not in ended.stdout + ended.stderr


async def test_repeated_signals_do_not_break_the_orderly_stop(world: Stage) -> None:
    world.vendors.d7.script("slow", [(0.0, Reply(200, {"messages": []}, delay=1.0))])
    async with world.daemon() as process:
        world.ask_for({"id": "slow", "provider": "d7", "params": {"request_id": "slow"}})
        await asked(world, "slow")
        process.send_signal(signal.SIGTERM)
        await world.until("daemon.stopping")
        assert await stop(process) == 0
    assert [line["watch"] for line in world.lines("watch.changed")] == ["slow"]
    assert world.lines("daemon.stopped")


async def test_no_secret_is_in_anything_that_a_run_writes(world: Stage) -> None:
    """Neither those of the configuration nor those that logins brought, in logs, database, outputs or errors."""
    async with world.daemon() as process:
        world.ask_for(*(world.begin(plot) for plot in PLOTS))
        await world.until("watch.changed", times=6)
        world.vendors.d7.expire_tokens()
        world.vendors.ukg.expire_tokens()
        await finished(world, watches=len(PLOTS))
        written = [(await world.call(*c.split())).stdout for c in ("check", "status", "list --json", "events --json")]
        await stop(process)
    refused = await world.call("-c", "nowhere.toml", "check")
    wrong = world.config.read_text().replace('secret = "env:T_HOOK"', 'secret = "whsec_c2hvcnQ="')
    world.config.write_text(wrong)
    written += [refused.stderr, (await world.call("check")).stderr, (await world.call("run")).stdout]
    written += [path.read_bytes() for path in world.folder.iterdir() if path != world.config]
    everything = b"\n".join(written)
    minted = b"eyJhbGciOiJIUzI1NiI"
    for secret in [*(value.encode() for value in SECRETS.values()), minted, b"pretend-login", b"whsec_c2hvcnQ="]:
        assert secret not in everything
    assert Kore.client_id.encode() in everything  # what is no secret is shown: the search itself works


def rss_of(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def started_anew(world: Stage) -> AsyncIterator[anyio.abc.Process]:
    """Run a daemon that has loaded what it needs, and nothing besides."""
    command = [sys.executable, "-m", "watcher", *world.arguments("run")]
    with world.log.open("ab") as log:
        process = await anyio.open_process(command, stdout=log, stderr=log, env=world.environ)
    async with process:
        try:
            await world.until("daemon.ready")
            yield process
        finally:
            if process.returncode is None:
                process.kill()


async def test_an_idle_daemon_fits_in_90_megabytes_and_a_thousand_watches_add_little(world: Stage) -> None:
    for number in range(1000):
        name = f"request-{number}"
        world.vendors.d7.script(name, [(0.0, {"request_id": name, "total_recipients": 1, "messages": []})])
    async with started_anew(world) as process:
        idle = rss_of(process.pid)
        world.ask_for(*({"provider": "d7", "params": {"request_id": f"request-{n}"}} for n in range(1000)))
        await world.until("watch.changed", times=1000, within=60)
        busy = rss_of(process.pid)
        assert await stop(process) == 0
    assert idle < 90e6
    assert busy - idle < 20e6
