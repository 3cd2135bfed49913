"""What only the running daemon knows, commands ask it for: its last answers, its sources."""

from pathlib import Path

import anyio
import orjson
from nats_server import free_port
from running import stage

BROKEN = """
[sources.broken]
type = "file"
path = "folder"
"""


async def test_commands_show_what_only_the_daemon_knows(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    async with stage(tmp_path, extra=BROKEN) as world:
        config = anyio.Path(world.config)
        text = await config.read_text()
        await config.write_text(text.replace('listen = ""', f'listen = "127.0.0.1:{free_port()}"'))
        async with world.daemon():
            await world.call("add", "d7", "request_id=nobody", "--id", "lost")
            await world.until("source.down")
            await world.until("poll.done")
            screen = (await world.call("show", "lost")).stdout.decode()
            shown = orjson.loads((await world.call("show", "lost", "--json")).stdout)
            status = (await world.call("status")).stdout.decode()
        silent = (await world.call("show", "lost")).stdout.decode()
        unasked = orjson.loads((await world.call("show", "lost", "--json")).stdout)
    answered = [line for line in screen.splitlines() if line.startswith(("failures:", "answered:"))]
    assert [line.partition(" since ")[0].partition(", HTTP")[0].split() for line in answered] == [
        ["failures:", answered[0].split()[1]],
        ["answered:", "missing"],
    ]
    assert "HTTP 404" in answered[1]
    assert (shown["state"], shown["next"]["last_answer"]["outcome"]) == ("pending", "missing")
    assert "  source broken cannot be read (" in status
    assert ("answered:" in silent, unasked["next"]) == (False, None)
