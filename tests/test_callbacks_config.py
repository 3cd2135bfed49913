"""`[callbacks]` in the configuration, and the TLS files of all sections: what is wrong is said before the start."""

import tomllib
from ipaddress import IPv4Network
from pathlib import Path

import orjson
import pytest
from commands import Desk
from make import SECRET
from readme import plain, table

from watcher.config import load
from watcher.core.callbacks import Callbacks
from watcher.core.errors import ConfigError
from watcher.core.webhook_section import Terms
from watcher.masking import masked

D7 = """
[providers.d7]
type = "d7"
token = "env:TOKEN"
"""
ENVIRON = {"TOKEN": "t", "SECRET": SECRET}


def written(folder: Path, text: str) -> Path:
    path = folder / "watcher.toml"
    path.write_text(D7 + text)
    return path


def test_without_the_section_there_are_no_callbacks(tmp_path: Path) -> None:
    assert load(written(tmp_path, ""), environ=ENVIRON, resolve=True).callbacks is None


def test_the_section_is_read_with_its_defaults_and_from_the_environment(tmp_path: Path) -> None:
    path = written(tmp_path, '[callbacks]\nsecret = "env:SECRET"\nhosts = ["*.Example.com"]')
    environ = ENVIRON | {"WATCHER__CALLBACKS__PRIVATE": '["10.0.0.0/8"]', "WATCHER__CALLBACKS__TIMEOUT": "5s"}
    plain, changed = (load(path, environ=each, resolve=True) for each in (ENVIRON, environ))
    assert plain.callbacks is not None
    assert changed.callbacks is not None
    assert (plain.callbacks.private, plain.callbacks.hosts) == (False, ("*.example.com",))
    assert changed.callbacks.private == (IPv4Network("10.0.0.0/8"),)
    assert changed.callbacks.timeout.total_seconds() == 5
    assert '[callbacks]\nsecret = ["env:SECRET"]' in masked(plain)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[callbacks]", "callbacks.secret: expected one (`watcher secret new` prints one), or unsigned = true instead"),
        (
            "[callbacks]\nunsigned = true\nproviders = ['d8']",
            "callbacks.providers[0]: unknown provider; expected some of d7",
        ),
        (
            "[callbacks]\nunsigned = true\nhosts = ['https://example.com']",
            'callbacks.hosts[0]: expected globs on the name of a host, such as "*.example.com"',
        ),
    ],
)
def test_what_is_wrong_with_the_section_is_said_with_its_key(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load(path, environ=ENVIRON, resolve=True)
    assert str(refused.value) == f"{path}: {problem}"


@pytest.mark.parametrize("command", ["check", "run"])
async def test_tls_files_that_cannot_be_used_are_named_before_anything_starts(tmp_path: Path, command: str) -> None:
    desk = Desk(tmp_path, ENVIRON)
    path = written(
        tmp_path,
        """
        [webhooks.ops]
        url = "https://example.com"
        secret = "env:SECRET"
        ca_file = "missing.pem"
        [callbacks]
        secret = "env:SECRET"
        client_cert = "watcher.toml"
        """,
    )
    done = await desk.run(command)
    assert done.status == 2
    problems = [
        f"{path.name}: webhooks.ops.ca_file: {tmp_path}/missing.pem: No such file or directory",
        f"{path.name}: callbacks.client_cert: {tmp_path}/watcher.toml: expected certificates in PEM",
    ]
    if command == "check":
        assert done.err == "".join(f"{problem}\n" for problem in problems)
    else:
        lines = [orjson.loads(line) for line in done.out.splitlines()]
        assert [(line["event"], line["error"]) for line in lines] == [("config.rejected", each) for each in problems]
    assert not (tmp_path / "watcher.db").exists()


def test_the_readme_says_what_the_section_has_of_its_own() -> None:
    rows = {plain(row["key"]): tomllib.loads(f"it = {plain(row['default'])}")["it"] for row in table("`[callbacks]`")}
    said = Callbacks.model_validate({"unsigned": True, **rows})
    assert said == Callbacks(unsigned=True)
    changed = {
        name for name, field in Terms.model_fields.items() if field.default != Callbacks.model_fields[name].default
    }
    assert set(rows) == changed | (set(Callbacks.model_fields) - set(Terms.model_fields))


async def test_an_origin_is_switched_and_replayed_by_its_name_where_there_are_callbacks(tmp_path: Path) -> None:
    name = "callback:https://example.com:443"
    desk = Desk(tmp_path, ENVIRON)
    written(tmp_path, "")
    refused = await desk.run("webhook", "disable", name)
    assert (refused.status, refused.err) == (1, f"watcher: there is no webhook {name!r}; expected one of \n")
    written(tmp_path, "[callbacks]\nunsigned = true")
    for command in (["webhook", "disable", name], ["replay", "--webhook", name, "--since", "1h"]):
        done = await desk.run(*command)
        assert (done.status, done.err) == (0, "")
