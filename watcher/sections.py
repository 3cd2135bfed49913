"""Tables of keys against the models that they become: the environment laid over them, and what is wrong with them.

Knows pydantic and TOML, and no key by name but `type`, which picks a section's model; the keys are `config.py`'s.
"""

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeAlias, get_args, get_origin

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from watcher.core.secret import Secret
from watcher.core.wrong import came, complaint, expected

Table: TypeAlias = dict[str, object]
Keys: TypeAlias = tuple[str | int, ...]

PREFIX = "WATCHER__"

_EXPECTED: dict[object, str] = {
    str: "a string",
    Path: "a path",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    timedelta: 'a duration such as "10m"',
    Secret: 'a secret such as "env:NAME"',
}


def overlay(table: Table, *, environ: Mapping[str, str], model: type[BaseModel]) -> tuple[dict[Keys, str], list[str]]:
    """Set in `table` what the environment says; return which variable set which key, and those that fit none."""
    origins: dict[Keys, str] = {}
    strangers = []
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        places = list(_places(variable.removeprefix(PREFIX).lower(), hint=model, table=table))
        if len(places) == 1:
            _set(table, keys=places[0], value=_read(environ[variable]))
            origins[places[0]] = variable
        else:
            strangers.append(f"{variable}: fits {'several keys' if places else 'no key'} of the configuration")
    return origins, strangers


def problems(
    error: ValidationError, *, table: Table, model: type[BaseModel], unseen: Collection[Keys] = ()
) -> Iterator[tuple[Keys, str]]:
    """Say what is wrong at which key, in the order of the model, and what came.

    A secret's value is never said, nor that of an `unseen` key, which does not stand in the file.
    """
    for detail in error.errors(include_url=False):
        keys = _keys_of(detail, table)
        is_hidden = any(keys[:length] in unseen for length in range(len(keys) + 1))
        text = _text(detail, keys=keys, table=table, model=model, is_hidden=is_hidden)
        first, colon, rest = text.partition(": ")
        if colon and first in _possible(*_inside(keys, table=table, model=model)):
            yield (*keys, first), rest  # a whole section was checked, and the text names the key
        else:
            yield keys, text


def dotted(keys: Keys) -> str:
    """Write a key's path as TOML does: `providers.d7.rate`, `webhooks.ops.secret[0]`."""
    return "".join(
        f"[{key}]" if isinstance(key, int) else f".{key}" if re.fullmatch(r"[\w-]+", key) else f".{quoted(key)}"
        for key in keys
    ).removeprefix(".")


def quoted(text: str) -> str:
    """Write a TOML string; JSON's escapes are TOML's too."""
    return orjson.dumps(text).decode()


def _possible(hint: object, table: Table) -> dict[str, object]:
    """List the keys that a table of type `hint` may have, with their types; `type` picks the member of a union."""
    if get_origin(hint) is dict:
        return dict.fromkeys(table, get_args(hint)[1])
    models = list(_models(hint))
    meant = [model for model in models if "type" in table and table["type"] in _types(model)]
    return {name: field.annotation for model in meant or models for name, field in model.model_fields.items()}


def _types(model: type[BaseModel]) -> tuple[object, ...]:
    kind = model.model_fields.get("type")
    return get_args(kind.annotation) if kind else ()


def _models(hint: object) -> Iterator[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    for part in get_args(hint):
        yield from _models(part)


def _places(rest: str, *, hint: object, table: Table) -> Iterator[Keys]:
    """Find the keys whose path is written `rest`; a section's name may itself hold `__`."""
    for key, inner in _possible(hint, table).items():
        written = key.lower().replace("-", "_")
        if rest == written:
            yield (key,)
        elif rest.startswith(f"{written}__"):
            below = table.get(key, {})
            if isinstance(below, dict):
                deeper = _places(rest.removeprefix(f"{written}__"), hint=inner, table=below)
                yield from ((key, *keys) for keys in deeper)


def _set(table: Table, *, keys: Keys, value: object) -> None:
    for key in keys[:-1]:
        below = table.setdefault(str(key), {})
        table = below if isinstance(below, dict) else {}
    table[str(keys[-1])] = value


def _read(text: str) -> object:
    """Read lists and tables, as JSON or TOML; all else stays a string, which the models read as what they need."""
    value: object = text
    if text.startswith(("[", "{")):
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            with suppress(tomllib.TOMLDecodeError):
                value = tomllib.loads(f"value = {text}")["value"]
    return value


def _keys_of(detail: ErrorDetails, table: Table) -> Keys:
    """Keep those parts of pydantic's location that the user wrote: no union's member, no function's name."""
    keys: list[str | int] = []
    here: object = table
    for part in detail["loc"]:
        inner = here if isinstance(here, dict) else dict(enumerate(here)) if isinstance(here, list) else {}
        if part in inner:
            here = inner[part]
            keys.append(part)
    if detail["type"] == "missing":
        keys.append(detail["loc"][-1])
    if detail["type"].startswith("union_tag"):
        keys.append("type")
    return tuple(keys)


def _text(detail: ErrorDetails, *, keys: Keys, table: Table, model: type[BaseModel], is_hidden: bool) -> str:
    hint, here = _inside(keys[:-1], table=table, model=model)
    is_shown = "[key]" not in detail["loc"] and not _is_secret(keys, table=table, model=model)
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key; expected one of {', '.join(sorted(_possible(hint, here)))}"
        case "missing":
            return f"missing; expected {_expected(_possible(hint, here).get(str(keys[-1])))}"
        case "union_tag_not_found" | "union_tag_invalid" as kind:
            words = _alternatives(word for member in _models(hint) for word in _types(member))
            if kind == "union_tag_not_found":
                return f"missing; expected {words}"
            text = f"expected {words}" + ("" if is_hidden else f", got {came(here.get('type'), is_shown=is_shown)}")
        case _:
            text = expected(detail) if is_hidden else complaint(detail, is_shown=is_shown)
    return text.replace("an object", "a table")


def _is_secret(keys: Keys, *, table: Table, model: type[BaseModel]) -> bool:
    """May a secret stand there: in its own key, in a list or table of such, or in an address?"""
    hint: object = model
    here: object = table
    for key in keys:
        if isinstance(here, dict):
            hint = _possible(hint, here).get(str(key))
            here = here.get(str(key))
        elif isinstance(here, list) and isinstance(key, int):
            here = here[key]
        if Secret in _parts(hint) or hint is None:
            return True
    return isinstance(here, str) and ("://" in here or "@" in here)


def _parts(hint: object) -> Iterator[object]:
    """Yield a type, and those that it is made of, but for models."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _inside(keys: Keys, *, table: Table, model: type[BaseModel]) -> tuple[object, Table]:
    """Follow `keys` down to a table; return its type and itself."""
    hint: object = model
    for key in keys:
        hint = _possible(hint, table).get(str(key))
        below = table.get(str(key))
        table = below if isinstance(below, dict) else {}
    return hint, table


def _expected(hint: object) -> str:
    if hint in _EXPECTED:
        return _EXPECTED[hint]
    if get_origin(hint) is Literal:
        return _alternatives(get_args(hint))
    return "a list" if get_origin(hint) in {list, tuple} else "a table" if any(_models(hint)) else "a value"


def _alternatives(words: Iterable[object]) -> str:
    *first, last = (quoted(str(word)) for word in words)
    return f"{', '.join(first)} or {last}" if first else last
