"""The real daemon calls real receivers: where a request says, or a section, by each one's own way, and nowhere else."""

import ssl
from pathlib import Path

import anyio
import orjson
import trustme
from make import whsec
from raw_server import answer, listening
from running import Stage, stage, stop

from watcher.core.model import Json
from watcher.demo.pretend import serving
from watcher.demo.receiver import Receiver

OWN = b"canary, a secret of a caller"
THEIRS = whsec(OWN)
INSIDE = 'private = ["127.0.0.0/8"]'
CALLBACKS = f"""
[callbacks]
secret = "env:T_HOOK"
retry = ["1s", "1s"]
{INSIDE}
"""
WEBHOOK = """
[webhooks.{name}]
url = "https://localhost:{port}/"
secret = "env:T_HOOK"
events = ["watch.finished"]
retry = "none"
{keys}
"""


def ask(world: Stage, id: str, **keys: Json) -> None:
    """Let D7 know a message that is delivered already, and write the request that watches it."""
    messages: Json = [{"msg_id": f"m-{id}", "status": "delivered"}]
    world.vendors.d7.script(id, [(0.0, {"request_id": id, "total_recipients": 1, "messages": messages})])
    world.ask_for({"id": id, "provider": "d7", "params": {"request_id": id}, **keys})


async def finished(receiver: Receiver, *, watches: int) -> None:
    with anyio.fail_after(20):
        while sum(arrival.type == "watch.finished" for arrival in receiver.arrivals) < watches:
            await anyio.sleep(0.02)


def written(world: Stage) -> bytes:
    """All that the daemon has written: its log, its database, and what was not yet put into that."""
    files = [path for path in world.folder.iterdir() if path not in {world.inbox, world.config}]
    assert {path.name for path in files} >= {"watcher.db", "watcher.db-wal", "watcher.log"}
    return b"".join(path.read_bytes() for path in files)


async def test_a_callback_gets_what_a_webhook_gets_signed_with_its_own_secret_which_is_found_nowhere(
    tmp_path: Path,
) -> None:
    theirs = Receiver([THEIRS])
    async with (
        stage(tmp_path, extra=CALLBACKS) as world,
        serving(theirs.application()) as url,
        world.daemon() as process,
    ):
        ask(world, "theirs", callback_url=f"{url}/theirs", callback_secret=THEIRS)
        ask(world, "refused", callback_url="https://10.0.0.1/", callback_secret=THEIRS)
        ask(world, "theirs", params={"request_id": "another"}, callback_url=url, callback_secret=THEIRS)
        await finished(theirs, watches=1)
        await finished(world.receiver, watches=1)
        await world.until("request.rejected", times=2)
        await world.until("delivery.attempted", times=6)
        shown = [await world.call(*command, "--json") for command in (["show", "theirs"], ["rejected"], ["deliveries"])]
        files = written(world)
        assert await stop(process) == 0

    told = [(arrival.sequence, arrival.type) for arrival in theirs.arrivals]
    assert told == [(1, "message.status.changed"), (2, "watch.status.changed"), (3, "watch.finished")]
    assert {arrival.problem for arrival in [*theirs.arrivals, *world.receiver.arrivals]} == {None}
    assert [arrival.body for arrival in theirs.arrivals] == [arrival.body for arrival in world.receiver.arrivals]
    assert [done.returncode for done in shown] == [0] * 3
    assert orjson.loads(shown[1].stdout)[0]["raw"].count("********") == 1
    for secret in (THEIRS.encode(), OWN):
        assert secret not in files
        assert not [done for done in shown if secret in done.stdout + done.stderr]


async def test_without_leave_nothing_inside_is_called_though_it_was_taken_when_there_was(tmp_path: Path) -> None:
    async with listening(answer(status="500 No")) as inside, stage(tmp_path, extra=CALLBACKS) as world:
        async with world.daemon() as process:
            ask(world, "inside", webhooks=[], callback_url=f"{inside.url}/inside")
            await world.until("delivery.attempted")
            assert await stop(process) == 0
        before = inside.connections
        world.config.write_text(world.config.read_text().replace(INSIDE, ""))
        async with world.daemon() as process:
            ask(world, "another", webhooks=[], callback_url=inside.url)
            await world.until("request.rejected")
            await world.until("delivery.exhausted")
            assert await stop(process) == 0

    assert inside.connections == before > 0
    (refused,) = world.lines("request.rejected")
    assert refused["reason"] == "callback_url: 127.0.0.1 is a loopback address"
    (last, *_) = [line for line in world.lines("delivery.attempted") if line["outcome"] == "exhausted"]
    assert last["webhook"] == f"callback:{inside.url}"
    assert last["error"] == "blocked: 127.0.0.1 is a loopback address"


async def test_a_webhook_trusts_and_calls_whom_its_own_section_says(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    trusting = 'ca_file = "ca.pem"'
    async with (
        listening(answer(), tls=tls) as trusted,
        listening(answer(), tls=tls) as unknown,
        listening(answer(), tls=tls) as forbidden,
    ):
        extra = (
            WEBHOOK.format(name="trusted", port=trusted.port, keys=trusting)
            + WEBHOOK.format(name="unknown", port=unknown.port, keys="")
            + WEBHOOK.format(name="forbidden", port=forbidden.port, keys=f"{trusting}\nprivate = false")
        )
        async with stage(tmp_path, extra=extra) as world, world.daemon() as process:
            ask(world, "w", webhooks=["trusted", "unknown", "forbidden"])
            await world.until("delivery.attempted", times=3)
            assert await stop(process) == 0

    told = {line["webhook"]: line.get("error", line["status"]) for line in world.lines("delivery.attempted")}
    assert told["trusted"] == 200
    assert str(told["unknown"]).startswith("tls: ")
    assert told["forbidden"] == "blocked: localhost is a name for use inside"
    assert (len(trusted.heads), len(unknown.heads), forbidden.connections) == (1, 0, 0)
