"""What expressions find, as what their keys need: a word, a percentage, a list. All else is a mismatch, no guess."""

import re
from collections.abc import Collection
from typing import TypeGuard

import orjson

from watcher.core.model import Json
from watcher.providers.http_expression import Expression, MismatchError

_PERCENTAGE = re.compile(r"(\d{1,3}(?:\.\d{1,9})?) ?%", re.ASCII)
_KINDS: dict[type, str] = {
    bool: "a boolean",
    dict: "an object",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "a text",
    type(None): "null",
}


def word(expression: Expression, value: object, *, key: str) -> str:
    """Find a status; a number is none, `to_string()` makes it one."""
    found = expression.find(value, key=key)
    if isinstance(found, str) and found:
        return found
    raise _mismatch(key, "a word", found)


def identity(expression: Expression, value: object, *, key: str) -> str:
    """Find what a message is called: a word or a whole number."""
    found = expression.find(value, key=key)
    if _is_whole(found) or (isinstance(found, str) and found):
        return str(found)
    raise _mismatch(key, "a word or a whole number", found)


def count(expression: Expression | None, value: object, *, key: str) -> int | None:
    """Find how many there are, if that is said."""
    found = expression.find(value, key=key) if expression else None
    if found is None or (_is_whole(found) and found >= 0):
        return found
    raise _mismatch(key, "a whole number from 0", found)


def percentage(expression: Expression | None, value: object, *, key: str) -> float | None:
    """Find a number from 0 to 100, or a text such as `45%`, if there is any."""
    found = expression.find(value, key=key) if expression else None
    if found is None:
        return None
    written = _PERCENTAGE.fullmatch(found) if isinstance(found, str) else None
    number = float(written[1]) if written else found
    if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= 100:  # noqa: PLR2004
        return number
    raise _mismatch(key, 'a number from 0 to 100, or a text such as "45%"', found)


def items(expression: Expression, value: object, *, key: str) -> list[object]:
    """Find a list, which may be empty; null is none."""
    found = expression.find(value, key=key)
    if isinstance(found, list):
        return found
    raise _mismatch(key, "a list", found)


def detail(value: object, *, key: str, without: Collection[str]) -> dict[str, Json]:
    """Keep what else a message says; an expression can make more of an answer than an event's encoder writes."""
    told = {name: inner for name, inner in value.items() if name not in without} if isinstance(value, dict) else {}
    try:
        orjson.dumps([[[[told]]]])
    except orjson.JSONEncodeError:
        raise MismatchError(f"{key}: expected JSON that is not nested too deep, nor of numbers too large") from None
    return told


def _is_whole(found: object) -> TypeGuard[int]:
    return isinstance(found, int) and not isinstance(found, bool)


def _mismatch(key: str, expected: str, found: object) -> MismatchError:
    return MismatchError(f"{key}: expected {expected}, found {_KINDS.get(type(found), 'something else')}")
