"""`watcher check --probe` connects to all that the configuration names, and leaves everything as it was."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest
import pytest_asyncio
from aiohttp import web
from commands import Desk
from nats_server import free_port, publish, section
from nats_server import serving as nats_server
from redis_server import redis_server
from running import Stage, stage

from watcher.demo.pretend import serving
from watcher.stores.sqlite import SqliteStore

BROKERS = """
[sources.box]
type = "directory"
path = "box"

[sources.nats]
type = "nats"
servers = "{nats}"

[sources.redis]
type = "redis"
url = "{redis}"
consumer = "me"
"""
NOBODY = """
[sources.box]
type = "directory"
path = "nowhere"

[sources.nats]
type = "nats"
servers = "nats://127.0.0.1:{port}"

[sources.redis]
type = "redis"
url = "redis://:canary-7f3a@127.0.0.1:{port}"

[providers.jobs]
type = "http"
url = "http://127.0.0.1:{port}/jobs/{{id}}"
status = "status"
states = {{ done = "succeeded" }}
auth = {{ type = "oauth2", token_url = "{url}/token", client_id = "w", client_secret = "env:T_JOBS" }}

[providers.idle]
type = "d7"
base_url = "http://127.0.0.1:{port}"
token = "env:T_JOBS"

[webhooks.ops]
url = "http://127.0.0.1:{port}/hook?token=canary-7f3a"
unsigned = true

[webhooks.inside]
url = "{url}/hook"
unsigned = true
private = false

[webhooks.lost]
url = "https://nowhere.invalid/hook"
unsigned = true
"""


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as world:
        yield world


def found(out: str) -> dict[str, str]:
    """Return the lines behind the configuration."""
    lines = out[out.index("\nwatcher.state") :].strip().splitlines()
    return {name: said.strip() for name, _, said in (line.partition(" ") for line in lines)}


async def test_all_is_well_and_stays_as_it_was(world: Stage, tmp_path: Path) -> None:
    box = anyio.Path(tmp_path / "box")
    await box.mkdir()
    await (box / "one.json").write_text("{}")
    posts = len(world.receiver.arrivals)
    async with nats_server(tmp_path) as nats, redis_server(tmp_path) as redis:
        config = anyio.Path(world.config)
        await config.write_text(await config.read_text() + BROKERS.format(nats=nats.url, redis=redis.url))
        async with nats.client() as streams, redis.client() as client:
            source = section(nats).source()
            await source.open(None)
            await source.close()
            await publish(streams, b"{}")
            await client.xadd("watcher:requests", {"request": "{}"})
            before = await streams.consumer_info("WATCHER", "watcher")
            done = await world.call("check", "--probe")
            after = await streams.consumer_info("WATCHER", "watcher")
            groups = await client.xinfo_groups("watcher:requests")
    names = ["inbox", "box", "nats", "redis"]
    told = found(done.stdout.decode())
    assert told == dict.fromkeys(
        [
            "watcher.state",
            *(f"sources.{name}" for name in names),
            *(f"providers.{name}" for name in ("d7", "kore", "chime", "ukg")),
            "webhooks.ops",
        ],
        "ok",
    )
    assert done.returncode == 0
    assert (after.delivered, after.ack_floor, after.num_pending) == (before.delivered, before.ack_floor, 1)
    assert groups == []
    assert [path.name async for path in box.iterdir()] == ["one.json"]
    assert len(world.receiver.arrivals) == posts
    assert not await anyio.Path(tmp_path / "watcher.db").exists()


async def test_what_is_missing_at_a_broker_is_not_made(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as nats, nats.client() as streams:
        await section(nats).source().probe()
        assert await streams.streams_info() == []
        await section(nats, stream="OTHER").source().open(None)
        with pytest.raises(OSError, match=r"stream OTHER takes watcher\.requests; expected one that takes orders"):
            await section(nats, stream="OTHER", subject="orders").source().probe()


async def test_what_waits_in_a_redis_is_not_claimed(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as redis, redis.client() as client:
        desk = Desk(tmp_path)
        desk.config.write_text(
            f'[sources.redis]\ntype = "redis"\nurl = "{redis.url}"\nconsumer = "me"\n'
            '[providers.d7]\ntype = "d7"\ntoken = "env:T_D7"\n'
            f'base_url = "http://127.0.0.1:{redis.port}"\n'
        )
        desk.environ["T_D7"] = "t"
        await client.xadd("watcher:requests", {"request": "{}"})
        await client.xgroup_create("watcher:requests", "watcher", id="0")
        await client.xreadgroup("watcher", "dead", {"watcher:requests": ">"})
        before = await client.xpending_range("watcher:requests", "watcher", min="-", max="+", count=10)
        done = await desk.run("check", "--probe")
        [entry] = await client.xpending_range("watcher:requests", "watcher", min="-", max="+", count=10)
        consumers = await client.xinfo_consumers("watcher:requests", "watcher")
        await client.set("watcher:other", "no stream")
        desk.config.write_text(
            desk.config.read_text().replace("[sources.redis]", '[sources.redis]\nstream = "watcher:other"')
        )
        wrong = await desk.run("check", "--probe")
    assert found(done.out)["sources.redis"] == "ok"
    assert (entry["consumer"], entry["times_delivered"]) == ("dead", before[0]["times_delivered"])
    assert [consumer["name"] for consumer in consumers] == ["dead"]
    assert "wrong kind of value" in found(wrong.out)["sources.redis"]


async def test_each_that_cannot_be_reached_says_why(tmp_path: Path) -> None:
    async def refuse(request: web.Request) -> web.Response:
        assert request.path == "/token"
        return web.json_response({"error": "invalid_client"}, status=401)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", refuse)
    desk, port = Desk(tmp_path, {"T_JOBS": "canary-7f3a"}), free_port()
    async with serving(application) as url:
        desk.config.write_text(NOBODY.format(port=port, url=url))
        done = await desk.run("check", "--probe")
    refused = f"127.0.0.1 port {port}: Connection refused"
    told = found(done.out)
    assert told.pop("sources.nats").startswith(f"127.0.0.1:{port}: ")
    assert told.pop("sources.redis").startswith(f"watcher:requests at 127.0.0.1:{port}: ")
    assert told.pop("webhooks.lost").startswith("dns: ")
    assert told == {
        "watcher.state": "ok",
        "sources.box": f"{tmp_path}/nowhere: the folder does not exist",
        "providers.jobs": "login denied: invalid_client",
        "providers.idle": refused,
        "webhooks.ops": refused,
        "webhooks.inside": "127.0.0.1 is a loopback address",
    }
    assert done.status == 1
    assert "canary" not in done.out + done.err


async def test_a_store_that_another_version_wrote_or_that_has_no_folder_is_named(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {"T_D7": "t"})
    async with serving(web.Application()) as url:
        desk.config.write_text(f'[providers.d7]\ntype = "d7"\ntoken = "env:T_D7"\nbase_url = "{url}"\n')
        await (await SqliteStore.open(desk.database)).close()
        assert (await desk.run("check", "--probe")).status == 0
        with closing(sqlite3.connect(desk.database)) as db:
            db.execute("PRAGMA user_version = 99")
        broken = await desk.run("check", "--probe")
        desk.environ["WATCHER__WATCHER__STATE"] = "sqlite:nowhere/watcher.db"
        homeless = await desk.run("check", "--probe")
    assert "another watcher wrote it (schema 99, " in found(broken.out)["watcher.state"]
    assert found(homeless.out)["watcher.state"] == f"{tmp_path}/nowhere: the folder does not exist"
    assert (broken.status, homeless.status) == (1, 1)
