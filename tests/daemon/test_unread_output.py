"""A daemon whose standard output nobody reads, or that has none."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import orjson
import pytest
from running import Stage, stage

MANY = 3000  # refused requests: each a line, together more than a pipe holds


def command(world: Stage) -> list[str]:
    return [sys.executable, "-m", "watcher", "-c", str(world.config), "run"]


@asynccontextmanager
async def daemon(world: Stage, *, output: int) -> AsyncIterator[anyio.abc.Process]:
    process = await anyio.open_process(
        command(world), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=world.environ
    )
    async with process:
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


async def until_stored(world: Stage, *, rows: int) -> None:
    """Wait until so many requests were refused."""
    with anyio.fail_after(30):
        while True:
            done = await world.call("rejected", "--json", "--limit", "5000")
            if len(orjson.loads(done.stdout or b"[]")) >= rows:
                return
            await anyio.sleep(0.2)


async def stop(process: anyio.abc.Process) -> int:
    process.send_signal(signal.SIGTERM)
    with anyio.fail_after(10):
        return await process.wait()


async def test_a_full_pipe_holds_up_neither_work_nor_the_end(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    async with stage(tmp_path) as world:
        world.ask_for(*["rubbish"] * MANY)
        async with daemon(world, output=write_end) as process:
            await until_stored(world, rows=MANY)
            assert await stop(process) == 0
    os.close(write_end)
    os.set_blocking(read_end, False)
    text = os.read(read_end, 1 << 20)
    assert 50_000 < len(text) <= 65_536
    assert [orjson.loads(line)["event"] for line in text.splitlines()[:-1]].count("request.rejected") > 100
    os.close(read_end)


@pytest.mark.parametrize("how", ["its reader is gone", "it is full"])
async def test_an_output_that_takes_nothing_is_no_trouble(how: str, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    output = write_end if how == "its reader is gone" else os.open("/dev/full", os.O_WRONLY)
    async with stage(tmp_path) as world:
        world.ask_for("rubbish")
        async with daemon(world, output=output) as process:
            await until_stored(world, rows=1)
            assert await stop(process) == 0
    os.close(write_end)


async def test_a_daemon_whose_output_is_closed_runs_all_the_same(tmp_path: Path) -> None:
    async with stage(tmp_path) as world:
        world.ask_for("rubbish")
        closed = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command(world)]
        async with await anyio.open_process(closed, stdin=subprocess.DEVNULL, env=world.environ) as process:
            await until_stored(world, rows=1)
            assert await stop(process) == 0
