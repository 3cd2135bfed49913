"""A real daemon that is told to read its configuration again, and again: nobody whose section stays notices."""

import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import anyio
import orjson
from running import WEBHOOK_SECRET, Stage, stage, stop
from strict_receiver import GOOD, Post, StrictReceiver

from watcher.core.model import Json
from watcher.demo.pretend import Reply, serving

SIGHUPS = 20
EACH = 4

HOOK = """
[webhooks.{name}]
url = "{url}/{path}"
secret = "env:T_HOOK"
timeout = "60s"
retry = ["100ms", "200ms", "500ms", "1s", "1s", "1s"]
{more}
"""
INBOX = """
[sources.{name}]
type = "file"
path = "{path}"
"""


@dataclass
class Calm:
    """A stage with a strict receiver, and the configuration in parts."""

    stage: Stage
    receiver: StrictReceiver
    url: str

    def __post_init__(self) -> None:
        text, _, _ = self.stage.config.read_text().partition("[webhooks.")
        self.common, _, self.providers = text.replace(INBOX.format(name="inbox", path="watches.jsonl"), "|").partition(
            "|"
        )

    def write(
        self, *hooks: str, sources: str = INBOX.format(name="inbox", path="watches.jsonl"), providers: str | None = None
    ) -> None:
        parts = [self.common, sources, self.providers if providers is None else providers, *hooks]
        whole = self.stage.folder / "new.toml"
        whole.write_text("".join(parts))
        whole.replace(self.stage.config)  # a daemon that reads just now reads one or the other

    def hook(self, name: str, *, path: str | None = None, more: str = "") -> str:
        return HOOK.format(name=name, url=self.url, path=path or name, more=more)

    def script(self, name: str, *statuses: str, every: float = 0.5) -> dict[str, object]:
        """Let a message take on one status after the other, and return the request that watches it."""
        documents: list[Json] = [
            {"request_id": name, "total_recipients": 1, "messages": [{"msg_id": f"m-{name}", "status": status}]}
            for status in statuses
        ]
        self.stage.vendors.d7.script(name, [(number * every, document) for number, document in enumerate(documents)])
        return {"id": name, "provider": "d7", "params": {"request_id": name}}

    async def until(self, holds: Callable[[], bool], *, within: float = 30) -> None:
        with anyio.fail_after(within):
            while not holds():
                await anyio.sleep(0.02)

    def told(self, *webhooks: str) -> int:
        return sum(len(post.told) for post in self.receiver.posts if post.webhook in webhooks)

    def asked(self, operation: str) -> int:
        return sum(operation in visit.path for visit in self.stage.vendors.d7.history)


@asynccontextmanager
async def calm(folder: Path, *, answer: Callable[[Post], Reply] = lambda _: GOOD) -> AsyncIterator[Calm]:
    receiver = StrictReceiver({"hook": WEBHOOK_SECRET}, answer=answer)
    async with stage(folder) as world, serving(receiver.application()) as url:
        yield Calm(world, receiver, url)


async def test_a_webhook_that_hangs_longer_than_any_reload_waits_is_not_cut_off_and_delays_nothing(
    tmp_path: Path,
) -> None:
    def answer(post: Post) -> Reply:
        return Reply(204, delay=7) if post.webhook == "hanging" and post.number == 0 else GOOD

    async with calm(tmp_path, answer=answer) as world:
        world.write(world.hook("hanging"), world.hook("ops"))
        async with world.stage.daemon() as process:
            world.stage.ask_for(world.script("first", "delivered"))
            await world.until(lambda: {post.webhook for post in world.receiver.posts} == {"hanging", "ops"})
            world.write(world.hook("hanging"), world.hook("ops", path="moved"))
            process.send_signal(signal.SIGHUP)
            await world.stage.until("daemon.ready", times=2, within=4)
            world.stage.ask_for(world.script("second", "delivered"))
            await world.until(lambda: len(world.receiver.taken("moved").get("second", [])) == 3, within=4)
            await world.until(lambda: sum(map(len, world.receiver.taken("hanging").values())) == 6)
            assert await stop(process) == 0

    assert world.receiver.complaints == []
    posted = Counter((post.webhook, *one) for post in world.receiver.posts for one in post.of_watches)
    assert set(posted.values()) == {1}
    assert world.receiver.taken("hanging") == {"first": [1, 2, 3], "second": [1, 2, 3]}


