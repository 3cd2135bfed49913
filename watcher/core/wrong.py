"""What pydantic found wrong, in plain words: what was expected, and what came. A value only where that is asked for."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeAlias

import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

MISSING = "expected, and missing"
MOST_SHOWN = 40  # characters of a value

Context: TypeAlias = Mapping[str, object]

_PLAIN = {
    "string_type": "a string",
    "string_unicode": "a string",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "path_type": "a path",
}
_BOUNDS: dict[str, Callable[[Context], str]] = {
    "greater_than": lambda context: f"a number greater than {_number(context['gt'])}",
    "greater_than_equal": lambda context: f"a number of at least {_number(context['ge'])}",
    "less_than": lambda context: f"a number less than {_number(context['lt'])}",
    "less_than_equal": lambda context: f"a number of at most {_number(context['le'])}",
    "string_pattern_mismatch": lambda context: f"a string that matches {context['pattern']}",
    "string_too_short": lambda context: f"at least {_amount(context['min_length'], 'character')}",
    "string_too_long": lambda context: f"at most {_amount(context['max_length'], 'character')}",
    "too_short": lambda context: f"at least {_amount(context['min_length'], 'member')}",
    "too_long": lambda context: f"at most {_amount(context['max_length'], 'member')}",
}

_OF_A_KIND = {"value_error", "literal_error", "enum", "string_pattern_mismatch"}


def explain(error: ValidationError, *, shown: Collection[str] = (), keys: Iterable[str] = ()) -> str:
    """Say all of it on one line.

    `shown` are the keys whose values may be said: of others they may be secrets, or somebody's number. `keys` are
    those that there are, for who wrote another one.
    """
    found = []
    for problem in error.errors(include_url=False):
        where = ".".join(map(str, problem["loc"])) or "request"
        is_shown = bool(problem["loc"]) and problem["loc"][0] in shown
        found.append(f"{where}: {complaint(problem, is_shown=is_shown, keys=keys)}")
    return "; ".join(found)


def complaint(problem: ErrorDetails, *, is_shown: bool = False, keys: Iterable[str] = ()) -> str:
    """Say what was expected, and what came."""
    match problem["type"]:
        case "missing":
            return MISSING
        case "extra_forbidden":
            return f"unknown; expected one of {', '.join(sorted(keys))}" if keys else "is not known here"
        case _:
            pass
    text, value = expected(problem), problem["input"]
    if " got " in text or not text.startswith("expected"):
        return text
    telling = str | int | float | None if is_shown else int | float | None
    if problem["type"] in _OF_A_KIND and not isinstance(value, telling):
        return text  # that a string came says nothing where one was wanted
    return f"{text}, got {came(value, is_shown=is_shown)}"


def expected(problem: ErrorDetails) -> str:
    """Say what was expected; what our own checks say is said already."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in _PLAIN:
        return f"expected {_PLAIN[kind]}"
    if kind in _BOUNDS:
        got = f", got {len(problem['input'])}" if kind in {"string_too_long", "too_long"} else ""
        return f"expected {_BOUNDS[kind](context)}{got}"
    if kind.startswith("datetime_"):
        return f"expected a time such as 2026-11-23T07:30:00Z: {context.get('error', 'this is none')}"
    if kind in {"literal_error", "enum"}:
        return f"expected {context['expected']}".replace("'", '"')
    return problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected")


def came(value: object, *, is_shown: bool) -> str:
    """Name a JSON value: what kind it is of, or itself where it may be said and is short."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str() if not value:
            return "an empty string"
        case str():
            return _quoted(value) if is_shown else "a string"
        case int() | float():
            return str(value) if is_shown else "a number"
        case dict():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return "another kind of value"


def _quoted(text: str) -> str:
    return orjson.dumps(text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…").decode()


def _number(bound: object) -> str:
    return f"{bound:.10g}" if isinstance(bound, float) else str(bound)


def _amount(number: object, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")
