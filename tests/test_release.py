"""What is released, and that nothing is missing in it. That the wheel runs alone is tried by `make dist`."""

import re
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from readme import ROOT, TEXT
from system.wheels import release

from watcher import __version__

NAME = f"watcher-{__version__}"
INFO = f"{NAME}.dist-info"
SHARE = f"{NAME}.data/data/share/watcher"
KINDS = {".py", ".typed", ".sql", ".html", ".css", ".js"}
AT_THE_TOP = {
    *("README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "Makefile", "pyproject.toml", "requirements.lock"),
    *("watcher.toml", ".gitignore", "PKG-INFO"),
}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return release(tmp_path_factory.mktemp("dist"))


@pytest.fixture
def archived(released: tuple[Path, Path]) -> set[str]:
    with tarfile.open(released[0]) as archive:
        return {member.name.removeprefix(f"{NAME}/") for member in archive if member.isfile()}


@pytest.fixture
def wheel(released: tuple[Path, Path]) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(released[1]) as opened:
        yield opened


def files(folder: str) -> set[str]:
    """Name what is in a folder of the repository, but for what Python writes there."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found}


def test_an_archive_and_a_wheel_are_called_by_the_one_version(released: tuple[Path, Path]) -> None:
    assert [path.name for path in released] == [f"{NAME}.tar.gz", f"{NAME}-py3-none-any.whl"]
    assert re.findall(r"(?m)^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text())[0] == __version__


def test_whoever_has_the_archive_can_build_test_and_package_it(archived: set[str]) -> None:
    assert archived == {*AT_THE_TOP, *files("watcher"), *files("tests"), *files("systemd")}


def test_the_wheel_brings_the_program_and_what_it_reads_and_what_an_operator_installs(wheel: zipfile.ZipFile) -> None:
    of_pip = {f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    shared = {f"{SHARE}/{name}" for name in {"watcher.toml", *files("systemd")}}
    assert set(wheel.namelist()) == {*files("watcher"), *shared, *of_pip}
    assert {Path(name).suffix for name in files("watcher")} == KINDS


def test_the_wheel_says_of_itself_what_is_so(wheel: zipfile.ZipFile) -> None:
    said = Metadata.from_email(wheel.read(f"{INFO}/METADATA"), validate=True)
    assert (said.name, f"{said.version}", f"{said.requires_python}") == ("watcher", __version__, ">=3.11")
    assert (said.license_expression, said.license_files) == ("Apache-2.0", ["LICENSE"])
    assert (said.description, said.description_content_type) == (TEXT, "text/markdown")
    assert said.provides_extra == ["all", "aws", "ed25519", "nats", "postgres", "redis"]
    assert said.project_urls is None  # it names no place that may not be its own
    assert wheel.read(f"{INFO}/entry_points.txt").decode() == "[console_scripts]\nwatcher = watcher.cli:main\n"
    assert BytesParser().parsebytes(wheel.read(f"{INFO}/WHEEL"))["Root-Is-Purelib"] == "true"