async def test_a_poll_that_is_in_flight_is_waited_for_and_what_was_asked_just_now_is_not_asked_again(
    tmp_path: Path,
) -> None:
    async with calm(tmp_path) as world:
        world.providers = world.providers.replace('min = "100ms", max = "300ms"', 'min = "1m", max = "1m"')
        world.write(world.hook("ops"))
        document: Json = {"request_id": "slow", "total_recipients": 1, "messages": []}
        world.stage.vendors.d7.script("slow", [(0.0, Reply(200, document, delay=6.5))])
        requests = [world.script(f"op-{number}", "sent") for number in range(20)]
        async with world.stage.daemon() as process:
            world.stage.ask_for({"id": "slow", "provider": "d7", "params": {"request_id": "slow"}}, *requests)
            await world.stage.until("watch.changed", times=20)
            for number in range(5):
                world.write(world.hook("ops", more=f"concurrency = {number + 1}"))
                process.send_signal(signal.SIGHUP)
                await world.stage.until("config.reloaded", times=number + 1)
            await world.stage.until("watch.changed", times=21)
            assert await stop(process) == 0

        assert len(world.stage.lines("config.reloaded")) == 5
        assert [world.asked(f"/{operation}") for operation in ("slow", "op-0", "op-7")] == [1, 1, 1]
        assert len(world.stage.vendors.d7.history) == 21 + 1  # and one login


async def test_sources_come_change_and_go_and_each_goes_on_where_it_was(tmp_path: Path) -> None:
    def ask(path: str, id: str) -> None:
        with (tmp_path / path).open("a") as inbox:
            inbox.write(orjson.dumps(world.script(id, "sent")).decode() + "\n")

    async def reload(*sources: str) -> None:
        number = len(world.stage.lines("daemon.ready"))
        world.write(world.hook("ops"), sources="".join(sources))
        process.send_signal(signal.SIGHUP)
        await world.stage.until("daemon.ready", times=number + 1)

    def accepted() -> list[tuple[Json, Json]]:
        return [(line["source"], line["watch"]) for line in world.stage.lines("request.accepted")]

    one, two, moved = (INBOX.format(name=name, path=path) for name, path in [("one", "1"), ("two", "2"), ("two", "3")])
    async with calm(tmp_path) as world:
        world.write(world.hook("ops"), sources=one)
        async with world.stage.daemon() as process:
            ask("1", "a")
            await world.until(lambda: accepted() == [("one", "a")])
            await reload(one, two)
            ask("2", "b")
            await world.until(lambda: accepted()[1:] == [("two", "b")])
            await reload(two)
            ask("1", "while it is gone")
            await reload(moved)
            ask("3", "c")
            await world.until(lambda: accepted()[2:] == [("two", "c")])
            await reload(one)
            await world.until(lambda: accepted()[3:] == [("one", "while it is gone")])
            ask("1", "d")
            await world.until(lambda: accepted()[4:] == [("one", "d")])
            assert await stop(process) == 0


async def test_the_last_of_many_configurations_holds_and_each_event_is_told_once_and_in_order(tmp_path: Path) -> None:
    inbox = INBOX.format(name="inbox", path="watches.jsonl")
    watches = {number: [f"{number}-{each}" for each in range(EACH)] for number in range(SIGHUPS)}
    async with calm(tmp_path) as world:
        world.write(world.hook("ops"), world.hook("other"))
        async with world.stage.daemon() as process:
            for number, names in watches.items():
                world.stage.ask_for(
                    *(world.script(name, "scheduled", "sent", "delivered", every=0.4) for name in names)
                )
                world.write(
                    world.hook("ops", more=f"concurrency = {number % 3 + 1}"),
                    world.hook("other"),
                    *[world.hook(f"extra-{number % 4}", path="unordered")] * (number % 2),
                    providers=world.providers.replace("burst = 100", f"burst = {100 + number % 2}"),
                    sources=inbox + INBOX.format(name=f"spare-{number % 3}", path=f"spare-{number % 3}.jsonl"),
                )
                process.send_signal(signal.SIGHUP)
                await anyio.sleep(0.05 * (number % 7))
            world.write(world.hook("ops", path="last"), world.hook("other"))
            process.send_signal(signal.SIGHUP)
            await world.stage.until("watch.finished", times=SIGHUPS * EACH, within=60)
            world.stage.ask_for(world.script("after", "delivered"))
            await world.until(lambda: world.receiver.taken("last").get("after") == [1, 2, 3])
            await world.until(lambda: world.told("other") >= 7 * SIGHUPS * EACH + 3)
            await world.until(lambda: world.told("ops", "last") >= 7 * SIGHUPS * EACH + 3)
            assert await stop(process) == 0

    assert [line for line in world.receiver.complaints if not line.startswith(("last", "unordered"))] == []
    assert world.stage.lines("daemon.fault") == []
    told = [
        ("ops" if post.webhook == "last" else post.webhook, one)
        for post in world.receiver.posts
        for one in post.of_watches
    ]
    assert [one for one, times in Counter(told).items() if times > 1] == []
    of_ops = Counter(watch for webhook, (watch, *_) in told if webhook == "ops")
    assert of_ops == Counter({name: 7 for names in watches.values() for name in names} | {"after": 3})


