"""What an answer's HTTP status, its `Retry-After` and its error code mean, for every provider alike."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from watcher.core.model import Reason
from watcher.core.outcome import Broken, Denied, Missing, Refused, Throttled, Unseen
from watcher.core.wire import Response
from watcher.providers.answers import LONGEST_PAUSE, Part, error_code, folded, read_as, read_json, retry_after, unseen

NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)


class Thing(BaseModel):
    name: str
    size: int = 0


def answer(status: int = 200, body: object = b"", **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(status, {name.replace("_", "-"): text for name, text in headers.items()}, raw, NOW)


# --- the HTTP status ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "meaning"),
    [
        (answer(200), None),
        (answer(202), None),
        (answer(299), None),
        (answer(200, retry_after="5"), None),
        (answer(301), Refused(301)),
        (answer(304), Refused(304)),
        (answer(400, {"code": "BadRequest"}), Refused(400, "BadRequest")),
        (answer(401, {"code": "Expired"}), Denied(401, "Expired", renewable=True)),
        (answer(402), Refused(402)),
        (answer(403, {"code": "AccessDenied"}), Denied(403, "AccessDenied")),
        (answer(404), Missing(404)),
        (answer(410), Refused(410)),
        (answer(429), Throttled(429)),
        (answer(429, retry_after="5"), Throttled(429, timedelta(seconds=5))),
        (answer(500, {"code": "Oops"}), Broken(Reason.SERVER_ERROR, 500, "Oops")),
        (answer(500, retry_after="5"), Broken(Reason.SERVER_ERROR, 500)),
        (answer(503), Broken(Reason.SERVER_ERROR, 503)),
        (answer(503, retry_after="soon"), Broken(Reason.SERVER_ERROR, 503)),
        (answer(503, retry_after="0"), Throttled(503, timedelta(0))),
        (answer(100), Broken(Reason.SERVER_ERROR, 100)),
        (answer(999), Broken(Reason.SERVER_ERROR, 999)),
    ],
)
def test_a_status_means_what_the_specification_says(response: Response, meaning: Unseen | None) -> None:
    assert unseen(response) == meaning


# --- Retry-After ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "wait"),
    [
        ("0", timedelta(0)),
        ("30", timedelta(seconds=30)),
        (" 30 ", timedelta(seconds=30)),
        ("86400", LONGEST_PAUSE),
        ("86401", LONGEST_PAUSE),
        ("9" * 18, LONGEST_PAUSE),
        ("Mon, 23 Nov 2026 07:31:00 GMT", timedelta(minutes=1)),
        ("Mon, 23 Nov 2026 07:31:00 -0000", timedelta(minutes=1)),
        ("Mon, 23 Nov 2026 08:31:00 +0100", timedelta(minutes=1)),
        ("Monday, 23-Nov-26 07:31:00 GMT", timedelta(minutes=1)),
        ("Mon Nov 23 07:31:00 2026", timedelta(minutes=1)),
        ("Mon, 23 Nov 2026 07:29:00 GMT", timedelta(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE),
        ("9" * 5000, None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        ("Mon, 99 Nov 2026 07:31:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_a_day_or_nothing(written: str, wait: timedelta | None) -> None:
    assert retry_after(answer(429, retry_after=written)) == wait


@pytest.mark.parametrize("ahead", [timedelta(hours=-1), timedelta(0), timedelta(hours=1)])
def test_a_date_to_retry_after_is_of_the_clock_that_said_it(ahead: timedelta) -> None:
    theirs = NOW + ahead
    headers = {"date": format_datetime(theirs, usegmt=True)}
    headers["retry-after"] = format_datetime(theirs + timedelta(seconds=30), usegmt=True)
    assert retry_after(Response(429, headers, b"", NOW)) == timedelta(seconds=30)


def test_no_retry_after_is_none() -> None:
    assert retry_after(answer(429)) is None


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec="latin-1")) | st.text(alphabet="0123456789:+- ,GMTonNovSep"))
def test_any_retry_after_is_a_wait_within_a_day_or_nothing(written: str) -> None:
    wait = retry_after(answer(429, retry_after=written))
    assert wait is None or timedelta(0) <= wait <= LONGEST_PAUSE


# --- bodies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        (b'{"name": "x"}', {"name": "x"}),
        (b" null\n", None),
        (b"", Refused(200, "a success without a body")),
        (b" \r\n\t", Refused(200, "a success without a body")),
        (b"<html>", Broken(Reason.MALFORMED, 200, "expected JSON")),
        (b'{"name": NaN}', Broken(Reason.MALFORMED, 200, "expected JSON")),
        (b'{"name": "\xff"}', Broken(Reason.MALFORMED, 200, "expected JSON")),
        (b'{"name": "x"} {}', Broken(Reason.MALFORMED, 200, "expected JSON")),
        (b"[" * 5000 + b"]" * 5000, Broken(Reason.MALFORMED, 200, "expected JSON")),
    ],
)
def test_a_body_is_json_or_says_why_not(body: bytes, meaning: object) -> None:
    assert read_json(answer(200, body)) == meaning


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ({"name": "x", "size": 2, "more": []}, Thing(name="x", size=2)),
        ({}, Broken(Reason.MALFORMED, 200, "name: expected, and missing")),
        ([], Broken(Reason.MALFORMED, 200, "expected a JSON object")),
        (b"", Refused(200, "a success without a body")),
        (b"{", Broken(Reason.MALFORMED, 200, "expected JSON")),
    ],
)
def test_a_body_has_the_shape_or_says_what_was_expected(body: object, meaning: object) -> None:
    assert read_as(Thing, answer(200, body)) == meaning


def test_what_was_expected_never_repeats_the_body_and_stays_short() -> None:
    class Many(BaseModel):
        names: list[int]

    broken = read_as(Many, answer(200, {"names": ["+9715097526xx"] * 1000}))
    assert isinstance(broken, Broken)
    assert "+9715097526xx" not in broken.detail
    assert len(broken.detail) <= 300


def test_details_are_picked_in_order_without_what_is_absent_or_null() -> None:
    class Item(Part):
        status: str

    item = Item.model_validate({"b": 0, "status": "sent", "a": "", "c": None, "z": 1})
    assert list(item.detail("a", "b", "c", "d").items()) == [("a", ""), ("b", 0)]


@pytest.mark.parametrize("word", ["PARTIAL_SUCCESS", "partialSuccess", "Partial-Success", "partial success"])
def test_words_are_compared_whatever_their_case_and_separators(word: str) -> None:
    assert folded(word) == "partialsuccess"


# --- error codes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"detail": {"code": "MESSAGE_LOG_NOT_EXISTS", "message": "…"}}, "MESSAGE_LOG_NOT_EXISTS"),
        ({"detail": [{"loc": ["path"], "msg": "…", "type": "type_error.uuid"}]}, "type_error.uuid"),
        ({"detail": "Not Found"}, ""),
        ({"errors": [{"msg": "Invalid SDK credentials", "code": 4002}]}, "4002"),
        ({"errors": []}, ""),
        ({"__type": "com.amazon#ThrottledClientException"}, "com.amazon#ThrottledClientException"),
        ({"Code": "Forbidden", "Message": "…"}, "Forbidden"),
        ({"error": "invalid_grant", "error_description": "…"}, "invalid_grant"),
        ({"error": True}, ""),
        ({"error": False, "code": 0}, "0"),
        ({"code": "x" * 101}, ""),
        ({"code": None, "type": "about:blank"}, "about:blank"),
        ([{"code": "X"}], ""),
        (b"<html>", ""),
        (b"", ""),
    ],
)
def test_an_error_is_named_by_its_code_and_never_by_free_text(body: object, code: str) -> None:
    assert error_code(answer(400, body)) == code


def test_json_that_could_not_be_written_into_an_event_is_malformed() -> None:
    assert read_json(answer(body=b"[" * 300 + b"]" * 300)) == Broken(Reason.MALFORMED, 200, "expected JSON")
