"""Secrets with a name that can be looked for: they are in no line of the log, and in no byte of the database."""

import asyncio
import base64
from collections import Counter
from pathlib import Path

import anyio
from aiohttp import web
from make import whsec
from running import SECRETS, Stage, stage

from watcher.core.model import Json
from watcher.demo.pretend import serving

OLD, NEW = whsec(b"canary of the old secret"), whsec(b"canary of the new secret")
CALLBACK, OF_ONE = whsec(b"canary of all callbacks!"), whsec(b"canary of a callback's own")
SIGNING_KEY = f"whsk_{base64.b64encode(b'canary of the signing key, an ed').decode()}"
HEADERS = {"T_API_KEY": "canary-of-the-header", "T_BEARER": "Bearer canary-of-the-authorization"}
QUERY = "canary-of-the-query"
LITERAL = "canary-of-a-literal-token"
GRANT = "d7-pretend-login-"  # what the vendor gives for a login
WEBHOOKS = """
[webhooks.echo]
url = "{hook}/echo?token={query}"
{keys}
[webhooks.moved]
url = "{hook}/moved?token={query}"
{keys}
[webhooks.rubbish]
url = "{hook}/rubbish?token={query}"
{keys}
[webhooks.hanging]
url = "{hook}/hanging?token={query}"
timeout = "300ms"
{keys}
[webhooks.nobody]
url = "http://127.0.0.1:9/?token={query}"
{keys}
[webhooks.tls]
url = "https://127.0.0.1:{port}/?token={query}"
{keys}
[callbacks]
secret = "env:T_CALLBACK"
retry = ["100ms", "100ms"]
allow_http = true
private = true

[providers.denied]
type = "d7"
base_url = "{d7}"
token = "{literal}"
"""
KEYS = """
secret = ["env:T_NEW", "env:T_OLD"]
signing_key = "env:T_SIGNING_KEY"
headers = { x-api-key = "env:T_API_KEY", authorization = "env:T_BEARER" }
retry = ["100ms", "100ms"]
"""


async def misbehave(request: web.Request) -> web.StreamResponse:
    """Give back what came: as a body, as headers, as a place to go; or answer something that is no answer."""
    match request.path:
        case "/echo" | "/callback":
            came = {name.lower(): value for name, value in request.headers.items()}
            secretive = {name: value for name, value in came.items() if name in {"authorization", "webhook-signature"}}
            echo = {f"x-{name}": value for name, value in came.items()} | secretive
            headers = {**echo, "x-how": "the-way-it-came", "set-cookie": "canary-of-a-cookie"}
            return web.json_response(came, status=500, headers=headers)
        case "/moved":
            return web.Response(status=302, headers={"location": str(request.url)})
        case "/hanging":
            await anyio.sleep(1)
        case _:
            assert isinstance(request.transport, asyncio.Transport)
            request.transport.write(b"garbage " + request.raw_path.encode() + b"\r\n\r\n")
            request.transport.close()
    return web.Response()


def canaries() -> list[bytes]:
    """Return what nobody may find: keys, and secrets as they are written."""
    keys = [key.partition("_")[2] for key in (OLD, NEW, CALLBACK, OF_ONE, SIGNING_KEY)]
    headers = [value.removeprefix("Bearer ") for value in HEADERS.values()]
    texts = [*keys, *headers, *SECRETS.values(), LITERAL, GRANT, "canary-of-a-cookie"]
    return [*map(base64.b64decode, keys), *(text.encode() for text in texts)]


def all_were_tried(world: Stage) -> bool:
    """Did each webhook, and the callback, fail three times?"""
    failures = Counter(line["webhook"] for line in world.lines("delivery.attempted") if line["status"] != 204)
    return len(failures) == 7 and min(failures.values()) >= 3


async def run(world: Stage, hook: str) -> None:
    """Let a daemon use all of its secrets, and fail in every way."""
    place = {"hook": hook, "port": hook.rpartition(":")[2], "d7": world.vendors.d7.url}
    webhooks = WEBHOOKS.format(**place, query=QUERY, keys=KEYS, literal=LITERAL)
    world.config.write_text(world.config.read_text() + webhooks)
    world.environ.update({"T_OLD": OLD, "T_NEW": NEW, "T_CALLBACK": CALLBACK, "T_SIGNING_KEY": SIGNING_KEY, **HEADERS})
    log: Json = {"request_id": "op", "total_recipients": 1, "messages": [{"msg_id": "m", "status": "sent"}]}
    world.vendors.d7.script("op", [(0.0, log)])
    callback = {"callback_url": f"{hook}/callback?token={QUERY}", "callback_secret": OF_ONE}
    async with world.daemon() as process:
        world.ask_for(
            {"id": "seen", "provider": "d7", "params": {"request_id": "op"}, **callback},
            {"id": "denied", "provider": "denied", "params": {"request_id": "op"}},
            {"id": "refused", "provider": "nobody", "params": {}, **callback},
        )
        with anyio.fail_after(20):
            while not all_were_tried(world):
                await anyio.sleep(0.05)
        process.kill()  # so that the write-ahead log stays


async def test_no_secret_is_in_the_log_or_in_the_database_whatever_fails(tmp_path: Path) -> None:
    application = web.Application()
    application.router.add_post("/{path:.*}", misbehave)
    async with serving(application) as hook, stage(tmp_path) as world:
        await run(world, hook)

    files = {name: (tmp_path / name).read_bytes() for name in ("watcher.db", "watcher.db-wal", "watcher.log")}
    assert b"the-way-it-came" in files["watcher.db-wal"], "what a receiver says is kept"
    assert not [(name, canary) for name, content in files.items() for canary in canaries() if canary in content]
    assert QUERY.encode() not in files["watcher.log"]
    assert not world.lines("daemon.fault")
