"""What a configuration keeps secret, and how it is shown without that."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta

from pydantic import BaseModel

from watcher.config import Config
from watcher.core.duration import format_duration
from watcher.core.secret import MASK, Secret
from watcher.database import PostgresUrl
from watcher.sections import Keys, dotted, quoted


def literals(config: Config) -> list[str]:
    """Return the keys of secrets that stand in the configuration themselves."""
    found = [keys for keys, value in _leaves(config) if _is_literal(value)]
    return list(dict.fromkeys(dotted(tuple(key for key in keys if isinstance(key, str))) for keys in found))


def _is_literal(value: object) -> bool:
    return value.is_literal if isinstance(value, Secret) else isinstance(value, PostgresUrl) and bool(value.passwords)


def secrets(config: Config) -> list[str]:
    """Return every secret that was resolved, so that the log can keep them out."""
    values = [value for _, value in _leaves(config)]
    resolved = [value.reveal() for value in values if isinstance(value, Secret) and value.is_resolved]
    return resolved + [word for value in values if isinstance(value, PostgresUrl) for word in value.passwords]


def masked(config: Config) -> str:
    """Show the configuration, defaults included, as TOML without any secret."""
    tables: dict[Keys, list[str]] = {}
    for keys, value in _leaves(config, inside_lists=False):
        if value is not None:
            tables.setdefault(keys[:-1], []).append(f"{dotted(keys[-1:])} = {_shown(value)}")
    return "\n\n".join("\n".join([f"[{dotted(keys)}]", *lines]) for keys, lines in tables.items()) + "\n"


def _leaves(value: object, *, keys: Keys = (), inside_lists: bool = True) -> Iterator[tuple[Keys, object]]:
    """List whatever is no table, with its keys."""
    inner: list[tuple[str | int, object]]
    if isinstance(value, BaseModel):
        inner = [(name, getattr(value, name)) for name in type(value).model_fields]  # and not what follows from them
    elif isinstance(value, Mapping):
        inner = list(value.items())
    elif inside_lists and isinstance(value, list | tuple):
        inner = list(enumerate(value))
    else:
        yield keys, value
        return
    for key, below in inner:
        yield from _leaves(below, keys=(*keys, key), inside_lists=inside_lists)


def _shown(value: object) -> str:
    match value:
        case Secret():
            return quoted(value.reference or MASK)
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return f"{value:.12g}"
        case timedelta():
            return quoted(format_duration(value))
        case list() | tuple():
            return f"[{', '.join(map(_shown, value))}]"
        case PostgresUrl():
            return quoted(str(value))
        case _:  # an address may carry a token in its query
            return quoted(re.sub(r"(://[^?\s]*\?).*", rf"\1{MASK}", str(value)))
