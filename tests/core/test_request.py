"""What a sender may write: SPEC, section 3."""

import base64
from datetime import UTC, datetime

import orjson
import pytest
from make import span

from watcher.core.errors import RequestError
from watcher.core.model import Json
from watcher.core.request import CancelRequest, WatchRequest, canonical, derived_id, read_request

ON_TIME = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
MANY_LABELS: dict[str, Json] = {str(number): "" for number in range(20)}
SMALLEST: dict[str, Json] = {"provider": "d7", "params": {"request_id": "9d05"}}
EXTRA = (
    "unknown; expected one of "
    "callback_secret, callback_url, deadline, id, labels, params, provider, submitted_at, webhooks"
)
MONTH = (
    "expected a time such as 2026-11-23T07:30:00Z: month value is outside expected range of 1-12, "
    'got "2026-13-01T00:00:00Z"'
)
ONLY_CANCEL = "unknown; expected one of cancel"
OFFSET = "expected an RFC 3339 time with an offset, such as 2026-11-23T07:30:00Z"
DURATION = 'expected a duration: a number of seconds, or a number with a unit: "250ms", "0.5s", "10m", "2h", "3d"'


def read(**keys: Json) -> WatchRequest | CancelRequest:
    return read_request(orjson.dumps(SMALLEST | keys))


def refusal(raw: bytes) -> str:
    with pytest.raises(RequestError) as refused:
        read_request(raw)
    return str(refused.value)


def nested(levels: int) -> Json:
    value: Json = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_provider_and_params_are_enough() -> None:
    assert read() == WatchRequest(provider="d7", params={"request_id": "9d05"})


def test_a_request_may_say_all_that_is_promised() -> None:
    request = read(
        id="order-42",
        webhooks=["ops"],
        callback_url=None,
        labels={"order": "42"},
        deadline="24h",
        submitted_at="2026-11-23T11:30:00+04:00",
    )
    assert isinstance(request, WatchRequest)
    assert request.model_dump() == {
        "id": "order-42",
        "provider": "d7",
        "params": {"request_id": "9d05"},
        "webhooks": ["ops"],
        "callback_url": None,
        "callback_secret": None,
        "labels": {"order": "42"},
        "deadline": span("24h"),
        "submitted_at": ON_TIME,
    }
    assert request.watch_id == "order-42"


def test_a_cancellation_is_a_request_too() -> None:
    assert read_request(b'{"cancel": "order-42"}') == CancelRequest(cancel="order-42")


@pytest.mark.parametrize(
    ("name", "written", "taken"),
    [
        pytest.param("id", "x", "x", id="shortest-id"),
        pytest.param("id", "é" * 200, "é" * 200, id="longest-id"),
        pytest.param("id", "an id / with ? signs", "an id / with ? signs", id="id-with-spaces-and-signs"),
        pytest.param("labels", MANY_LABELS, MANY_LABELS, id="most-labels"),
        pytest.param("labels", None, {}, id="labels-that-are-null"),
        pytest.param("webhooks", [], [], id="no-webhooks"),
        pytest.param("deadline", 90, span("90s"), id="deadline-in-seconds"),
        pytest.param("submitted_at", "2026-11-23t07:30:00z", ON_TIME, id="time-in-small-letters"),
        pytest.param("params", {"x": nested(100)}, {"x": nested(100)}, id="deepest-params"),
        pytest.param("params", {"x": {"y": ["z"]}}, {"x": {"y": ["z"]}}, id="params-in-params"),
    ],
)
def test_what_is_taken(name: str, written: Json, taken: object) -> None:
    assert read(**{name: written}).model_dump()[name] == taken


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        pytest.param({"id": ""}, "id: expected at least 1 character, got an empty string", id="empty-id"),
        pytest.param({"id": "x" * 201}, "id: expected at most 200 characters, got 201", id="long-id"),
        pytest.param({"id": "a\nb"}, r'id: expected printable characters only, got "a\nb"', id="line-break-in-id"),
        pytest.param({"id": 42}, "id: expected a string, got 42", id="number-as-id"),
        pytest.param({"provider": None}, "provider: expected a string, got null", id="no-provider"),
        pytest.param({"params": []}, "params: expected an object, got a list", id="params-are-a-list"),
        pytest.param({"params": {"x": nested(101)}}, "params: expected at most 100 levels", id="params-too-deep"),
        pytest.param({"provider": 7}, "provider: expected a string, got 7", id="provider-is-a-number"),
        pytest.param({"labels": {"a": 1}}, "labels.a: expected a string, got a number", id="label-is-a-number"),
        pytest.param({"webhooks": "ops"}, 'webhooks: expected a list, got "ops"', id="webhooks-are-a-word"),
        pytest.param({"deadline": "soon"}, f'deadline: {DURATION}, got "soon"', id="deadline-is-no-duration"),
        pytest.param({"submitted_at": 1795419000}, f"submitted_at: {OFFSET}, got 1795419000", id="unix-seconds"),
        pytest.param({"submitted_at": "2026-13-01T00:00:00Z"}, f"submitted_at: {MONTH}", id="a-month-too-many"),
        pytest.param({"state": "sent"}, f"state: {EXTRA}", id="unknown-key"),
        pytest.param({"cancel": "a"}, f"provider: {ONLY_CANCEL}; params: {ONLY_CANCEL}", id="watch-and-cancellation"),
    ],
)  # fmt: skip
def test_what_is_refused_and_why(key: dict[str, Json], reason: str) -> None:
    assert refusal(orjson.dumps(SMALLEST | key)) == reason


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("2026-11-23T07:30:00", id="time-without-offset"),
        pytest.param("2026-11-23", id="a-day-is-no-time"),
        pytest.param("1795419000", id="unix-seconds-as-text"),
        pytest.param("0001-01-01T00:00:00+23:00", id="before-all-time"),
        pytest.param("9999-12-31T23:00:00-23:00", id="after-all-time"),
    ],
)
def test_what_is_no_moment_is_said_with_what_one_looks_like(written: str) -> None:
    reason = f'submitted_at: {OFFSET}, got "{written}"'
    assert refusal(orjson.dumps(SMALLEST | {"submitted_at": written})) == reason


