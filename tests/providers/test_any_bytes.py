"""Whatever a provider sends, it has a meaning: nothing that arrives is an exception out of `parse` or `granted`."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue, TypeAdapter

from watcher.core.model import Params
from watcher.core.outcome import Ask, Broken, Denied, Final, Grant, Throttled
from watcher.core.wire import Request, Response
from watcher.ports import Provider
from watcher.providers import ProviderSection

FOLDER = Path(__file__).parent / "samples"
RECEIVED_AT = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
TYPES = sorted(section.model_fields["type"].default for section in get_args(get_args(ProviderSection)[0]))

JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "retry-after": st.text()
        | st.integers().map(str)
        | st.datetimes().map(lambda at: f"{at:%a, %d %b %Y} 1:2:3 GMT"),
        "content-location": st.text() | st.just("https://[") | st.just("//evil.example/x"),
        "location": st.text(),
        "x-amzn-errortype": st.text(),
    },
)
STATUSES = st.sampled_from([200, 200, 200, 207, 303, 400, 401, 403, 404, 429, 503]) | st.integers(0, 999)


def provider(type: str) -> Provider:
    section = orjson.loads((FOLDER / f"{type}.json").read_bytes())
    adapter: TypeAdapter[Provider] = TypeAdapter(ProviderSection)
    return adapter.validate_python({"type": type, **section})


def recorded(type: str) -> list[dict[str, JsonValue]]:
    return [orjson.loads(path.read_bytes()) for path in sorted((FOLDER / type).glob("*.json"))]


def params(type: str) -> Params:
    found = next(sample["params"] for sample in recorded(type) if "section" not in sample)
    assert isinstance(found, dict)
    return found


ACCOUNTS = {name: provider(name) for name in TYPES}
PARAMS = {name: params(name) for name in TYPES}
BODIES = {name: [sample["body"] for sample in recorded(name) if isinstance(sample["body"], dict)] for name in TYPES}


@st.composite
def almost(draw: st.DrawFn, bodies: Sequence[JsonValue]) -> JsonValue:
    """Draw a recorded body in which one place, at any depth, holds something else."""

    def spoil(value: JsonValue) -> JsonValue:
        places = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
        if not places or draw(st.integers(0, 3)) == 0:
            return draw(JSON)
        place = draw(st.sampled_from(places))
        if isinstance(value, dict):
            return {key: spoil(inner) if key == place else inner for key, inner in value.items()}
        assert isinstance(value, list)
        return [spoil(inner) if at == place else inner for at, inner in enumerate(value)]

    return spoil(draw(st.sampled_from(bodies)))


def test_every_provider_of_the_closed_list_has_recorded_answers() -> None:
    assert sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir()) == TYPES


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("follows", [False, True], ids=["first", "follow-up"])
@settings(deadline=None)  # the machine may be busy
@given(data=st.data())
def test_any_answer_to_a_poll_is_an_outcome(type: str, data: st.DataObject, *, follows: bool) -> None:
    account, asked = ACCOUNTS[type], PARAMS[type]
    after = Ask(Request("GET", account.request(asked).url)) if follows else None

    outcome = account.parse(asked, data.draw(responses(type)), after=after)

    assert isinstance(outcome, (*get_args(Final), Ask))
    assert repr(outcome)


@pytest.mark.parametrize("type", TYPES)
@settings(deadline=None)  # the machine may be busy
@given(data=st.data())
def test_any_answer_to_a_login_is_a_grant_or_the_reason_why_not(type: str, data: st.DataObject) -> None:
    answer = ACCOUNTS[type].granted(data.draw(responses(type) | logins()))
    assert isinstance(answer, Grant | Denied | Throttled | Broken)


def responses(type: str) -> st.SearchStrategy[Response]:
    bodies = st.binary() | JSON.map(orjson.dumps) | almost(BODIES[type]).map(orjson.dumps)
    return st.builds(Response, STATUSES, HEADERS, bodies, st.just(RECEIVED_AT))


def logins() -> st.SearchStrategy[Response]:
    """Draw answers that are nearly a grant, JWTs that are none among them."""
    words = st.text() | st.from_regex(r"[\w-]+\.[\w-]+\.[\w-]*", fullmatch=True)
    lives = st.floats() | st.integers() | st.text()
    grants = st.fixed_dictionaries({"access_token": words}, optional={"expires_in": lives, "refresh_token": st.text()})
    bodies = grants.map(lambda grant: json.dumps(grant).encode())  # numbers of any size, and NaN
    return st.builds(Response, st.just(200), HEADERS, bodies, st.just(RECEIVED_AT))


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 1_000 + b"]" * 1_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"messages":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"status": "s", "x": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"messages": [{"msg_id": "m", "status": "s", "reference": ' + b'{"a":' * 600 + b"1" + b"}" * 600 + b"}]}",
        b'{"status": "s", "count": 1e999, "percentageComplete": 1e999}',
        b'{"status": "\\ud800", "messages": [{"msg_id": "\\udfff", "status": "\\ud800"}]}',
        b'"' + b"a" * 4_000_000 + b'"',
        "\ufeff{}".encode(),
        b"\xff\xfe{\x00}\x00",
        b"\x1f\x8b\x08\x00",
    ],
    ids=lambda body: f"{body[:12]!r} {len(body)}",
)
def test_hostile_bodies_are_outcomes_too(type: str, body: bytes) -> None:
    account, asked = ACCOUNTS[type], PARAMS[type]
    for status in (200, 207, 400, 500):
        outcome = account.parse(asked, Response(status, {}, body, RECEIVED_AT))
        assert isinstance(outcome, get_args(Final))
        assert isinstance(account.granted(Response(status, {}, body, RECEIVED_AT)), Denied | Throttled | Broken)
