"""`watcher check` warns of what is allowed and seldom meant, and refuses what can never work."""

from pathlib import Path

import pytest
from commands import Desk

CONFIG = """
[watcher]
state = "sqlite:{folder}/watcher.db"

[providers.d7]
type = "d7"
base_url = "{url}"
token = "env:TOKEN"

[webhooks.ops]
url = "https://example.com/"
unsigned = true
"""
AUTH0 = """
[webhooks.ops]
url = "https://example.com/"
unsigned = true

[providers.ukg]
type = "ukg"
base_url = "https://tenant.example.com"

[providers.ukg.auth]
type = "auth0"
token_url = "http://login.example.com/oauth/token"
audience = "a"
client_id = "watcher"
client_secret = "env:TOKEN"
organization = "o"
"""


def desk(place: Path, *, given: str = "canary", **words: str) -> Desk:
    made = Desk(place, {"TOKEN": given})
    made.config.write_text(CONFIG.format(**{"folder": ".", "url": "https://api.example.com"} | words))
    return made


async def test_of_what_is_right_nothing_is_said(tmp_path: Path) -> None:
    done = await desk(tmp_path).run("check")
    assert (done.status, done.err, "canary" in done.out) == (0, "", False)


async def test_that_nobody_is_told_is_warned_of(tmp_path: Path) -> None:
    made = desk(tmp_path)
    made.config.write_text(made.config.read_text().partition("[webhooks.ops]")[0])
    done = await made.run("check")
    warning = "warning: webhooks: there is no [webhooks.NAME], so nobody is told of what changes\n"
    assert (done.status, done.err) == (0, warning)


async def test_a_folder_for_the_store_that_is_not_there_is_warned_of(tmp_path: Path) -> None:
    done = await desk(tmp_path, folder="nowhere").run("check")
    warning = f"warning: watcher.state: {tmp_path}/nowhere: there is no such folder here, and nobody makes it\n"
    assert (done.status, done.err) == (0, warning)


@pytest.mark.parametrize("url", ["http://api.example.com", "http://10.0.0.7:8080/v1"])
async def test_credentials_that_go_unencrypted_to_another_machine_are_warned_of(tmp_path: Path, url: str) -> None:
    done = await desk(tmp_path, url=url).run("check")
    warning = "warning: providers.d7.base_url: http:// to another machine: credentials can be read on the way\n"
    assert (done.status, done.err) == (0, warning)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1"])
async def test_what_stays_on_this_machine_may_be_read_on_the_way(tmp_path: Path, url: str) -> None:
    done = await desk(tmp_path, url=url).run("check")
    assert (done.status, done.err) == (0, "")


async def test_where_a_login_goes_is_looked_at_too(tmp_path: Path) -> None:
    made = desk(tmp_path)
    made.config.write_text(AUTH0)
    done = await made.run("check")
    assert done.err == (
        "warning: providers.ukg.auth.token_url: http:// to another machine: credentials can be read on the way\n"
    )


@pytest.mark.parametrize("token", ["canary\nX-Evil: 1", "canary\n", "can\tary", "can\x7fary", "canäry"])
async def test_a_token_that_no_header_can_carry_is_an_error_and_is_not_said(tmp_path: Path, token: str) -> None:
    made = desk(tmp_path, given=token)
    done = await made.run("check")
    problem = "watcher.toml: providers.d7.token: expected a secret of printable ASCII in one line\n"
    assert (done.status, done.out, done.err) == (2, "", problem)
    assert (await made.run("list")).status == 1  # as there is no store: what needs no token does not read it
