"""What `state` names, and that no password in it is shown."""

from datetime import timedelta
from pathlib import Path

import pytest

from watcher.config import Config, load
from watcher.core.errors import ConfigError
from watcher.database import PostgresUrl, SqliteFile
from watcher.masking import literals, masked, secrets

CANARY = "canary-7f3a"
D7 = '[providers.d7]\ntype = "d7"\ntoken = "env:T"\n'


def read(folder: Path, state: str) -> Config:
    path = folder / "watcher.toml"
    path.write_text(f'{D7}[watcher]\nstate = "{state}"\n')
    return load(path, environ={}, resolve=False)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://watcher@db.example:5433/watches",
        "postgres://watcher@db.example/watches?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql:///watches?host=/run/postgresql",
        "postgresql://one.example:5432,two.example:5433/watches?target_session_attrs=read-write",
    ],
)
def test_a_url_without_a_password_is_shown_as_it_is(tmp_path: Path, url: str) -> None:
    config = read(tmp_path, url)
    assert config.watcher.state == PostgresUrl(url)
    assert f'state = "{url}"\n' in masked(config)
    assert (literals(config), secrets(config)) == ([], [])


@pytest.mark.parametrize(
    ("url", "shown", "passwords"),
    [
        (f"postgresql://me:{CANARY}@host/db", "postgresql://me:********@host/db", [CANARY]),
        (
            f"postgresql://me:{CANARY}%40x@host/db?port=1",
            "postgresql://me:********@host/db?port=1",
            [f"{CANARY}%40x", f"{CANARY}@x"],
        ),
        (
            f"postgresql://host/db?password={CANARY}&sslpassword={CANARY}2",
            "postgresql://host/db?password=********&sslpassword=********",
            [CANARY, f"{CANARY}2"],
        ),
    ],
)
def test_a_password_is_a_secret_that_stands_in_the_configuration(
    tmp_path: Path, url: str, shown: str, passwords: list[str]
) -> None:
    config = read(tmp_path, url)
    assert f'state = "{shown}"\n' in masked(config)
    assert secrets(config) == passwords
    assert literals(config) == ["watcher.state"]
    assert CANARY not in f"{config!r} {config.watcher.state} {masked(config)}"


def test_without_the_package_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.database.find_spec", lambda _: None)
    assert read(tmp_path, "sqlite:w.db").watcher.state == SqliteFile(tmp_path / "w.db")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"postgresql://me:{CANARY}@host/db")
    expected = 'watcher.state: expected the package asyncpg: pip install "watcher[postgres]"'
    assert str(caught.value) == f"{tmp_path}/watcher.toml: {expected}"


def test_a_worker_has_a_name_and_a_lease(tmp_path: Path) -> None:
    path = tmp_path / "watcher.toml"
    path.write_text(D7)
    environ = {"WATCHER__WATCHER__WORKER": "host.example-2", "WATCHER__WATCHER__LEASE": "1m"}
    section = load(path, environ=environ, resolve=False).watcher
    assert (section.worker, section.lease) == ("host.example-2", timedelta(minutes=1))
