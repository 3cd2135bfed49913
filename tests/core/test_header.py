"""Headers that a section adds: their names, and values that nothing may show."""

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from watcher.core.header import HeaderValue, OneLine, hide_credentials, named, revealed
from watcher.core.secret import Secret

CANARY = "canary-7f3a"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    headers: dict[str, HeaderValue] = {}
    token: Annotated[OneLine | None, "alone"] = None

    _hidden = field_validator("headers", mode="before")(hide_credentials)


def read(**headers: object) -> dict[str, str | Secret]:
    section = Section.model_validate(
        {"headers": headers}, context={"resolve": lambda reference: f"{reference} led here"}
    )
    return section.headers


@pytest.mark.parametrize(
    ("written", "name"),
    [("X-Tenant", "x-tenant"), ("x-tenant", "x-tenant"), ("!#$%&'*+.^_`|~0aZ-", "!#$%&'*+.^_`|~0az-")],
)
def test_a_header_s_name_is_in_lower_case(written: str, name: str) -> None:
    assert named(written) == name


@pytest.mark.parametrize("written", ["", "x tenant", "x-tenant:", "x-tenant\n", "\nx", "x-tenänt", "(x)", "x\0"])
def test_what_is_no_name_of_a_header_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a header"):
        named(written)


def test_values_are_text_or_references_to_secrets() -> None:
    assert read(x_tenant="a b ~", x_none="", x_ref="env:REF", x_file="file:/run/ref", x_cred="cred:ref") == {
        "x_tenant": "a b ~",
        "x_none": "",
        "x_ref": Secret("env:REF", "env:REF led here"),
        "x_file": Secret("file:/run/ref", "file:/run/ref led here"),
        "x_cred": Secret("cred:ref", "cred:ref led here"),
    }


@pytest.mark.parametrize(
    "name", ["Authorization", "cookie", "x-api-key", "X-Client-Secret", "x-token", "x-auth", "x-password"]
)
def test_a_value_whose_header_says_that_it_is_a_credential_is_a_secret(name: str) -> None:
    assert read(**{name: CANARY}) == {name: Secret.literal(CANARY)}
    assert read(**{name: "env:REF"}) == {name: Secret("env:REF", "env:REF led here")}
    assert read(**{name: ""}) == {name: ""}


@pytest.mark.parametrize(
    "value", ["canary\n", "can\r\nary: x", "canäry", "can\0ary", "can\tary", "\ncanary", 5, None, ["canary"]]
)
@pytest.mark.parametrize("name", ["x-tenant", "x-token"])
def test_a_value_that_is_not_one_line_of_printable_ascii_is_refused_without_being_repeated(
    name: str, value: object
) -> None:
    with pytest.raises(ValidationError) as refused:
        read(**{name: value})
    assert "can" not in str(refused.value)


def test_a_reference_that_leads_to_several_lines_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValidationError, match="expected a secret of printable ASCII in one line") as refused:
        Section.model_validate({"token": "env:TOKEN"}, context={"resolve": lambda _: f"{CANARY}\nx: y"})
    assert CANARY not in str(refused.value)


def test_a_reference_that_is_not_followed_yet_is_taken() -> None:
    section = Section.model_validate({"headers": {"x-tenant": "env:REF"}, "token": "env:TOKEN"})
    assert (section.headers, section.token) == ({"x-tenant": Secret("env:REF")}, Secret("env:TOKEN"))


def test_a_secret_that_is_one_already_stays_as_it_is() -> None:
    secret = Secret("env:REF", "x")
    assert Section(headers={"x-token": secret, "x-tenant": secret}).headers == {"x-token": secret, "x-tenant": secret}


@pytest.mark.parametrize("written", ["x-tenant", 5, ["x"], None])
def test_what_is_no_table_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        Section.model_validate({"headers": written})


def test_headers_are_sent_as_they_are_meant() -> None:
    assert revealed({"x-tenant": "a", "x-token": Secret("env:TOKEN", CANARY)}) == {"x-tenant": "a", "x-token": CANARY}


def test_nothing_is_sent_of_what_was_not_resolved() -> None:
    with pytest.raises(ValueError, match="the secret env:TOKEN was not resolved"):
        revealed({"x-token": Secret("env:TOKEN")})


def test_a_credential_is_in_no_repr() -> None:
    section = Section.model_validate({"headers": {"x-token": CANARY}})
    assert CANARY not in f"{section!r}{section}{section.model_dump_json()}"
