"""A real `watcher run` for measurements: watches of D7 that are asked as often as can be, over standard input."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.process import cpu, loop_cpu

REQUEST = b'{"id": "w%d", "provider": "d7", "params": {"request_id": "r%d"}}\n'
CONFIG = """
[watcher]
state = "{state}"
listen = "unix:{folder}/http.sock"
{more}
[watcher.log]
format = "json"
[sources.inbox]
type = "file"
path = "-"
[providers.d7]
type = "d7"
token = "t"
base_url = "{provider}"
rate = 1e9
burst = 1000000000
concurrency = 64
poll = {{ min = "{interval}", max = "{interval}", mode = "fixed" }}
"""
MOST_LOG = 2000  # characters of it that say why a daemon has ended
PLAIN = ("-m", "watcher")
COUNTING = ("-m", "bench.launched")  # whose metrics say how many answers were read
PROFILED = ("-m", "bench.profiled")  # which leaves `profile` in its folder


@dataclass(slots=True)
class Daemon:
    """One that runs, in a folder of its own."""

    folder: Path
    process: "subprocess.Popen[bytes]"
    inbox: IO[bytes]

    def ask_for(self, watches: range) -> None:
        """Ask for watches by their numbers."""
        self.inbox.write(b"".join(REQUEST % (number, number) for number in watches))
        self.inbox.flush()

    def metrics(self) -> dict[str, float]:
        """Return every sample, by its name as it is written."""
        lines = get(self.folder / "http.sock", "/metrics").splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    @property
    def polls(self) -> float:
        """How many polls there were."""
        return sum(value for name, value in self.metrics().items() if name.startswith("watcher_polls_total"))

    @property
    def cpu(self) -> tuple[float, float]:
        """How many seconds of the processor its event loop has used, and all of it."""
        return loop_cpu(self.process.pid), cpu(self.process.pid)


def get(path: Path, target: str) -> str:
    """Fetch from a server on a socket in the file system."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{path}")
        client.sendall(f"GET {target} HTTP/1.0\r\nHost: bench\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    return answer.partition(b"\r\n\r\n")[2].decode()


@contextmanager
def daemon(  # each is one of the things that measurements differ in
    folder: Path,
    *,
    provider: str,
    interval: str = "1ms",
    state: str = "sqlite:watcher.db",
    more: str = "",
    sections: str = "",
    by: Sequence[str] = PLAIN,
) -> Iterator[Daemon]:
    """Run one until the block ends, and end it as systemd does. It logs into its folder."""
    config = CONFIG.format(state=state, folder=folder, more=more, provider=provider, interval=interval)
    (folder / "watcher.toml").write_text(config + sections)
    tests = Path(__file__).parents[1]
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *by, "-c", folder / "watcher.toml", "run"],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{tests}:{tests.parent}"},
        )
    assert process.stdin is not None
    try:
        until(lambda: b'"daemon.ready"' in log.read_bytes(), of=process, log=log)
        yield Daemon(folder, process, process.stdin)
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdin.close()
        process.wait(60)


def until(
    is_so: Callable[[], bool], *, of: "subprocess.Popen[bytes]", log: Path | None = None, within: float = 120.0
) -> None:
    """Wait until something is so, while a process lives."""
    ends_at = time.monotonic() + within
    while not is_so():
        assert of.poll() is None, log.read_text()[-MOST_LOG:] if log else "the daemon has ended"
        assert time.monotonic() < ends_at, "it takes too long"
        time.sleep(0.05)
