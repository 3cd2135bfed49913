"""README.md leaves out no key and invents none: its configurations load, its requests are accepted."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel, JsonValue
from readme import ROOT, TEXT, Block, block, blocks, plain, table

from watcher.config import Config, LogSection, WatcherSection, load
from watcher.core.callbacks import Callbacks
from watcher.core.request import CancelRequest, WatchRequest, read_request
from watcher.core.schedule import Pace
from watcher.core.webhook_section import Webhook
from watcher.providers.account import Account
from watcher.providers.chime import Chime
from watcher.providers.d7 import D7
from watcher.providers.http import Http
from watcher.providers.http_auth import Basic, Bearer, Header, OAuth2
from watcher.providers.kore import Kore
from watcher.providers.ukg import Ukg
from watcher.providers.ukg_auth import Auth0, OpenAm
from watcher.sources.directory import DirectorySection
from watcher.sources.file import FileSection
from watcher.sources.nats import NatsSection
from watcher.sources.redis import RedisSection

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRETS = {
    "REDIS_URL": "rediss://watcher:pass@redis.example.com",
    "watcher_nats.creds": (
        "-----BEGIN NATS USER JWT-----\ne30.e30.e30\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\nSUA{'A' * 55}\n------END USER NKEY SEED------\n"
    ),
}
TYPES: dict[str, type[Account]] = {"d7": D7, "kore": Kore, "chime": Chime, "ukg": Ukg, "http": Http}
A_PROVIDER = '[providers.d7]\ntype = "d7"\ntoken = "env:D7_TOKEN"\n'
OF_PROVIDERS = {
    "D7 Networks",
    "Kore.ai",
    "Amazon Chime SDK messaging",
    "UKG Pro Workforce Management",
    "Any other JSON status API",
}
LEAST: dict[str, dict[str, JsonValue]] = {
    "d7": {"type": "d7", "token": "t"},
    "kore": {"type": "kore", "client_id": "cs-1", "client_secret": "s"},
    "chime": {"type": "chime", "region": "us-east-1"},
    "ukg": {"type": "ukg", "base_url": "https://tenant.mykronos.com", "token": "t"},
    "http": {"type": "http", "url": "https://example.com/{id}", "status": "status", "states": {"done": "succeeded"}},
}


def configured(folder: Path, text: str, **environ: str) -> Config:
    """Load a configuration of the README where every secret that it refers to is there."""
    text = text if "[providers." in text else text + A_PROVIDER
    for scheme, name in re.findall(r'"(env|file|cred):([^"]+)"', text):
        secret = OTHER_SECRETS.get(name, SECRET)
        if scheme == "env":
            environ[name] = secret
        else:
            (folder / name).write_text(secret + "\n")
    path = folder / "watcher.toml"
    path.write_text(text)
    return load(path, environ={"CREDENTIALS_DIRECTORY": str(folder), **environ}, resolve=True)


# --- configuration ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", blocks("toml"), ids=str)
def test_each_configuration_loads(example: Block, tmp_path: Path) -> None:
    config = configured(tmp_path, example.text)
    assert set(tomllib.loads(example.text)) <= set(dict(config))


def test_each_variable_of_the_environment_sets_a_key(tmp_path: Path) -> None:
    set_ = dict(re.findall(r"^export (WATCHER__\w+)='?([^'\n]*)'?$", TEXT, re.MULTILINE))
    config = configured(tmp_path, block("toml", "First watch in five minutes"), **set_)
    assert len(set_) == 4
    assert (config.watcher.log.level, config.providers["d7"].rate) == ("debug", 2.0)
    assert (config.providers["d7"].poll.max.total_seconds(), config.webhooks["ops"].events) == (
        600,
        ("watch.finished",),
    )


def keys(heading: str) -> list[str]:
    return [plain(row["key"]) for row in table(heading)]


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("The daemon: `[watcher]`", WatcherSection),
        ("`[watcher.log]`", LogSection),
        ('`type = "file"`', FileSection),
        ('`type = "directory"`', DirectorySection),
        ('`type = "nats"`', NatsSection),
        ('`type = "redis"`', RedisSection),
        ("`[providers.NAME]`", Account),
        ("`[providers.NAME.poll]`", Pace),
        ("`[webhooks.NAME]`", Webhook),
    ],
)
def test_each_table_of_keys_has_all_of_them_and_no_other(heading: str, model: type[BaseModel]) -> None:
    assert sorted(keys(heading)) == sorted(model.model_fields)


def test_callbacks_have_the_keys_of_a_webhook_but_one_and_one_more() -> None:
    assert set(Webhook.model_fields) ^ set(Callbacks.model_fields) == {"url", "hosts"}
    assert set(keys("`[callbacks]`")) == {"hosts"} | {
        name
        for name, field in Callbacks.model_fields.items()
        if name in Webhook.model_fields and field.default != Webhook.model_fields[name].default
    }


@pytest.mark.parametrize("type", TYPES)
def test_the_keys_of_one_type_of_provider_are_all_there_and_no_other(type: str) -> None:
    assert sorted(keys(f'`type = "{type}"`')) == sorted(set(TYPES[type].model_fields) - set(Account.model_fields))


def test_the_keys_of_ukgs_logins_are_all_there_and_no_other() -> None:
    rows = table("`[providers.NAME.auth]` of UKG")
    for name, model in (("openam", OpenAm), ("auth0", Auth0)):
        assert sorted(plain(row["key"]) for row in rows if row["of"] in {name, "both"}) == sorted(model.model_fields)


def test_the_credentials_of_a_declared_api_are_all_there_with_their_keys_and_no_other() -> None:
    rows = [plain(row["`auth`"]) for row in table("`[providers.NAME.auth]` of an API that is declared")]
    models: list[type[BaseModel]] = [Bearer, Header, Basic, OAuth2]
    for row, model in zip(rows, models, strict=True):
        assert [key.split(" = ")[0] for key in row.strip("{ }").split(", ")] == list(model.model_fields)
        assert f'"{model.__name__.lower()}"' in row


def places() -> Iterator[tuple[str, dict[str, JsonValue], str, str]]:
    """Yield a table's heading, a section as it must be at least, where its defaults belong, and their column."""
    yield "`[webhooks.NAME]`", {"webhooks": {"w": {"url": "https://example.com", "secret": SECRET}}}, "webhooks.w", ""
    yield "`[callbacks]`", {"callbacks": {"secret": SECRET}}, "callbacks", ""
    yield "The daemon: `[watcher]`", {"watcher": {}}, "watcher", ""
    yield "`[watcher.log]`", {"watcher": {"log": {}}}, "watcher.log", ""
    yield '`type = "nats"`', {"sources": {"s": {"type": "nats"}}}, "sources.s", ""
    yield '`type = "redis"`', {"sources": {"s": {"type": "redis", "url": "redis://127.0.0.1"}}}, "sources.s", ""
    for name, least in LEAST.items():
        yield f'`type = "{name}"`', {"providers": {"p": least}}, "providers.p", ""
        yield "`[providers.NAME]`", {"providers": {"p": least}}, "providers.p", name
        yield "`[providers.NAME.poll]`", {"providers": {"p": {**least, "poll": {}}}}, "providers.p.poll", name


