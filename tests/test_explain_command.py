"""`watcher explain` as a command: over a store, with and without a daemon, and beside one that listens."""

import re
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import forked
import orjson
import pytest
from make import after
from nats_server import free_port
from running import stage
from store_values import a_step, a_watch, added

from watcher.core.event import provider_changed
from watcher.core.model import Condition, Ending, Json, Reason, Snapshot, State
from watcher.stores.sqlite import SqliteStore

CONFIG = """
[watcher]
state = "sqlite:watcher.db"
listen = ""

[providers.d7]
type = "d7"
token = "env:T_D7"
rate = 5
poll = { min = "2s", max = "5m" }
"""
NOW = after("5m")
RUNNING = Snapshot("RUNNING", State.IN_PROGRESS, progress=40.0)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "watcher.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
async def store(config: Path) -> AsyncIterator[SqliteStore]:
    """Own the store, as a daemon does."""
    opened = await SqliteStore.open(config.with_name("watcher.db"))
    await opened.lease()
    yield opened
    await opened.close()


async def stored(store: SqliteStore) -> None:
    """Store a watch that changed five minutes ago, a finished one, and open ones of this provider and another."""
    at = datetime.now(UTC) - timedelta(minutes=5)
    fresh = replace(a_watch(), submitted_at=at, accepted_at=at, deadline=timedelta(days=3))
    ours, done, *_ = await added(store, fresh, a_watch("done"), a_watch("open"), a_watch("foreign", provider="kore"))
    step = a_step(ours)
    seen = replace(step, watch=replace(step.watch, snapshot=RUNNING, changed_at=at))
    assert await store.commit([seen, a_step(done, ending=Ending.SUCCEEDED)]) == [None, None]


async def command(config: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    return await forked.run("-c", str(config), "explain", "order-42", *options, environ={})


async def first_line(config: Path) -> str:
    """Run the command and return its answer, with `T` for each moment that the clock makes."""
    done = await command(config)
    assert (done.returncode, done.stderr) == (0, b"")
    return re.sub(r"\S+Z", "T", done.stdout.decode().partition("\n")[0])


async def test_a_watch_of_a_running_daemon(config: Path, store: SqliteStore) -> None:
    await stored(store)
    assert (await first_line(config)).startswith("order-42 is asked again between T and T, as nothing changed for 5m")


async def test_without_a_daemon_it_says_so(config: Path, store: SqliteStore) -> None:
    await stored(store)
    await store.close()
    assert await first_line(config) == "order-42 is not asked: no daemon is running."


async def test_a_provider_that_was_taken_out_of_the_configuration(config: Path, store: SqliteStore) -> None:
    await anyio.Path(config).write_text(CONFIG.replace("providers.d7", "providers.other"))
    await stored(store)
    assert await first_line(config) == "order-42 is not asked: the configuration has no [providers.d7]."


async def test_programs_get_the_same_as_json(config: Path, store: SqliteStore) -> None:
    await stored(store)
    await store.report(provider_changed(Condition("d7", "uid"), reason=Reason.DENIED, at=NOW, watches=1))
    shown = orjson.loads((await command(config, "--json")).stdout)
    moments = {key for key, value in shown.items() if isinstance(value, str) and re.match(r"\d{4}-", value)}
    assert moments == {"accepted_at", "changed_at", "deadline_at", "down_since"}
    assert {key: value for key, value in shown.items() if key not in {*moments, "daemon"}} == {
        "id": "order-42",
        "provider": "d7",
        "why": "down",
        "earliest": None,
        "latest": None,
        "state": "in_progress",
        "status": "RUNNING",
        "progress": 40.0,
        "scheduled_at": None,
        "trouble": None,
        "trouble_since": None,
        "outcome": None,
        "finished_at": None,
        "down": "denied",
        "poll": {"min": 2.0, "max": 300.0, "mode": "backoff"},
        "rate": 5.0,
        "watches": 2,
        "turn": 0.4,
        "paused_until": None,
        "only_the_daemon_knows": ["failures since the last success", "the last answer as it came"],
        "due_at": None,
        "in_flight": None,
        "ahead": None,
        "provider_free_at": None,
        "failures": None,
        "last_answer": None,
    }


async def test_the_moments_of_json_are_the_window(config: Path, store: SqliteStore) -> None:
    await stored(store)
    shown = orjson.loads((await command(config, "--json")).stdout)
    earliest, latest = datetime.fromisoformat(shown["earliest"]), datetime.fromisoformat(shown["latest"])
    quiet = earliest - datetime.fromisoformat(shown["changed_at"])
    longest = 1.1 * (timedelta(seconds=2) + quiet / 2)
    assert shown["why"] == "quiet"
    assert abs(latest - earliest - longest) < timedelta(milliseconds=1)


async def test_an_id_that_nobody_knows(config: Path, store: SqliteStore) -> None:
    done = await command(config)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"watcher: there is no watch 'order-42'\n")


# --- the command, beside a daemon that listens ------------------------------------------------------------------


JOB: Json = {"request_id": "job", "total_recipients": 1, "messages": []}
API = """
[providers.slow]
type = "d7"
base_url = "{url}"
client_id = "{id}"
client_secret = "env:T_D7"
poll = {{ min = "1h", max = "1h" }}
"""


@pytest.mark.parametrize("listen", ["127.0.0.1:{port}", "unix:http.sock"])
async def test_the_running_daemon_says_the_very_moment_and_its_last_answer(tmp_path: Path, listen: str) -> None:
    async with stage(tmp_path) as world:
        world.vendors.d7.script("job", [(0.0, JOB)])
        config = anyio.Path(world.config)
        address = listen.format(port=free_port())
        text = (await config.read_text()).replace('listen = ""', f'listen = "{address}"\napi_token = "env:T_API"')
        await config.write_text(text + API.format(url=world.vendors.d7.url, id=world.vendors.d7.client_id))
        world.environ["T_API"] = "canary-7f3a"
        async with world.daemon():
            await world.call("add", "slow", "request_id=job", "--id", "job")
            await world.until("watch.changed")
            shown = orjson.loads((await world.call("explain", "job", "--json")).stdout)
            screen = (await world.call("explain", "job")).stdout.decode()
            del world.environ["T_API"]
            unknown = await world.call("explain", "job")
    answered = datetime.fromisoformat(shown["last_answer"].pop("at"))
    wait = datetime.fromisoformat(shown["due_at"]) - answered
    assert timedelta(minutes=59) < wait < timedelta(minutes=61)
    assert shown["last_answer"] == {
        "outcome": "seen",
        "http_status": 200,
        "detail": None,
        "body": shown["last_answer"]["body"],
        "is_whole": True,
    }
    assert orjson.loads(shown["last_answer"]["body"]) == JOB
    assert (shown["in_flight"], shown["failures"], shown["only_the_daemon_knows"]) == (False, 0, [])
    assert re.match(r"job is asked again \S+Z \(in (59m \d+s|1h)\), as nothing changed for ", screen)
    assert (unknown.returncode, unknown.stderr) == (0, b"")
    assert b"Only the running daemon knows" in unknown.stdout
    why = "expected a secret in the environment variable T_API, which is not set"
    assert unknown.stdout.decode().endswith(f"It did not say: {world.config}: watcher.api_token: {why}.\n")
    assert "canary" not in world.log.read_text() + screen
