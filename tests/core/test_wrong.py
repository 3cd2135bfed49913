"""What pydantic found wrong is said in plain words: where, what was expected, what came; and no secret with it."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from watcher.core.wrong import explain


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Inner(BaseModel):
    word: str = ""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[str, Field(min_length=2, max_length=4)] = "ab"
    digits: Annotated[str, Field(pattern=r"^\d+$")] = "1"
    number: Annotated[int, Field(ge=1, lt=10)] = 1
    share: Annotated[float, Field(gt=0.5, le=1, allow_inf_nan=False)] = 1
    yes: bool = True
    members: Annotated[list[str], Field(min_length=1, max_length=2)] = ["a"]
    inner: Inner = Inner()
    table: dict[str, str] = {}
    kind: Literal["a", "b"] = "a"
    size: Annotated[Size, Field(strict=False)] = Size.SMALL
    at: Annotated[datetime, Field(strict=False)] = datetime(2026, 11, 23)  # noqa: DTZ001  # none is compared
    checked: object = None
    odd: object = None

    @field_validator("checked")
    @classmethod
    def _refuse(cls, value: object) -> object:
        if value is not None:
            raise ValueError(f"expected nothing{', got too much' if value == [] else ''}")
        return value

    @field_validator("odd")
    @classmethod
    def _complain(cls, value: object) -> object:
        if value is not None:
            raise PydanticCustomError("odd", "this is odd")
        return value


class Needed(BaseModel):
    name: str


def complaint(model: type[BaseModel], value: object, *, shown: frozenset[str] = frozenset()) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value)
    return explain(caught.value, shown=shown, keys=model.model_fields)


@pytest.mark.parametrize(
    ("key", "value", "hidden", "shown"),
    [
        ("text", 7, "expected a string, got a number", "expected a string, got 7"),
        ("text", None, "expected a string, got null", "expected a string, got null"),
        ("text", [7], "expected a string, got a list", "expected a string, got a list"),
        ("text", (7,), "expected a string, got a list", "expected a string, got a list"),
        ("text", {}, "expected a string, got an object", "expected a string, got an object"),
        ("text", True, "expected a string, got true", "expected a string, got true"),
        ("text", date(2026, 1, 1), *["expected a string, got another kind of value"] * 2),
        ("text", "", *["expected at least 2 characters, got an empty string"] * 2),
        ("text", "abcde", *["expected at most 4 characters, got 5"] * 2),
        ("digits", "x", "expected a string that matches ^\\d+$", 'expected a string that matches ^\\d+$, got "x"'),
        ("number", "x", "expected a whole number, got a string", 'expected a whole number, got "x"'),
        ("number", 0, "expected a number of at least 1, got a number", "expected a number of at least 1, got 0"),
        ("number", 10, "expected a number less than 10, got a number", "expected a number less than 10, got 10"),
        ("share", 0.25, *["expected a number greater than 0.5, got {}"] * 2),
        ("share", 1.5, *["expected a number of at most 1, got {}"] * 2),
        ("share", "x", "expected a number, got a string", 'expected a number, got "x"'),
        ("share", float("inf"), "expected a finite number, got a number", "expected a finite number, got inf"),
        ("yes", "maybe", "expected true or false, got a string", 'expected true or false, got "maybe"'),
        ("members", "a", "expected a list, got a string", 'expected a list, got "a"'),
        ("members", [], *["expected at least 1 member, got a list"] * 2),
        ("members", ["a", "b", "c"], *["expected at most 2 members, got 3"] * 2),
        ("inner", 7, "expected an object, got a number", "expected an object, got 7"),
        ("table", [], *["expected an object, got a list"] * 2),
        ("kind", "c", 'expected "a" or "b"', 'expected "a" or "b", got "c"'),
        ("kind", 7, 'expected "a" or "b", got a number', 'expected "a" or "b", got 7'),
        ("size", "huge", 'expected "small" or "large"', 'expected "small" or "large", got "huge"'),
        ("checked", "much", "expected nothing", 'expected nothing, got "much"'),
        ("checked", {}, *["expected nothing"] * 2),
        ("checked", [], *["expected nothing, got too much"] * 2),
        ("odd", "x", *["this is odd"] * 2),
        ("other", "x", *[f"unknown; expected one of {', '.join(sorted(Model.model_fields))}"] * 2),
    ],
)
def test_what_came_is_named_by_its_kind_or_by_itself_where_it_may_be_said(
    key: str, value: object, hidden: str, shown: str
) -> None:
    assert complaint(Model, {key: value}) == f"{key}: {hidden.format('a number')}"
    assert complaint(Model, {key: value}, shown=frozenset({key})) == f"{key}: {shown.format(value)}"


def test_a_time_that_is_none_is_told_what_one_looks_like() -> None:
    assert complaint(Model, {"at": "2026-13-01T00:00:00Z"}) == (
        "at: expected a time such as 2026-11-23T07:30:00Z: month value is outside expected range of 1-12, got a string"
    )
    assert complaint(Model, {"at": {}}) == (
        "at: expected a time such as 2026-11-23T07:30:00Z: this is none, got an object"
    )


def test_what_is_missing_or_of_another_kind_altogether_is_named() -> None:
    assert complaint(Needed, {}) == "name: expected, and missing"
    assert complaint(Needed, []) == "request: expected an object, got a list"


def test_a_key_below_is_named_by_its_path_and_is_as_secret_as_the_one_above() -> None:
    assert complaint(Model, {"table": {"a": 7}}) == "table.a: expected a string, got a number"
    assert complaint(Model, {"table": {"a": 7}}, shown=frozenset({"a"})) == "table.a: expected a string, got a number"
    assert complaint(Model, {"table": {"a": 7}}, shown=frozenset({"table"})) == "table.a: expected a string, got 7"


def test_where_nobody_says_which_keys_there_are_another_one_is_just_not_known() -> None:
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"other": "x"})
    assert explain(caught.value) == "other: is not known here"


def test_what_is_repeated_is_short_and_on_one_line() -> None:
    said = complaint(Model, {"number": "a\n" + "b" * 100}, shown=frozenset({"number"}))
    assert said == f'number: expected a whole number, got "a\\n{"b" * 38}…"'


def test_all_of_it_is_said() -> None:
    assert complaint(Model, {"text": 1, "yes": 2}) == (
        "text: expected a string, got a number; yes: expected true or false, got a number"
    )