async def test_the_api_goes_by_the_new_sections_at_once_whatever_hangs(tmp_path: Path) -> None:
    async with calm(tmp_path, answer=lambda _: Reply(204, delay=4)) as world:
        world.common = world.common.replace('listen = ""', 'listen = "unix:api.sock"')
        world.write(world.hook("ops"))
        connector = aiohttp.UnixConnector(str(tmp_path / "api.sock"))
        async with (
            world.stage.daemon() as process,
            aiohttp.ClientSession("http://localhost", connector=connector) as api,
        ):
            world.stage.ask_for(world.script("first", "sent"))
            await world.until(lambda: len(world.receiver.posts) == 1)
            world.write(world.hook("new"), providers=world.providers.replace("[providers.kore]", "[providers.second]"))
            process.send_signal(signal.SIGHUP)
            await world.stage.until("config.reloaded")
            request = {"params": {"request_id": "x"}, "webhooks": ["new"]}
            taken = [
                (await api.post("/v1/watches", json={**request, "provider": provider})).status
                for provider in ("second", "kore")
            ]
            await anyio.sleep(0.5)
            async with api.get("/readyz") as answer:
                ready = answer.status
            assert len(world.stage.lines("daemon.ready")) == 1  # the old loop still waits for its answer
            await world.stage.until("daemon.ready", times=2)
            async with api.get("/metrics") as answer:
                text = await answer.text()
            assert await stop(process) == 0

    assert (taken, ready) == ([201, 422], 200)
    assert 'webhook="new"' in text
    assert 'provider="second"' in text
    assert [line for line in text.splitlines() if '"kore"' in line or '"ops"' in line] == []
    assert world.stage.lines("provider.down") == []


async def test_a_stop_in_the_midst_of_a_reload_is_orderly_and_within_twenty_seconds(tmp_path: Path) -> None:
    async with calm(tmp_path, answer=lambda _: Reply(204, delay=3)) as world:
        world.write(world.hook("ops"))
        async with world.stage.daemon() as process:
            world.stage.ask_for(world.script("first", "sent"))
            await world.until(lambda: len(world.receiver.posts) == 1)
            world.write(world.hook("ops", path="moved"))
            process.send_signal(signal.SIGHUP)
            await world.stage.until("config.reloaded")
            with anyio.fail_after(20):
                assert await stop(process) == 0

    assert world.receiver.taken("ops") == {"first": [1]}
    assert [line["outcome"] for line in world.stage.lines("delivery.attempted")] == ["delivered"]
    assert len(world.stage.lines("daemon.ready")) == 1
    assert len(world.stage.lines("daemon.stopped")) == 1


async def test_systemd_hears_of_a_reload_and_then_that_its_loops_turn(tmp_path: Path) -> None:
    async with calm(tmp_path, answer=lambda _: Reply(204, delay=2)) as world:
        world.write(world.hook("ops"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
            ear.bind(str(tmp_path / "notify"))
            ear.settimeout(20)
            world.stage.environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
            async with world.stage.daemon() as process:
                world.stage.ask_for(world.script("first", "sent"))
                await world.until(lambda: len(world.receiver.posts) == 1)
                world.write(world.hook("ops", path="moved"))
                process.send_signal(signal.SIGHUP)
                heard = [(await anyio.to_thread.run_sync(ear.recv, 4096)).decode().split("\n")[0] for _ in range(3)]
                took = [len(world.receiver.taken("ops")), len(world.stage.lines("delivery.attempted"))]
                assert await stop(process) == 0

    assert heard == ["READY=1", "RELOADING=1", "READY=1"]
    assert took == [1, 1]  # the old loop had ended
