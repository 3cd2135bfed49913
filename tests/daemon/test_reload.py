"""A real daemon under a configuration that changes: what takes effect, what is refused, what stays."""

import signal
import socket
from pathlib import Path

import aiohttp
import anyio
from running import Stage, stage, stop

from watcher.demo.receiver import Manners


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def rewrite(world: Stage, old: str, new: str) -> None:
    text = world.config.read_text()
    assert old in text
    world.config.write_text(text.replace(old, new))


def ask(world: Stage, id: str) -> None:
    world.ask_for({"id": id, "provider": "d7", "params": {"request_id": id}})


async def test_a_reload_changes_what_it_may_names_what_it_may_not_and_the_api_goes_on(tmp_path: Path) -> None:
    port = free_port()
    async with stage(tmp_path) as world:
        rewrite(world, 'listen = ""', f'listen = "127.0.0.1:{port}"')
        async with world.daemon() as process, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as api:
            async with api.get("/readyz") as answer:
                assert answer.status == 200
            ask(world, "before")
            await world.until("request.accepted")
            rewrite(world, "[webhooks.", '[webhooks.second]\nurl = "http://127.0.0.1:9/x"\nunsigned = true\n[webhooks.')
            rewrite(world, f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
            process.send_signal(signal.SIGHUP)
            await world.until("daemon.ready", times=2)
            ask(world, "after")
            await world.until("request.accepted", times=2)
            async with api.get("/v1/watches") as answer:
                listed = await answer.json()
            assert await stop(process) == 0

    (reloaded,) = world.lines("config.reloaded")
    assert (reloaded["changed"], reloaded["needs_restart"]) == (["webhooks.second"], ["watcher.listen"])
    assert [watch["id"] for watch in listed["watches"]] == ["before", "after"]


async def test_a_bad_file_is_refused_with_its_reason_and_the_old_configuration_goes_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as world, world.daemon() as process:
        rewrite(world, "[webhooks.", "[webhook.")
        done = await world.call("reload")
        process.send_signal(signal.SIGHUP)
        await world.until("config.rejected")
        ask(world, "a")
        await world.until("request.accepted")
        assert await stop(process) == 0

    assert done.returncode == 2  # the command reads the file, too, and does not even ask
    (rejected, *_) = world.lines("config.rejected")
    assert str(rejected["error"]).endswith(
        "webhook: unknown key; expected one of callbacks, providers, sources, watcher, webhooks"
    )
    assert world.lines("config.reloaded") == []


async def test_what_waits_for_a_webhook_that_is_removed_is_kept_and_delivered_when_it_is_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as world, world.daemon() as process:
        text = world.config.read_text()
        world.receiver.manners = Manners(fail=None, status=500)
        world.ask_for({"id": "gone", "provider": "d7", "params": {"request_id": "no-such"}})
        await world.until("request.accepted")
        (await world.call("cancel", "gone")).check_returncode()
        await world.until("delivery.attempted")
        world.config.write_text(text.partition("[webhooks.")[0])
        process.send_signal(signal.SIGHUP)
        await world.until("endpoint.paused")
        world.receiver.manners = Manners()
        world.config.write_text(text)
        (await world.call("reload")).check_returncode()
        with anyio.fail_after(20):
            while not world.receiver.arrivals:
                await anyio.sleep(0.05)
        assert await stop(process) == 0

    assert world.lines("endpoint.paused")[0]["reason"] == "no such section: its deliveries wait"
    assert len(world.lines("config.reloaded")) == 2
