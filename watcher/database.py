"""Where the store is: what `state` of `[watcher]` names, taken apart. Opens nothing."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import PlainValidator, ValidationInfo

from watcher.core.secret import MASK

EXPECTED = 'expected "sqlite:PATH", such as "sqlite:watcher.db", or "postgresql://USER@HOST/DATABASE"'


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A file on this machine."""

    path: Path

    def __str__(self) -> str:
        """Write it as in the configuration."""
        return f"sqlite:{self.path}"


@dataclass(frozen=True, slots=True, repr=False)
class PostgresUrl:
    """A database that many workers share; the URL may hold passwords, which nothing else shows."""

    url: str

    @property
    def passwords(self) -> list[str]:
        """Every password in it, as it is written and as it is meant."""
        parts = urlsplit(self.url)
        written = [parts.password, *re.findall(r"password=([^&]*)", parts.query)]
        return [meant for one in written if one for meant in dict.fromkeys((one, unquote(one)))]

    def __str__(self) -> str:
        """Write it without passwords."""
        parts = urlsplit(self.url)
        login, at, hosts = parts.netloc.rpartition("@")
        user, colon, _ = login.partition(":")
        query = re.sub(r"(password=)[^&]*", rf"\1{MASK}", parts.query)
        return f"{parts.scheme}://{user}{colon and f':{MASK}'}{at}{hosts}{parts.path}{query and f'?{query}'}"

    __repr__ = __str__


def _named(written: object, info: ValidationInfo) -> SqliteFile | PostgresUrl:
    """Read what `state` says; without a word it is a file where systemd wants such, else beside the configuration."""
    if isinstance(written, SqliteFile | PostgresUrl):
        return written
    context = info.context or {}
    if not written:
        # systemd separates several directories by colons; the first is ours.
        directory = context.get("environ", {}).get("STATE_DIRECTORY", "").partition(":")[0]
        written = f"sqlite:{Path(directory, 'watcher.db')}"
    scheme, _, place = str(written).partition(":")
    if scheme == "sqlite" and place and not place.startswith("//"):
        return SqliteFile(Path(context.get("folder", ""), place).absolute())
    if scheme in {"postgresql", "postgres"} and place.startswith("//"):
        return _shared(str(written))
    raise ValueError(EXPECTED)


def _shared(url: str) -> PostgresUrl:
    if find_spec("asyncpg") is None:
        raise ValueError('expected the package asyncpg: pip install "watcher[postgres]"')
    try:
        urlsplit(url)
    except ValueError:  # its text may quote a part of the password
        raise ValueError(EXPECTED) from None
    return PostgresUrl(url)


Database: TypeAlias = Annotated[SqliteFile | PostgresUrl, PlainValidator(_named)]
