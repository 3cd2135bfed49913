"""The keys that every provider's section has, params, and path segments."""

from datetime import timedelta
from typing import ClassVar
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from watcher.core.errors import RequestError
from watcher.core.model import Json
from watcher.core.schedule import Pace
from watcher.core.wrong import explain
from watcher.providers.account import Account, Parameters, segment


class Vendor(Account):
    pace: ClassVar[dict[str, str]] = {"min": "2s", "max": "60s"}
    base_url: str = "https://api.example.com"


class VendorParams(Parameters):
    id: str
    place: int = 0


def section(**keys: Json) -> Vendor:
    return Vendor.model_validate(keys)


def test_a_section_without_keys_has_its_vendors_defaults() -> None:
    assert section().model_dump() == {
        "base_url": "https://api.example.com",
        "rate": 5.0,
        "burst": 5,
        "concurrency": 16,
        "timeout": timedelta(seconds=15),
        "deadline": timedelta(days=3),
        "grace": timedelta(seconds=60),
        "trouble_after": timedelta(minutes=5),
        "poll": {"min": timedelta(seconds=2), "max": timedelta(seconds=60), "mode": "backoff"},
    }


def test_one_key_of_the_pace_leaves_the_vendors_others() -> None:
    assert section(poll={"max": "10m"}).poll == Pace(min=timedelta(seconds=2), max=timedelta(minutes=10))
    assert section(poll={"mode": "fixed"}).poll.mode == "fixed"


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com/", "https://api.example.com"),
        ("http://127.0.0.1:8080/prefix//", "http://127.0.0.1:8080/prefix"),
        ("https://[::1]:8443/a%20b", "https://[::1]:8443/a%20b"),
    ],
)
def test_paths_are_appended_to_a_root_without_a_slash(url: str, root: str) -> None:
    assert Account(base_url=url).base_url == root


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://api.example.com",
        "https://",
        "https://api.example.com?key=hidden",
        "https://api.example.com#part",
        "https://user:hidden@api.example.com",
        "https://:hidden@api.example.com",
        "https://api.example.com:port",
        "https://api.example.com:99999",
        "https://api.example.com:0",
        "https://[::1",
        "https://api.example.com/two words",
        "https://api.example.com/\r\nhost: other",
        "https://bücher.example",
    ],
)
def test_a_root_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValidationError, match="expected scheme, host and an optional prefix") as caught:
        Account(base_url=url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rate", 0),
        ("rate", "inf"),
        ("rate", "nan"),
        ("burst", 0),
        ("concurrency", 0),
        ("timeout", 0),
        ("deadline", "0s"),
        ("grace", "-1s"),
        ("poll", {"min": "0s"}),
        ("poll", {"min": "2m"}),
        ("poll", {"often": True}),
        ("poll", "fast"),
        ("speed", 5),
    ],
)
def test_a_key_that_makes_no_sense_is_named(key: str, value: Json) -> None:
    with pytest.raises(ValidationError) as caught:
        section(**{key: value})
    assert caught.value.errors()[0]["loc"][0] == key


@pytest.mark.parametrize(
    ("key", "value", "most"),
    [
        ("rate", 1e300, "1000000000"),
        ("burst", 10**309, "1000000000"),
        ("concurrency", 10_001, "10000"),
        ("concurrency", 10**18, "10000"),
    ],
    ids=["rate", "burst", "concurrency", "an-absurd-concurrency"],
)
def test_a_number_that_nothing_could_live_up_to_is_refused(key: str, value: int, most: str) -> None:
    with pytest.raises(ValidationError) as caught:
        section(**{key: value})
    assert explain(caught.value, shown=[key]) == f"{key}: expected a number of at most {most}, got {value}"


@pytest.mark.parametrize(("key", "value"), [("rate", 1e9), ("burst", 10**9), ("concurrency", 10_000), ("grace", 0)])
def test_what_the_user_wrote_wins(key: str, value: int) -> None:
    written = getattr(section(**{key: value}), key)
    assert written == (timedelta(seconds=value) if key == "grace" else value)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "params: id: expected, and missing"),
        (
            {"id": 1, "place": "first"},
            ("params: id: expected a string, got a number; place: expected a whole number, got a string"),
        ),
        ({"id": "x", "idd": "y"}, "params: idd: unknown; expected one of id, place"),
    ],
)
def test_params_are_refused_with_every_reason(params: dict[str, Json], problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        VendorParams.check(params)
    assert str(caught.value) == problem


@settings(deadline=None)
@given(st.text())
def test_a_segment_is_one_segment_and_can_be_read_back(text: str) -> None:
    encoded = segment(text)
    assert unquote(encoded) == text
    assert encoded not in {".", ".."}
    assert not set(encoded) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%")
