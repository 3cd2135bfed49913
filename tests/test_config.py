import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from socket import gethostname

import pytest

from watcher.config import Config, find, load
from watcher.core.duration import EXPECTED
from watcher.core.errors import ConfigError
from watcher.core.secret import Secret
from watcher.database import EXPECTED as STATE_EXPECTED
from watcher.database import SqliteFile
from watcher.masking import literals, masked, secrets
from watcher.sources.file import FileSection

SAMPLE = Path(__file__).parent.parent / "watcher.toml"
CANARY = "canary-7f3a"
STATES = '"pending", "in_progress", "succeeded", "partially_succeeded" or "failed"'
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

D7 = """
[providers.d7]
type = "d7"
token = "env:D7_TOKEN"
"""
OPS = """
[webhooks.ops]
url = "https://example.com/hooks"
secret = "env:OPS_SECRET"
"""


def read(folder: Path, text: str, *, environ: Mapping[str, str] | None = None, resolve: bool = False) -> Config:
    path = folder / "watcher.toml"
    path.write_text(text)
    return load(path, environ=environ or {}, resolve=resolve)


def complaints(
    folder: Path, text: str, *, environ: Mapping[str, str] | None = None, resolve: bool = False
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, environ=environ, resolve=resolve)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{folder}/watcher.toml: ") for line in lines)
    return [line.removeprefix(f"{folder}/watcher.toml: ") for line in lines]


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


# --- what is wrong with it ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            D7 + "\n[watcher]\nlisteners = ''\nkeep = 'long'",
            [
                (
                    "watcher.keep: expected a duration: a number of seconds, or a number with a unit: "
                    '"250ms", "0.5s", "10m", "2h", "3d", got "long"'
                ),
                (
                    "watcher.listeners: unknown key; expected one of "
                    "api_token, keep, lease, listen, log, max_watches, state, worker"
                ),
            ],
        ),
        (
            D7 + "\n[provider.x]",
            ["provider: unknown key; expected one of callbacks, providers, sources, watcher, webhooks"],
        ),
        (
            D7 + "\n[watcher.log]\nlevel = 'all'",
            ['watcher.log.level: expected "debug", "info", "warning" or "error", got "all"'],
        ),
        (D7 + "\n[watcher]\nlog = 'all'", ['watcher.log: expected a table, got "all"']),
        (D7 + "rate = 'fast'", ['providers.d7.rate: expected a number, got "fast"']),
        (D7 + "rate = 0", ["providers.d7.rate: expected a number greater than 0, got 0"]),
        (D7 + "burst = 1.5", ["providers.d7.burst: expected a whole number, got 1.5"]),
        (D7 + "base_url = 5", ["providers.d7.base_url: expected a string, got 5"]),
        (D7 + "poll.min = '3d'", ["providers.d7.poll: expected 0 < min <= max"]),
        (D7 + "poll.mode = 'fast'", ['providers.d7.poll.mode: expected "fixed" or "backoff", got "fast"']),
        (
            "[providers.x]\ntype = 'd7'\nclient_id = ''\nclient_secret = 'env:D7'",
            ["providers.x.client_id: expected at least 1 character, got an empty string"],
        ),
        ("[providers.x]\nrate = 1", ['providers.x.type: missing; expected "chime", "d7", "http", "kore" or "ukg"']),
        ("[providers.x]\ntype = 'x'", ['providers.x.type: expected "chime", "d7", "http", "kore" or "ukg", got "x"']),
        (
            "[providers.x]\ntype = 'http'\nurl = 'https://example.com/{id}'\nstatus = 'state'\nstates.ok = 'good'",
            [f'providers.x.states.ok: expected {STATES}, got "good"'],
        ),
        ("[providers]\nd7 = 5", ["providers.d7: expected a table, got 5"]),
        (
            D7 + "\n[sources.'in box']\ntype = 'file'\npath = 'x'",
            ['sources."in box": expected a name of 1 to 64 letters, digits, - and _'],
        ),
        (D7 + "\n[sources.inbox]\ntype = 'file'", ["sources.inbox.path: missing; expected a path"]),
        (
            D7 + "\n[sources.inbox]\npath = 'x'",
            ['sources.inbox.type: missing; expected "file", "directory", "nats" or "redis"'],
        ),
        (
            D7 + OPS + "concurrency = 0",
            ["webhooks.ops.concurrency: expected a number of at least 1, got 0"],
        ),
        (D7 + OPS + "unsigned = 'maybe'", ['webhooks.ops.unsigned: expected true or false, got "maybe"']),
        (D7 + OPS + "events = 'watch.*'", ['webhooks.ops.events: expected a list, got "watch.*"']),
        (D7 + OPS + "providers = ['d7', 'd8']", ["webhooks.ops.providers[1]: unknown provider; expected some of d7"]),
        (D7 + "\n[webhooks.ops]\nunsigned = true", ["webhooks.ops.url: missing; expected a string"]),
        (OPS, ["providers: missing; expected at least one section, such as [providers.d7]"]),
        (
            D7 + "\n[watcher]\nstate = 'watcher.db'",
            [f'watcher.state: {STATE_EXPECTED}, got "watcher.db"'],
        ),
        (
            D7 + "\n[watcher]\nstate = 'mysql://user:canary-7f3a@host/db'",
            [f"watcher.state: {STATE_EXPECTED}"],
        ),
        (
            D7 + "\n[watcher]\nstate = 'postgresql://user:canary-7f3a@[host/db'",
            [f"watcher.state: {STATE_EXPECTED}"],
        ),
        (
            D7 + "\n[watcher]\nworker = 'one two'",
            ['watcher.worker: expected a name of 1 to 200 letters, digits, . - _ @ and :, got "one two"'],
        ),
        (D7 + "\n[watcher]\nlease = '1ms'", ['watcher.lease: expected a duration of at least "1s", got "1ms"']),
    ],
)
def test_an_error_names_the_key_and_what_was_expected(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert complaints(tmp_path, text) == expected


def test_a_duration_is_explained(tmp_path: Path) -> None:
    [line] = complaints(tmp_path, D7 + "timeout = '5 min'")
    assert line == f'providers.d7.timeout: {EXPECTED}, got "5 min"'


def test_a_check_of_a_whole_section_names_the_key_that_it_is_about(tmp_path: Path) -> None:
    [line] = complaints(tmp_path, D7 + "[webhooks.ops]\nurl = 'https://example.com'")
    assert line.startswith("webhooks.ops.secret: expected one")


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = D7 + "rate = 'fast'\nburst = 0\n[watcher]\nstat = 1" + OPS + "timeout = []"
    assert [line.partition(":")[0] for line in complaints(tmp_path, text, environ={"WATCHER__FOO": "1"})] == [
        "WATCHER__FOO",
        "watcher.stat",
        "providers.d7.rate",
        "providers.d7.burst",
        "webhooks.ops.timeout",
    ]


# --- secrets --------------------------------------------------------------------------------------------------


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


# --- the environment ------------------------------------------------------------------------------------------


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
