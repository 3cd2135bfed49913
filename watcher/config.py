"""`watcher.toml` becomes one frozen `Config`, or one error with a line for each thing that is wrong. Opens no store."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from socket import gethostname
from typing import Annotated, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from watcher.core.callbacks import Callbacks
from watcher.core.duration import Duration, SomeTime, format_duration
from watcher.core.errors import ConfigError
from watcher.core.header import OneLine
from watcher.core.webhook_section import Terms, Webhook
from watcher.database import Database, SqliteFile
from watcher.http.address import Address, read_address
from watcher.providers import ProviderSection
from watcher.references import resolver
from watcher.sections import Keys, Table, dotted, overlay, problems
from watcher.sources.directory import DirectorySection
from watcher.sources.file import FileSection
from watcher.sources.nats import NatsSection
from watcher.sources.redis import RedisSection

PLACES = (Path("watcher.toml"), Path("/etc/watcher/watcher.toml"))
SHORTEST_LEASE = timedelta(seconds=1)  # it is renewed six times while it lasts, over a network
PINNED = ("state", "listen", "api_token", "worker", "lease")  # keys of [watcher] that only a restart changes


def _name(written: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", written):
        raise ValueError("expected a name of 1 to 64 letters, digits, - and _")
    return written


def _worker(written: str) -> str:
    if not re.fullmatch(r"[\w.@:-]{1,200}", written, re.ASCII):
        raise ValueError("expected a name of 1 to 200 letters, digits, . - _ @ and :")
    return written


Name: TypeAlias = Annotated[str, AfterValidator(_name)]
Worker: TypeAlias = Annotated[str, AfterValidator(_worker)]
Section = TypeVar("Section", bound=BaseModel)
SourceSection: TypeAlias = Annotated[
    FileSection | DirectorySection | NatsSection | RedisSection, Field(discriminator="type")
]


def _renewable(lease: timedelta) -> timedelta:
    if lease < SHORTEST_LEASE:
        raise ValueError(f'expected a duration of at least "{format_duration(SHORTEST_LEASE)}"')
    return lease


class LogSection(BaseModel):
    """`[watcher.log]`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    format: Literal["json", "console", "auto"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class WatcherSection(BaseModel):
    """`[watcher]`: the daemon itself; `worker` and `lease` are of one that shares its `state`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    state: Database = Field(default=None, validate_default=True)  # the validator fills it
    listen: str = "127.0.0.1:8480"
    api_token: OneLine | None = None
    max_watches: Annotated[int, Field(ge=1)] = 1_000_000
    keep: SomeTime = timedelta(days=30)
    worker: Worker = Field(default_factory=gethostname)
    lease: Annotated[Duration, AfterValidator(_renewable)] = timedelta(seconds=15)
    log: LogSection = LogSection()

    @field_validator("listen")
    @classmethod
    def _listening(cls, written: str, info: ValidationInfo) -> str:
        return str(read_address(written, folder=Path((info.context or {}).get("folder", ""))) or "")

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.address is not None and not self.address.is_private and self.api_token is None:
            raise ValueError("api_token: missing; expected a secret, because other machines can reach `listen`")
        return self

    @property
    def address(self) -> Address | None:
        """Where to listen; None for nowhere."""
        return read_address(self.listen)

    @property
    def folder(self) -> Path | None:
        """Where `state` is, if it is a file here."""
        return self.state.path.parent if isinstance(self.state, SqliteFile) else None


class Config(BaseModel):
    """The whole file. A section is the value that will act: a provider, a webhook."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    watcher: WatcherSection = Field(default={}, validate_default=True)
    sources: dict[Name, SourceSection] = {}
    providers: dict[Name, ProviderSection] = {}
    webhooks: dict[Name, Webhook] = {}
    callbacks: Callbacks | None = None

    @property
    def receivers(self) -> dict[str, Terms]:
        """Every section that says how events are sent, by its path."""
        callbacks: dict[str, Terms] = {"callbacks": self.callbacks} if self.callbacks else {}
        return {f"webhooks.{name}": webhook for name, webhook in self.webhooks.items()} | callbacks

    def pinned(self, old: "Config") -> "Config":
        """Return this configuration with what only a restart can change as it was."""
        kept = {key: getattr(old.watcher, key) for key in PINNED}
        return self.model_copy(update={"watcher": self.watcher.model_copy(update=kept)})


def changes(old: Config, new: Config) -> tuple[list[str], list[str]]:
    """Return the keys of what a reload changes, and of what needs a restart."""
    pinned = [f"watcher.{key}" for key in PINNED if getattr(old.watcher, key) != getattr(new.watcher, key)]
    tables = {
        "watcher": (dict(old.watcher), dict(new.pinned(old).watcher)),
        "sources": (old.sources, new.sources),
        "providers": (old.providers, new.providers),
        "webhooks": (old.webhooks, new.webhooks),
        "callbacks": ({"": old.callbacks}, {"": new.callbacks}),
    }
    changed = [
        dotted((table, name) if name else (table,))
        for table, (before, after) in tables.items()
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return changed, pinned


def find(explicit: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the file to read: `-c FILE`, else `$WATCHER_CONFIG`, else the first of `PLACES` that exists.

    Raises:
        ConfigError: there is none; the text says where it was looked for.

    """
    named = explicit or (Path(environ["WATCHER_CONFIG"]) if environ.get("WATCHER_CONFIG") else None)
    if named is not None:
        return named
    for place in PLACES:
        if place.is_file():
            return place
    searched = ", ".join(["-c FILE", "$WATCHER_CONFIG", *(str(place.absolute()) for place in PLACES)])
    raise ConfigError(f"no configuration found; searched: {searched}")


def load(path: Path, *, environ: Mapping[str, str], resolve: bool) -> Config:
    """Read a file and the environment over it; follow the secrets' references if `resolve`.

    Raises:
        ConfigError: a line for each problem: file, key, what was expected, and the variable if one set the key.

    """
    table = _read(path)
    origins, strangers = overlay(table, environ=environ, model=Config)
    folder = path.absolute().parent
    context: dict[str, object] = {"folder": folder, "environ": environ}
    if resolve:
        context["resolve"] = resolver(folder, environ=environ)
    wrong: list[tuple[Keys, str]]
    config = None
    try:
        config = Config.model_validate(table, context=context)
    except ValidationError as error:
        wrong = list(problems(error, table=table, model=Config, unseen=origins))
    else:
        wrong = list(_unfit(config))
    lines = [f"{path}: {line}" for line in strangers]
    lines += [f"{path}: {dotted(keys)}: {text}{_origin(keys, origins)}" for keys, text in wrong]
    if lines or config is None:
        raise ConfigError("\n".join(lines))
    return config


def follow(
    section: Mapping[str, object], *, model: type[Section], place: str, folder: Path, environ: Mapping[str, str]
) -> Section:
    """Make one section of its keys, and follow its own references: for commands that need no other secret.

    Raises:
        ConfigError: a line for each problem; `place` is written before its key.

    """
    table = dict(section)
    context = {"folder": folder, "environ": environ, "resolve": resolver(folder, environ=environ)}
    try:
        return model.model_validate(table, context=context)
    except ValidationError as error:
        wrong = problems(error, table=table, model=model)
        raise ConfigError("\n".join(f"{place}{dotted(keys)}: {text}" for keys, text in wrong)) from None


def _read(path: Path) -> Table:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start}: expected UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).rpartition(" (at ")
        end = f"line {text.count(chr(10)) + 1}, column {len(text) - text.rfind(chr(10))}"
        raise ConfigError(f"{path}: {where.rstrip(')').replace('end of document', end)}: {what}") from None


def _unfit(config: Config) -> Iterator[tuple[Keys, str]]:
    """Find what each section allows, and the whole does not."""
    if not config.providers:
        yield ("providers",), "missing; expected at least one section, such as [providers.d7]"
    for path, section in config.receivers.items():
        for place, provider in enumerate(section.providers or ()):
            if provider not in config.providers:
                known = ", ".join(config.providers)
                yield (*path.split("."), "providers", place), f"unknown provider; expected some of {known}"


def _origin(keys: Keys, origins: Mapping[Keys, str]) -> str:
    variable = next((origins[keys[:length]] for length in range(len(keys), 0, -1) if keys[:length] in origins), None)
    return f" (set by {variable})" if variable else ""
