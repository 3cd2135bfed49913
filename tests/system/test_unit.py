"""What systemd itself says of the unit. Apart from `make test`, because it needs systemd: `make units`."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "watcher.service"


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert shutil.which("systemd-analyze"), "systemd-analyze is missing: apt-get install systemd"
    command = ["systemd-analyze", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def unit(tmp_path: Path) -> str:
    """The unit, but for its program, which is not installed where it is tested."""
    text, replaced = re.subn(r"(?m)^ExecStart=.*$", "ExecStart=/bin/true", UNIT.read_text())
    assert replaced == 1
    path = tmp_path / UNIT.name
    path.write_text(text)
    return str(path)


def test_systemd_finds_nothing_wrong_with_the_unit(unit: str) -> None:
    """It exits 0 for an unknown key too: only its silence counts."""
    said = analyze("verify", "--man=no", unit)
    assert (said.returncode, said.stderr) == (0, "")


def test_systemd_would_say_what_is_wrong_with_a_unit(unit: str) -> None:
    Path(unit).write_text(Path(unit).read_text().replace("WatchdogSec=", "WatchDogSeconds="))
    assert "WatchDogSeconds" in analyze("verify", "--man=no", unit).stderr


def test_the_unit_exposes_next_to_nothing(unit: str) -> None:
    said = analyze("security", "--offline=true", unit)
    [exposure] = re.findall(r"Overall exposure level for watcher\.service: ([\d.]+)", said.stdout)
    assert float(exposure) <= 1.2
