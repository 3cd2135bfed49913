"""What a start loads: no more than the command needs, so that it is there at once."""

import re
import subprocess
import sys
from pathlib import Path

import anyio

from watcher.stores.sqlite import SqliteStore

OF_COMMANDS = {"anyio", "pydantic"}
OF_THE_DAEMON = {"aiohttp", "asyncpg", "botocore", "nats", "prometheus_client", "redis", "structlog", "uvloop"}

CONFIG = """
[watcher]
state = "sqlite:watcher.db"
[sources]
queue = { type = "redis", url = "redis://127.0.0.1:9" }
[providers]
d7 = { type = "d7", token = "env:NOT_SET" }
kore = { type = "kore", bot_id = "b", token = "env:NOT_SET" }
"""


def loaded(*arguments: str, folder: Path) -> set[str]:
    """Run a command to its end, and return what it loaded."""
    command = [sys.executable, "-X", "importtime", "-m", "watcher", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))


def test_help_loads_nothing_that_only_commands_need(tmp_path: Path) -> None:
    found = loaded("--help", folder=tmp_path)
    assert "watcher.cli" in found
    assert found & (OF_COMMANDS | OF_THE_DAEMON) == set()


async def test_a_command_that_only_reads_loads_nothing_that_only_the_daemon_needs(tmp_path: Path) -> None:
    (tmp_path / "watcher.toml").write_text(CONFIG)
    store = await SqliteStore.open(tmp_path / "watcher.db")
    await store.close()
    found = await anyio.to_thread.run_sync(lambda: loaded("list", folder=tmp_path))
    assert found & (OF_COMMANDS | OF_THE_DAEMON) == OF_COMMANDS
