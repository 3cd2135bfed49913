"""Which file is the configuration, and what it means."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from configuring import CANARY, D7, KEY, complaints, read

from watcher.config import find, load
from watcher.core.errors import ConfigError
from watcher.database import SqliteFile
from watcher.masking import literals, secrets
from watcher.sources.file import FileSection

SAMPLE = Path(__file__).parent.parent / "watcher.toml"


# --- which file -----------------------------------------------------------------------------------------------


def test_the_file_that_is_named_wins_over_the_environment_and_that_over_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("watcher.toml").touch()
    environ = {"WATCHER_CONFIG": "other.toml"}
    assert find(Path("named.toml"), environ) == Path("named.toml")
    assert find(None, environ) == Path("other.toml")
    assert find(None, {}) == Path("watcher.toml")


def test_where_no_file_is_found_the_places_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("watcher.config.PLACES", (Path("watcher.toml"), tmp_path / "etc/watcher.toml"))
    with pytest.raises(ConfigError) as caught:
        find(None, {"WATCHER_CONFIG": ""})
    assert str(caught.value) == (
        "no configuration found; searched: -c FILE, $WATCHER_CONFIG, "
        f"{tmp_path}/watcher.toml, {tmp_path}/etc/watcher.toml"
    )


def test_a_file_that_is_named_and_missing_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"^nowhere\.toml: No such file or directory$"):
        load(Path("nowhere.toml"), environ={}, resolve=False)


def test_a_syntax_error_names_file_line_and_column(tmp_path: Path) -> None:
    assert complaints(tmp_path, "[watcher]\nstate = sqlite") == ["line 2, column 9: Invalid value"]
    assert complaints(tmp_path, "[watcher]\nstate =") == ["line 2, column 8: Invalid value"]


def test_a_byte_order_mark_of_an_editor_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, f"\ufeff{D7}") == read(tmp_path, D7)


def test_a_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "watcher.toml"
    path.write_bytes(b"[watcher]\n# \xff")
    with pytest.raises(ConfigError, match="byte 12: expected UTF-8"):
        load(path, environ={}, resolve=False)


# --- what it means --------------------------------------------------------------------------------------------


def test_the_sample_loads_as_it_is() -> None:
    config = load(SAMPLE, environ={}, resolve=False)
    assert sorted(provider.type for provider in config.providers.values()) == ["chime", "d7", "kore", "ukg"]
    assert literals(config) == []


def test_the_sample_loads_with_the_variables_that_it_names() -> None:
    names = re.findall(r'"env:(\w+)"', SAMPLE.read_text())
    environ = dict.fromkeys(names, CANARY) | {"OPS_SECRET": KEY}
    config = load(SAMPLE, environ=environ, resolve=True)
    assert sorted(set(secrets(config))) == sorted({CANARY, KEY})


def test_what_the_sample_comments_out_are_the_defaults(tmp_path: Path) -> None:
    written = SAMPLE.read_text()
    (tmp_path / "defaults.toml").write_text(written)
    (tmp_path / "spelt.toml").write_text(re.sub(r"^# (\w+ +=)", r"\1", written, flags=re.MULTILINE))
    defaults, spelt = (load(tmp_path / f"{name}.toml", environ={}, resolve=False) for name in ("defaults", "spelt"))
    assert spelt == defaults
    assert tomllib.loads((tmp_path / "spelt.toml").read_text()) != tomllib.loads(written)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{CANARY}\n")
    text = """
        [watcher]
        state = "sqlite:data/w.db"
        [sources.inbox]
        type = "file"
        path = "watches.jsonl"
        [sources.elsewhere]
        type = "file"
        path = "/var/spool/watches.jsonl"
        [sources.piped]
        type = "file"
        path = "-"
        [providers.d7]
        type = "d7"
        token = "file:token"
    """
    config = read(tmp_path, text, resolve=True)
    assert config.watcher.state == SqliteFile(tmp_path / "data/w.db")
    assert config.sources == {
        "inbox": FileSection(type="file", path=tmp_path / "watches.jsonl"),
        "elsewhere": FileSection(type="file", path=Path("/var/spool/watches.jsonl")),
        "piped": FileSection(type="file", path=Path("-")),
    }
    assert secrets(config) == [CANARY]


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, "watcher.db"),
        ({"STATE_DIRECTORY": "/var/lib/watcher"}, "/var/lib/watcher/watcher.db"),
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a/watcher.db"),
    ],
)
def test_the_state_is_kept_where_systemd_says_else_beside_the_file(
    tmp_path: Path, environ: Mapping[str, str], place: str
) -> None:
    assert read(tmp_path, D7, environ=environ).watcher.state == SqliteFile(tmp_path / place)
