"""The commands over a real PostgreSQL, as over a file: those that read make nothing, and nobody needs a daemon."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from commands import Desk
from postgres_server import shared_server
from store_values import a_watch, added, sent, told

from watcher.stores.postgres import PostgresStore

CONFIG = """
[watcher]
state = "{url}"
listen = ""

[providers.d7]
type = "d7"
token = "env:T_D7"

[webhooks.ops]
url = "https://example.com/ops"
unsigned = true
"""
_DATABASES = count(1)


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    """An empty database of its own."""
    server = shared_server()
    name = f"commands_{next(_DATABASES)}"
    db = await asyncpg.connect(server.url)
    await db.execute(f"CREATE DATABASE {name}")
    yield server.url.replace("/postgres?", f"/{name}?")
    await db.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await db.close()


@pytest.fixture
def desk(tmp_path: Path, url: str) -> Desk:
    made = Desk(tmp_path)
    made.config.write_text(CONFIG.format(url=url))
    return made


async def schemas(url: str) -> list[str]:
    db = await asyncpg.connect(url)
    found = await db.fetch("SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema|public)'")
    await db.close()
    return [name for (name,) in found]


async def switches(url: str) -> int:
    """Count the switches that are wanted and not done."""
    db = await asyncpg.connect(url)
    left: int = await db.fetchval("SELECT count(switch) FROM watcher.intents")
    await db.close()
    return left


@pytest.mark.parametrize(
    "command", [("list",), ("show", "x"), ("events",), ("deliveries",), ("status",), ("rejected",), ("explain", "x")]
)
async def test_what_only_reads_says_that_there_is_nothing_and_makes_nothing(
    desk: Desk, url: str, command: tuple[str, ...]
) -> None:
    done = await desk.run(*command)
    assert (done.status, done.out) == (1, "")
    assert "there is nothing of watcher's yet; `watcher run` or `watcher add` makes it" in done.err
    assert await schemas(url) == []


async def test_a_database_can_be_probed_before_and_after_it_is_ours(desk: Desk, url: str) -> None:
    async def probed() -> str:
        done = await desk.run("check", "--probe")
        return next(line for line in done.out.splitlines() if line.startswith("watcher.state "))

    desk.environ["T_D7"] = "t"
    assert (await probed()).split() == ["watcher.state", "ok"]
    assert await schemas(url) == []
    await desk.run("add", "d7", "request_id=1")
    assert (await probed()).split() == ["watcher.state", "ok"]


async def test_a_server_that_cannot_be_reached_is_named_without_the_password(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.config.write_text(CONFIG.format(url="postgresql://me:canary-7f3a@127.0.0.1:1/db"))
    done = await desk.run("list")
    assert (done.status, done.out) == (1, "")
    assert "PostgreSQL at 127.0.0.1:1/db cannot be reached" in done.err
    assert "canary" not in done.err


async def test_watches_are_added_listed_shown_and_cancelled(desk: Desk) -> None:
    added = await desk.run("add", "d7", "request_id=1", "--id", "order-42", "--label", "order=42")
    assert (added.status, added.err) == (0, "")
    again = await desk.run("add", "d7", "request_id=2", "--id", "order-42")
    assert again.status == 1
    assert (await desk.run("list", "--label", "order=42")).out.count("order-42") == 1
    assert (await desk.run("cancel", "order-42")).status == 0
    shown = await desk.run("show", "order-42")
    assert (shown.status, dict(shown.facts)["outcome"]) == (0, "cancelled")
    events = (await desk.run("events")).out
    assert events.count("watch.finished") == 1
    refused = (await desk.run("rejected")).out
    assert refused.count("conflict: the id is known with another provider or other params") == 1


async def test_webhooks_are_switched_and_sent_again_by_whoever_owns_the_store(desk: Desk, url: str) -> None:
    store = await PostgresStore.open(url, worker="one", lease=timedelta(minutes=1))
    [watch] = await added(store, a_watch())
    await store.lease()
    await told(store, await store.watch(watch.uid) or watch, events=2)
    assert len(await sent(store)) == 2
    assert (await desk.run("webhook", "disable", "ops")).status == 0
    assert (await desk.run("replay", "--webhook", "ops", "--since", "1000d")).status == 0
    assert [type(intent).__name__ for intent in await store.intents()] == ["Switch", "Replay"]
    assert len((await store.renew()).epochs) == 256
    status = await desk.run("status")
    assert "worker one" in status.out
    await store.close()
    assert (await desk.run("webhook", "enable", "ops")).status == 0
    assert await switches(url) == 0


async def test_no_command_knows_which_process_on_which_machine_is_to_read_its_configuration_again(desk: Desk) -> None:
    done = await desk.run("reload")
    assert (done.status, done.out) == (1, "")
    assert "systemctl reload" in done.err