def defaults() -> Iterator[tuple[dict[str, JsonValue], str, JsonValue]]:
    """Yield a section, as it must be at least, where a default belongs, and the default."""
    for heading, least, place, column in places():
        for row in table(heading):
            yield least, place, written(row, column=column or "default")


def written(row: Mapping[str, str], *, column: str) -> JsonValue:
    """Read a cell with a value as `{key: value}`; any other is no default."""
    cell = row[column]
    return tomllib.loads(f"{plain(row['key'])} = {plain(cell)}") if cell.startswith("`") else {}


def test_each_default_is_the_one_that_holds_where_the_key_is_not_written() -> None:
    compared = 0
    for least, place, default in defaults():
        given = merged(least, place.split("."), default)
        assert Config.model_validate(given) == Config.model_validate(least), (place, default)
        compared += bool(default)
    assert compared > 60


def merged(table: dict[str, JsonValue], path: list[str], default: JsonValue) -> dict[str, JsonValue]:
    if not path:
        assert isinstance(default, dict)
        return {**table, **default}
    below = table[path[0]]
    assert isinstance(below, dict)
    return {**table, path[0]: merged(below, path[1:], default)}


def test_what_is_said_to_be_needed_is_needed() -> None:
    models: dict[str, type[BaseModel]] = {
        '`type = "file"`': FileSection,
        '`type = "directory"`': DirectorySection,
        '`type = "nats"`': NatsSection,
        '`type = "redis"`': RedisSection,
        "`[webhooks.NAME]`": Webhook,
    }
    for heading, model in models.items():
        said = {plain(row["key"]) for row in table(heading) if row["default"] == "needed"}
        assert said - {"secret"} == {name for name, field in model.model_fields.items() if field.is_required()}


# --- requests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", blocks("jsonl"), ids=str)
def test_each_request_is_accepted_with_its_params(example: Block, tmp_path: Path) -> None:
    sections = "\n".join(block.text for block in blocks("toml") if block.heading in OF_PROVIDERS)
    accounts = configured(tmp_path, sections).providers
    for line in example.text.splitlines():
        request = read_request(line.encode())
        if isinstance(request, WatchRequest):
            accounts[request.provider].check(request.params)
        else:
            assert isinstance(request, CancelRequest)


def test_the_fields_of_a_request_are_all_there() -> None:
    assert {plain(row["field"]) for row in table("Watch requests")} == set(WatchRequest.model_fields)


# --- samples ----------------------------------------------------------------------------------------------------

OTHERS: list[type[BaseModel]] = [LogSection, FileSection, DirectorySection, NatsSection, RedisSection, Pace, Callbacks]
LOGINS: list[type[BaseModel]] = [OpenAm, Auth0, Bearer, Header, Basic, OAuth2]
SECTIONS = [WatcherSection, Webhook, *TYPES.values(), *OTHERS, *LOGINS]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_each_key_stands_in_a_sample(section: type[BaseModel]) -> None:
    """In `watcher.toml`, set or behind a `#`, or in a configuration of the README."""
    samples = "\n".join([(ROOT / "watcher.toml").read_text(), *(each.text for each in blocks("toml"))])
    keys_and_tables = set(re.findall(r"\b\w+(?= *= )|(?<=\.)\w+(?=\]$)", samples, re.MULTILINE))
    assert sorted(set(section.model_fields) - keys_and_tables) == []


def test_each_section_that_the_sample_comments_out_loads(tmp_path: Path) -> None:
    sample = (ROOT / "watcher.toml").read_text()
    spelt = re.sub(r"^# (?=\[|  \w+ +=)", "", sample, flags=re.MULTILINE)
    (tmp_path / "watcher.toml").write_text(spelt)
    config = load(tmp_path / "watcher.toml", environ={}, resolve=False)
    sections = set(re.findall(r"^# \[([\w.-]+)\]", sample, re.MULTILINE))
    assert len(sections) == 8
    assert {f"sources.{name}" for name in config.sources} | {f"providers.{name}" for name in config.providers} >= {
        name for name in sections if name.count(".") == 1
    }
