"""A poller of Celery, Redis and requests, as it is often built; they are installed for the moment, and elsewhere."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

WORKERS = 4  # processes; two and eight are slower on two cores
SERVER = "redis-server"
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
PACKAGES = ("celery", "redis", "requests", "packaging")  # the last is kombu's, which does not declare it
PROGRAM = """
import hashlib
import os

import redis
import requests
from celery import Celery

app = Celery(broker=os.environ["BROKER"])
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=16)
session, known = requests.Session(), redis.Redis.from_url(os.environ["BROKER"])


@app.task(name="poll")
def poll(watch):
    answer = session.get(
        f"{os.environ['PROVIDER']}/report/v1/message-log/{watch}",
        headers={"Accept": "application/json", "Authorization": "Bearer t"},
        timeout=15,
    )
    digest = hashlib.blake2b(answer.content, digest_size=16).digest()
    if known.hget("digests", watch) != digest:
        answer.json()
        known.hset("digests", watch, digest)
    poll.delay(watch)


if __name__ == "__main__":
    for number in range(int(os.environ["WATCHES"])):
        poll.delay(f"r{number}")
"""


class MissingError(Exception):
    """It can't be had here; the text says why."""


def installed(folder: Path) -> Path:
    """Install it into a folder, and return its Python.

    Raises:
        MissingError: that cannot be.

    """
    if shutil.which(SERVER) is None:
        raise MissingError(f"{SERVER} is not on PATH")
    python = folder / "venv" / "bin" / "python"
    commands: list[list[str | Path]] = [[sys.executable, "-m", "venv", python.parents[1]], [python, *PIP, *PACKAGES]]
    for command in commands:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise MissingError((done.stderr.strip() or "pip says nothing").splitlines()[-1])
    (folder / "poller.py").write_text(PROGRAM)
    return python


@contextmanager
def polling(python: Path, *, provider: str, watches: int) -> Iterator[int]:
    """Run the workers, with so many watches to ask for without end; yields their process."""
    folder = python.parents[2]
    with (folder / "log").open("ab") as log, redis(log) as broker:
        environ = {**os.environ, "PROVIDER": provider, "BROKER": broker, "WATCHES": f"{watches}"}
        subprocess.run([python, "poller.py"], check=True, cwd=folder, env=environ)
        worker = ("-m", "celery", "-A", "poller", "worker", "--loglevel", "ERROR", "--concurrency", f"{WORKERS}")
        process = subprocess.Popen([python, *worker], cwd=folder, env=environ, stdout=log, stderr=log)
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(60)


@contextmanager
def redis(log: IO[bytes]) -> Iterator[str]:
    """Run a server that keeps nothing; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--port", f"{port}", "--bind", "127.0.0.1", "--save", "")
    process = subprocess.Popen([SERVER, *options], stdout=log, stderr=log)
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(20)
