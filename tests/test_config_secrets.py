"""Secrets of the configuration are found where it says, and shown nowhere."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from socket import gethostname

import pytest
from configuring import CANARY, KEY, OPS, complaints, read

from watcher.masking import literals, masked, secrets


def test_secrets_are_read_from_environment_files_and_credentials(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\r\n")
    (tmp_path / "d7").write_text("from-credential\n")
    text = """
        [providers]
        a = {type = "d7", token = "env:D7_TOKEN"}
        b = {type = "d7", token = "file:token"}
        c = {type = "d7", token = "cred:d7"}
    """
    environ = {"D7_TOKEN": "from-environment", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    config = read(tmp_path, text, environ=environ, resolve=True)
    assert secrets(config) == ["from-environment", "from-file", "from-credential"]
    assert secrets(read(tmp_path, text)) == []


@pytest.mark.parametrize(
    ("reference", "environ", "expected"),
    [
        ("env:D7", {"D7": ""}, "expected a secret in the environment variable D7, which is empty"),
        ("env:D7", {}, "expected a secret in the environment variable D7, which is not set"),
        ("file:nowhere", {}, "expected a secret in {folder}/nowhere: No such file or directory"),
        ("file:empty", {}, "expected a secret in {folder}/empty, which is empty"),
        ("file:binary", {}, "expected a secret in {folder}/binary, which is not UTF-8"),
        ("cred:d7", {}, "expected the credential d7, but $CREDENTIALS_DIRECTORY is not set"),
        (
            "cred:../d7",
            {"CREDENTIALS_DIRECTORY": "."},
            "expected the plain name of a credential, without a folder",
        ),
    ],
)
def test_a_reference_that_leads_nowhere_says_what_is_missing(
    tmp_path: Path, reference: str, environ: Mapping[str, str], expected: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    text = f'[providers.d7]\ntype = "d7"\ntoken = "{reference}"'
    assert complaints(tmp_path, text, environ=environ, resolve=True) == [
        f"providers.d7.token: {expected.format(folder=tmp_path)}"
    ]
    assert read(tmp_path, text, environ=environ).providers["d7"].type == "d7"


def test_literal_secrets_are_named_for_a_warning(tmp_path: Path) -> None:
    text = f'[providers.d7]\ntype = "d7"\ntoken = "{CANARY}"\n{OPS.replace("env:OPS_SECRET", KEY)}'
    assert literals(read(tmp_path, text)) == ["providers.d7.token", "webhooks.ops.secret"]


def test_no_error_shows_a_secret(tmp_path: Path) -> None:
    text = f"""
        [providers.d7]
        type = "d7"
        token = ["{CANARY}"]
        client_id = "x"
        client_secret = "{CANARY}"
        [providers.kore]
        type = "kore"
        token = "{CANARY}"
        client_secret = "{CANARY}"
        [webhooks.a]
        url = "https://user:{CANARY}@example.com"
        secret = "{CANARY}"
        [webhooks.b]
        url = "https://example.com"
        secret = ["whsec_{CANARY}", 5, {{value = "{CANARY}"}}]
        headers = {{ x-api-key = ["{CANARY}"] }}
        tokn = "{CANARY}"
    """
    environ = {"WATCHER__PROVIDERS__D7__RATE": CANARY, "WATCHER__PROVIDERS__D7__POLL": f'{{"mode": "{CANARY}"}}'}
    lines = complaints(tmp_path, text, environ=environ, resolve=True)
    assert len(lines) >= 9
    assert CANARY not in "\n".join(lines)


def test_the_configuration_is_shown_as_toml_without_its_secrets(tmp_path: Path) -> None:
    text = f"""
        [sources.inbox]
        type = "file"
        path = "watches.jsonl"
        [providers.d7]
        type = "d7"
        token = "env:D7_TOKEN"
        grace = 90
        [webhooks.ops]
        url = "https://example.com/hooks?token={CANARY}"
        secret = "{KEY}"
        retry = ["5s", "1.5h"]
    """
    shown = masked(read(tmp_path, text, environ={"D7_TOKEN": CANARY}, resolve=True))
    assert CANARY not in shown
    assert KEY not in shown
    again = tomllib.loads(shown)
    assert again["watcher"] == {
        "state": f"sqlite:{tmp_path}/watcher.db",
        "listen": "127.0.0.1:8480",
        "max_watches": 1000000,
        "keep": "30d",
        "worker": gethostname(),
        "lease": "15s",
        "log": {"format": "auto", "level": "info"},
    }
    assert again["sources"] == {"inbox": {"type": "file", "path": f"{tmp_path}/watches.jsonl"}}
    assert again["providers"]["d7"]["token"] == "env:D7_TOKEN"
    assert again["providers"]["d7"]["grace"] == "1.5m"
    assert again["webhooks"]["ops"] == {
        "url": "https://example.com/hooks?********",
        "secret": ["********"],
        "unsigned": False,
        "allow_http": False,
        "events": ["*"],
        "timeout": "15s",
        "concurrency": 16,
        "retry": ["5s", "1.5h"],
        "order": "watch",
        "order_wait": "1h",
        "batch": 0,
        "content": "full",
        "private": True,
        "final_statuses": [],
    }
