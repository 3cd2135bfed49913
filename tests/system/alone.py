"""Installs a wheel into an empty environment, as a stranger would, and runs the program there: `make dist`.

`python -m system.alone WHEEL`; the newest of what it depends on comes from where pip is told to look.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from watcher import __version__

SHARED = ("watcher.toml", "systemd/watcher.service", "systemd/monitoring/alerts.yml")


def try_out(wheel: Path, folder: Path) -> None:
    """Raise unless it installs, is of this version, passes its demo, and brings what it should."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WATCHER"))}

    def run(program: str, *arguments: str) -> str:
        command = [str(folder / "bin" / program), *arguments]
        done = subprocess.run(
            command, check=False, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, timeout=300
        )
        sys.stdout.write(done.stdout)
        assert done.returncode == 0
        return done.stdout

    venv.create(folder, with_pip=True)
    run("pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    run("pip", "check", "--disable-pip-version-check")
    assert run("watcher", "--version") == f"watcher {__version__}\n"
    run("watcher", "demo")
    assert [name for name in SHARED if not (folder / "share/watcher" / name).is_file()] == []


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        try_out(Path(sys.argv[1]).resolve(), Path(temporary))
