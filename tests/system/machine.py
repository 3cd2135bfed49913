"""A Debian with a real systemd as process 1, in a container that reaches no network: made, booted, told, and ended.

Needs root, Debian's systemd-container and mmdebstrap, and the mirror that apt uses, for the making only. The host's own
systemd, if there is one, is not asked.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SUITE = "bookworm"  # with systemd 252, the oldest that the units are for
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv"
BOOT_WITHIN = 60.0
END_WITHIN = 20.0
COMMAND_WITHIN = 180.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def tool(name: str) -> str:
    """Return where a program is."""
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is missing: apt-get install --no-install-recommends systemd-container mmdebstrap")
    return found


def make_root(folder: Path) -> Path:
    """Make the files of the machine, unless they are there."""
    root = folder / "root"
    if not root.exists():
        unfinished = folder / "root.unfinished"
        command = [tool("mmdebstrap"), "--quiet", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(unfinished)]
        subprocess.run(command, check=True, timeout=600)
        unfinished.rename(root)
    return root


@dataclass(frozen=True, slots=True)
class Machine:
    """A booted machine; `pid` is its process 1, seen from outside."""

    pid: int
    root: Path

    def run(self, *command: str, user: str = "root", stdin: str = "") -> str:
        """Run a command in it to its end, and return what it printed.

        Raises:
            AssertionError: it did not end well.

        """
        done = self._ran(command, user=user, stdin=stdin)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def tries(self, *command: str) -> str:
        """Run a command that may fail, and return what it printed."""
        return self._ran(command).stdout

    def succeeds(self, *command: str) -> bool:
        return self._ran(command).returncode == 0

    def _ran(self, command: Sequence[str], *, user: str = "root", stdin: str = "") -> subprocess.CompletedProcess[str]:
        inside = [tool("nsenter"), f"--target={self.pid}", "--all", "--", "/usr/bin/env", "--ignore-environment"]
        other = () if user == "root" else ("/usr/sbin/runuser", "-u", user, "--")
        return subprocess.run(
            [*inside, f"PATH={PATH}", "LANG=C.UTF-8", *other, *command],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=COMMAND_WITHIN,
        )

    def write(self, path: str, text: str, *, mode: str = "644") -> None:
        """Write a file."""
        self.run("/usr/bin/install", "-m", mode, "/dev/stdin", path, stdin=text)

    def shows(self, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit."""
        lines = self.run("systemctl", "show", unit, *(f"--property={name}" for name in names)).splitlines()
        return dict(line.split("=", 1) for line in lines)


def wait(reached: Callable[[], bool], *, within: float, what: str) -> None:
    """Look again and again until it is so."""
    end = time.monotonic() + within
    while not reached():
        if time.monotonic() > end:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(0.2)


@contextmanager
def booted(root: Path, *, shares: dict[Path, str]) -> Iterator[Machine]:
    """Boot a machine on these files, which stay as they are; `shares` are folders that it sees, and where."""
    with (root.parent / "console.log").open("wb") as console:
        process = subprocess.Popen(
            [
                *(tool("systemd-nspawn"), "--quiet", "--register=no", "--keep-unit", "--volatile=overlay", "--boot"),
                *("--private-network", "--machine=watcher-test", f"--directory={root}"),
                *(f"--bind-ro={source}:{target}" for source, target in shares.items()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
        )
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait(lambda: bool(children.read_text()), within=BOOT_WITHIN, what="a process 1")
        machine = Machine(int(children.read_text().split()[0]), root)
        running = {"running\n", "degraded\n"}
        state = ("systemctl", "is-system-running")
        wait(lambda: machine.tries(*state) in running, within=BOOT_WITHIN, what="a booted system")
        yield machine
    finally:
        process.terminate()  # which shuts it down in order
        try:
            process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
