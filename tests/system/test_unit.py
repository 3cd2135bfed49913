"""What systemd itself says of the units. Apart from `make test`, because it needs systemd: `make units`."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert shutil.which("systemd-analyze"), "systemd-analyze is missing: apt-get install systemd"
    command = ["systemd-analyze", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(params=["watcher.service", "watcher@.service"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A unit, but for its program, which is not installed where it is tested."""
    name: str = request.param
    text, replaced = re.subn(r"(?m)^ExecStart=.*$", "ExecStart=/bin/true", (UNITS / name).read_text())
    assert replaced == 1
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def test_systemd_finds_nothing_wrong_with_the_unit(unit: str) -> None:
    """It exits 0 for an unknown key too: only its silence counts."""
    said = analyze("verify", "--man=no", unit)
    assert (said.returncode, said.stderr) == (0, "")


def test_systemd_would_say_what_is_wrong_with_a_unit(unit: str) -> None:
    Path(unit).write_text(Path(unit).read_text().replace("WatchdogSec=", "WatchDogSeconds="))
    assert "WatchDogSeconds" in analyze("verify", "--man=no", unit).stderr


def test_the_unit_exposes_next_to_nothing(unit: str) -> None:
    said = analyze("security", "--offline=true", unit.replace("@.", "@1."))
    [exposure] = re.findall(r"Overall exposure level for watcher(?:@1)?\.service: ([\d.]+)", said.stdout)
    assert float(exposure) <= 1.2