def test_more_than_twenty_labels_are_refused() -> None:
    raw = orjson.dumps(SMALLEST | {"labels": MANY_LABELS | {"one": "more"}})
    assert refusal(raw) == "labels: expected at most 20 members, got 21"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"{}", "provider: expected, and missing; params: expected, and missing", id="nothing-said"),
        pytest.param(b"[]", "expected one JSON object, got a list", id="a-list"),
        pytest.param(
            b'{"cancel": ""}', "cancel: expected at least 1 character, got an empty string", id="cancel-nothing"
        ),
        pytest.param(b" " * (256 * 1024 + 1), "expected at most 256 KiB, got more", id="too-large"),
    ],
)
def test_what_is_no_request_at_all(raw: bytes, reason: str) -> None:
    assert refusal(raw) == reason


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"rubbish", b'{"a": NaN}', b"[" * 2000, b'{"a": 1e999}'])
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    assert refusal(raw).startswith("expected one JSON object: ")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ({"callback_secret": ["canary"]}, "callback_secret: expected a string, got a list"),
        ({"callback_secret": 49151234567}, "callback_secret: expected a string, got a number"),
        ({"labels": {"to": 49151234567}}, "labels.to: expected a string, got a number"),
        ({"labels": {"to": ["canary"]}}, "labels.to: expected a string, got a list"),
        ({"callback_url": {"token": "canary"}}, "callback_url: expected a string, got an object"),
        ({"callback_secrt": "canary"}, f"callback_secrt: {EXTRA}"),
    ],
)
def test_a_refusal_does_not_repeat_what_may_be_a_secret_or_somebodys_number(key: dict[str, Json], reason: str) -> None:
    assert refusal(orjson.dumps(SMALLEST | key)) == reason


def test_what_a_refusal_repeats_is_short() -> None:
    assert refusal(orjson.dumps(SMALLEST | {"deadline": "x" * 1000})) == f'deadline: {DURATION}, got "{"x" * 40}…"'


def test_a_callback_secret_is_in_no_repr() -> None:
    secret = f"whsec_{base64.b64encode(b'canary' * 5).decode()}"
    request = read(callback_url="https://example.com/hook", callback_secret=secret)
    assert isinstance(request, WatchRequest)
    assert request.callback_secret == secret
    assert secret not in repr(request)


def test_a_request_without_an_id_gets_one_of_its_provider_and_params_for_ever() -> None:
    made = derived_id("d7", {"request_id": "9d05", "channel": "sms"})
    assert made == "d7-efec659e11bea2262ba8b71efa1b8651"
    assert WatchRequest(provider="d7", params={"channel": "sms", "request_id": "9d05"}).watch_id == made


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(WatchRequest(provider="d8", params={"request_id": "9d05"}), id="another-provider"),
        pytest.param(WatchRequest(provider="d7", params={"request_id": "9D05"}), id="another-value"),
        pytest.param(WatchRequest(provider="d7", params={"request_id": "9d05", "channel": "sms"}), id="one-more"),
    ],
)
def test_another_request_has_another_id(other: WatchRequest) -> None:
    assert other.watch_id != derived_id("d7", {"request_id": "9d05"})


def test_labels_and_times_are_no_part_of_the_id() -> None:
    request = read(labels={"a": "b"}, deadline="1h", webhooks=["ops"])
    assert isinstance(request, WatchRequest)
    assert request.watch_id == derived_id("d7", {"request_id": "9d05"})


def test_canonical_json_sorts_keys_at_every_level() -> None:
    assert canonical({"b": {"d": 1, "c": [2.0, "é"]}, "a": None}) == '{"a":null,"b":{"c":[2.0,"é"],"d":1}}'.encode()
