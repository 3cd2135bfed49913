import traceback

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from watcher.core.secret import Secret

CANARY = "canary-7f3a"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: Secret


@pytest.mark.parametrize("reference", ["env:TOKEN", "file:/run/token", "cred:token"])
def test_a_reference_is_followed_where_the_context_can(reference: str) -> None:
    section = Section.model_validate({"token": reference}, context={"resolve": {reference: CANARY}.__getitem__})
    assert section.token == Secret(reference, CANARY)
    assert section.token.reveal() == CANARY
    assert not section.token.is_literal


def test_without_a_context_a_reference_can_be_shown_and_not_used() -> None:
    token = Section.model_validate({"token": "env:TOKEN"}).token
    assert (str(token), token.is_resolved) == ("Secret(env:TOKEN)", False)
    with pytest.raises(ValueError, match="the secret env:TOKEN was not resolved"):
        token.reveal()


def test_anything_else_is_the_secret_itself() -> None:
    token = Section.model_validate({"token": CANARY}).token
    assert token == Secret.literal(CANARY)
    assert (token.reveal(), token.is_literal, token.is_resolved) == (CANARY, True, True)


def test_a_secret_that_is_one_already_stays_as_it_is() -> None:
    secret = Secret("env:TOKEN", CANARY)
    assert Section(token=secret).token is secret


def test_a_secret_that_was_not_followed_yet_is_followed_where_the_context_can() -> None:
    known = Section.model_validate({"token": "env:TOKEN"})
    followed = Section.model_validate(dict(known), context={"resolve": {"env:TOKEN": CANARY}.__getitem__})
    assert followed.token == Secret("env:TOKEN", CANARY)
    assert Section.model_validate(dict(known)) == known


def test_secrets_are_equal_when_written_alike_and_worth_the_same() -> None:
    assert len({Secret("env:A", "x"), Secret("env:A", "x"), Secret("env:B", "x"), Secret("env:A", "y")}) == 3


def test_no_way_of_printing_shows_the_value() -> None:
    section = Section.model_validate({"token": CANARY})
    shown = [repr(section), str(section), f"{section.token!s}{section.token!r}", section.model_dump_json()]
    assert CANARY not in "".join(shown)


@pytest.mark.parametrize("written", ["", 5, None, [CANARY], {"value": CANARY}])
def test_an_error_says_what_was_expected_and_not_what_was_written(written: object) -> None:
    with pytest.raises(ValidationError, match="expected a secret") as caught:
        Section.model_validate({"token": written})
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_reference_that_leads_nowhere_is_an_error_of_its_key() -> None:
    def resolve(reference: str) -> str:
        raise ValueError(f"expected {reference} to lead somewhere")

    with pytest.raises(ValidationError) as caught:
        Section.model_validate({"token": "env:TOKEN"}, context={"resolve": resolve})
    assert [(error["loc"], error["msg"]) for error in caught.value.errors()] == [
        (("token",), "Value error, expected env:TOKEN to lead somewhere")
    ]
