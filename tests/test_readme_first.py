"""README.md's first watch, in three terminals, word for word: what a stranger types, and what he then sees."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
from anyio.abc import Process
from nats_server import free_port
from readme import Block, block, blocks

from watcher.core.model import Json
from watcher.demo.d7 import D7
from watcher.demo.pretend import serving

HEADING = "First watch in five minutes"
WITHOUT = "Without an account"
REQUEST = "9d056a09-0fc4-4f68-9058-3846d58aa244"
SMS = "7053a678-75fe-11ed-9e31-0242ac14001c"


def vendor() -> D7:
    """Return a D7 whose token is the one that the README exports."""
    account = D7()
    [account.token] = re.findall(r"^export D7_TOKEN=(\S+)", terminals()[1].text, re.MULTILINE)
    account.script(REQUEST, [(0.0, log(status)) for status in ("sent", "delivered")])
    return account


def log(status: str) -> Json:
    """Write what D7 says of the SMS."""
    messages: list[Json] = [{"msg_id": SMS, "status": status}]
    return {"request_id": REQUEST, "total_recipients": 1, "channel": "sms", "messages": messages}


def terminals() -> list[Block]:
    return [each for each in blocks("sh") if each.heading == HEADING]


class Desk:
    """A folder, and a shell in which `watcher` is a command, as in an environment that is activated."""

    def __init__(self, folder: Path, *, d7: str, port: int) -> None:
        self.folder = folder
        self.port = port
        (folder / "bin").mkdir()
        program = folder / "bin/watcher"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m watcher "$@"\n')
        program.chmod(0o755)
        self.environ = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "WATCHER__PROVIDERS__D7__BASE_URL": d7,
            "WATCHER__PROVIDERS__D7__POLL__MIN": "100ms",
            "WATCHER__WATCHER__LISTEN": "",
            "WATCHER__WATCHER__STATE": "sqlite:watcher.db",
        }

    def output(self, terminal: int) -> str:
        return (self.folder / f"terminal-{terminal}").read_text()

    @asynccontextmanager
    async def typed(self, terminal: int, text: str) -> AsyncIterator[Process]:
        """Type a block into a terminal of its own; what its last command started is ended as by Ctrl-C."""
        with (self.folder / f"terminal-{terminal}").open("wb") as out:
            *before, last = text.replace("8000", str(self.port)).splitlines()
            last = last.replace("watcher listen", f"watcher listen --port {self.port}")
            script = "\n".join(["set -e", *before, f"exec {last}" if last.startswith("watcher") else last])
            process = await anyio.open_process(
                ["/bin/sh", "-c", script], cwd=self.folder, env=self.environ, stdin=None, stdout=out, stderr=out
            )
            async with process:
                try:
                    yield process
                finally:
                    if process.returncode is None:
                        process.terminate()

    async def until(self, terminal: int, is_there: Callable[[str], bool]) -> None:
        with anyio.fail_after(30):
            while not is_there(self.output(terminal)):
                await anyio.sleep(0.05)


def received(text: str) -> list[str]:
    """Return what the receiver printed of each POST, without the time."""
    return re.findall(r"^\d\d:\d\d:\d\d\.\d{3}  (.*)$", text, re.MULTILINE)


async def test_what_is_typed_in_three_terminals_shows_what_the_readme_says(tmp_path: Path) -> None:
    promised = received(block("text", HEADING))
    assert len(promised) == 5
    receiving, running, asking = (each.text for each in terminals())
    async with AsyncExitStack() as stack:
        d7 = await stack.enter_async_context(serving(vendor().application()))
        desk = Desk(tmp_path, d7=d7, port=free_port())
        (tmp_path / "watcher.toml").write_text(block("toml", HEADING).replace("8000", str(desk.port)))
        await stack.enter_async_context(desk.typed(1, receiving))
        await desk.until(1, lambda text: "stop with Ctrl-C" in text)
        await stack.enter_async_context(desk.typed(2, running))
        await desk.until(2, lambda text: "daemon.ready" in text)
        async with desk.typed(3, asking) as third:
            assert await third.wait() == 0
        await desk.until(1, lambda text: len(received(text)) >= len(promised))
        assert received(desk.output(1)) == promised
        shown = await anyio.to_thread.run_sync(partial(ask, desk, "watcher show order-42; watcher status"))
    assert ("delivered" in shown, "all is well" in shown.lower()) == (True, True), shown


def ask(desk: Desk, text: str) -> str:
    command = ["/bin/sh", "-ec", text]
    return subprocess.run(
        command, cwd=desk.folder, env=desk.environ, capture_output=True, text=True, check=True, timeout=60
    ).stdout


async def test_who_has_no_account_lets_a_folder_be_the_provider(tmp_path: Path) -> None:
    serving_files, asking = (each.text for each in blocks("sh") if each.heading == WITHOUT)
    account = [part for part in block("toml", HEADING).split("\n\n") if "[providers.d7]" not in part]
    config = "\n\n".join([*account, block("toml", WITHOUT), '[providers.files.poll]\nmin = "100ms"\nmax = "100ms"'])
    files = free_port()
    async with AsyncExitStack() as stack:
        desk = Desk(tmp_path, d7="", port=free_port())
        desk.environ.pop("WATCHER__PROVIDERS__D7__BASE_URL")
        desk.environ.pop("WATCHER__PROVIDERS__D7__POLL__MIN")
        (tmp_path / "watcher.toml").write_text(config.replace("8000", str(desk.port)).replace("8700", str(files)))
        await stack.enter_async_context(desk.typed(1, terminals()[0].text))
        await desk.until(1, lambda text: "stop with Ctrl-C" in text)
        await stack.enter_async_context(desk.typed(2, serving_files.replace("8700", str(files))))
        await desk.until(2, lambda text: "Serving HTTP" in text)
        await stack.enter_async_context(desk.typed(3, "watcher run"))
        await desk.until(3, lambda text: "daemon.ready" in text)
        for number, line in enumerate(asking.splitlines(), start=1):
            async with desk.typed(4, line) as typed:
                assert await typed.wait() == 0
            await desk.until(1, lambda text, number=number: len(received(text)) >= number)  # type: ignore[misc]
        await desk.until(1, lambda text: "watch.finished" in text)
    assert received(desk.output(1)) == [
        "watch.status.changed  order-42  — → sent  #1  attempt 1  ✓ verified  answered 204",
        "watch.status.changed  order-42  sent → delivered  #2  attempt 1  ✓ verified  answered 204",
        "watch.finished  order-42  — → succeeded  #3  attempt 1  ✓ verified  answered 204",
    ]
