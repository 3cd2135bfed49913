"""Any key can be set from the environment, and a variable that fits none is an error."""

from datetime import timedelta
from pathlib import Path

import pytest
from configuring import CANARY, D7, OPS, complaints, read

from watcher.core.secret import Secret
from watcher.database import SqliteFile
from watcher.masking import secrets


def test_any_key_can_be_set_from_the_environment(tmp_path: Path) -> None:
    environ = {
        "WATCHER__WATCHER__STATE": "sqlite:other.db",
        "WATCHER__WATCHER__LOG__LEVEL": "debug",
        "WATCHER__PROVIDERS__D7__RATE": "2.5",
        "WATCHER__PROVIDERS__D7__TOKEN": "12345",
        "watcher__not_ours": "x",
        "WATCHER__PROVIDERS__MY_D7__POLL__MIN": "9s",
        "WATCHER__WEBHOOKS__OPS__UNSIGNED": "false",
        "WATCHER__WEBHOOKS__OPS__EVENTS": '["watch.*"]',
        "WATCHER__WEBHOOKS__OPS__RETRY": "['5s', 10]",
        "WATCHER_CONFIG": "elsewhere.toml",
    }
    config = read(tmp_path, D7 + '[providers.My-D7]\ntype = "d7"\ntoken = "env:T"\n' + OPS, environ=environ)
    assert config.watcher.state == SqliteFile(tmp_path / "other.db")
    assert config.watcher.log.level == "debug"
    assert config.providers["d7"].rate == 2.5
    assert config.providers["d7"].model_dump()["token"] == str(Secret.literal("12345"))
    assert config.providers["My-D7"].poll.min == timedelta(seconds=9)
    assert config.webhooks["ops"].events == ("watch.*",)
    assert config.webhooks["ops"].retry == (timedelta(seconds=5), timedelta(seconds=10))


def test_a_table_can_be_set_from_the_environment(tmp_path: Path) -> None:
    environ = {"WATCHER__PROVIDERS__D7__POLL": '{min = "3s", mode = "fixed"}'}
    poll = read(tmp_path, D7, environ=environ).providers["d7"].poll
    assert (poll.min, poll.mode) == (timedelta(seconds=3), "fixed")


def test_a_secret_that_only_looks_like_a_list_stays_a_secret(tmp_path: Path) -> None:
    config = read(tmp_path, D7, environ={"WATCHER__PROVIDERS__D7__TOKEN": "[x"})
    assert secrets(config) == ["[x"]


@pytest.mark.parametrize(
    "variable",
    [
        "WATCHER__",
        "WATCHER__LISTEN",
        "WATCHER__WATCHER__STAT",
        "WATCHER__WATCHER__STATE__PATH",
        "WATCHER__PROVIDERS__D8__RATE",
        "WATCHER__PROVIDERS__D7__RAT",
        "WATCHER__PROVIDERS__D7__BOT_ID",
    ],
)
def test_a_variable_that_fits_no_key_is_an_error(tmp_path: Path, variable: str) -> None:
    assert complaints(tmp_path, D7, environ={variable: CANARY}) == [f"{variable}: fits no key of the configuration"]


def test_a_variable_that_fits_two_sections_is_an_error(tmp_path: Path) -> None:
    text = '[providers]\nmy-d7 = {type = "d7", token = "env:T"}\nmy_d7 = {type = "d7", token = "env:T"}'
    assert complaints(tmp_path, text, environ={"WATCHER__PROVIDERS__MY_D7__RATE": "1"}) == [
        "WATCHER__PROVIDERS__MY_D7__RATE: fits several keys of the configuration"
    ]


def test_an_error_names_the_variable_that_set_the_key(tmp_path: Path) -> None:
    environ = {
        "WATCHER__PROVIDERS__D7__RATE": "fast",
        "WATCHER__PROVIDERS__D7__POLL": '{"mode": "fast"}',
    }
    assert complaints(tmp_path, D7, environ=environ) == [
        "providers.d7.rate: expected a number (set by WATCHER__PROVIDERS__D7__RATE)",
        'providers.d7.poll.mode: expected "fixed" or "backoff" (set by WATCHER__PROVIDERS__D7__POLL)',
    ]
