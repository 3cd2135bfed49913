"""Configurations as texts: what they mean, and what is complained about."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from watcher.config import Config, load
from watcher.core.errors import ConfigError

CANARY = "canary-7f3a"
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
