"""What declared providers' recorded answers cannot show: the section, its mistakes, and the URLs that are asked."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue, TypeAdapter, ValidationError
from yarl import URL

from watcher import __version__
from watcher.core.errors import RequestError
from watcher.core.model import Json, Reason
from watcher.core.outcome import Broken, Denied, Missing, Outcome, Refused, Throttled
from watcher.core.schedule import Pace
from watcher.core.wire import Request, Response
from watcher.ports import Provider
from watcher.providers import ProviderSection
from watcher.providers.http import Http

NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
JOBS: dict[str, JsonValue] = {
    "url": "https://api.example.com/v1/jobs/{id}",
    "status": "status",
    "states": {"done": "succeeded"},
}
OWN = {"accept": "application/json", "user-agent": f"watcher/{__version__}"}
PATH_OR_URL = (
    'expected a path such as "/jobs/{id}", or a whole URL such as "https://api.example.com/jobs/{id}"; '
    "{params} may stand behind the host only"
)


def account(**keys: JsonValue) -> Http:
    return Http.model_validate(JOBS | keys)


def complaint(**keys: JsonValue) -> str:
    with pytest.raises(ValidationError) as caught:
        account(**keys)
    (problem,) = caught.value.errors()
    where = f"{'.'.join(map(str, problem['loc']))}: " if problem["loc"] else ""
    return where + problem["msg"].removeprefix("Value error, ")


# --- the section ----------------------------------------------------------------------------------------------


def test_a_section_is_a_provider_with_d7s_defaults() -> None:
    adapter: TypeAdapter[Provider] = TypeAdapter(ProviderSection)
    provider = adapter.validate_python({"type": "http", **JOBS})
    assert provider == account()
    assert provider.type == "http"
    assert (provider.rate, provider.burst, provider.concurrency) == (5, 5, 16)
    assert (provider.timeout, provider.grace) == (timedelta(seconds=15), timedelta(seconds=60))
    assert (provider.deadline, provider.trouble_after) == (timedelta(days=3), timedelta(minutes=5))
    assert provider.poll == Pace(min=timedelta(seconds=5), max=timedelta(minutes=5), mode="backoff")


def test_sections_are_equal_where_their_keys_are_written_alike_whatever_they_have_read() -> None:
    one, same = account(), account()
    one.parse({"id": "7"}, Response(200, {}, b'{"status": "DONE"}', NOW))
    assert one == same
    assert hash(one) == hash(same)
    assert account(status="state") != one
    assert account(states={"done": "failed"}) != one
    assert repr(one.status) == "Expression('status')"
    assert {one.status, same.status} == {one.status}
    assert Http.model_validate(dict(one)) == one
    assert one.model_dump(mode="json")["status"] == "status"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            {"status": "a.b["},
            "status: expected a JMESPath expression; at its end: Invalid jmespath expression",
        ),
        ({"status": "a b"}, "status: expected a JMESPath expression; at character 3: Unexpected token: b"),
        ({"progress": "'x"}, "progress: expected a JMESPath expression; at character 1: Unclosed ' delimiter"),
        ({"status": "a[?b = 'c']"}, "status: expected a JMESPath expression; at character 6: Unknown token '='"),
        ({"status": "upper(a)"}, "status: expected a JMESPath expression; there is no function upper()"),
        ({"status": "a && b[?size(@)]"}, "status: expected a JMESPath expression; there is no function size()"),
        ({"status": "length()"}, "status: expected a JMESPath expression; length() takes 1 argument(s), not 0"),
        ({"status": "length(a, b)"}, "status: expected a JMESPath expression; length() takes 1 argument(s), not 2"),
        ({"status": "(" * 5000}, "status: expected a JMESPath expression; this one is nested too deep"),
        ({"status": " "}, "status: expected a JMESPath expression"),
        ({"status": 7}, "status: expected a JMESPath expression"),
        ({"status": None}, 'status: missing; expected a JMESPath expression, here or in "messages"'),
        (
            {"messages": "m", "message_id": "id"},
            'message_status: expected a JMESPath expression if there is "messages", else none',
        ),
        ({"message_id": "id"}, 'message_id: expected a JMESPath expression if there is "messages", else none'),
        ({"total": "total"}, 'total: expected only beside "messages"'),
        ({"states": {}}, "states: Dictionary should have at least 1 item after validation, not 0"),
        (
            {"states": {"done": "finished"}},
            "states.done: Input should be 'pending', 'in_progress', 'succeeded', 'partially_succeeded' or 'failed'",
        ),
        ({"method": "PUT"}, "method: Input should be 'GET' or 'POST'"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused_at_its_key(keys: dict[str, JsonValue], problem: str) -> None:
    assert complaint(**keys) == problem


def test_functions_that_take_any_number_of_arguments_are_no_mistake() -> None:
    assert str(account(status="not_null(a[1:2], b, c) | merge(@, @).d").status) == (
        "not_null(a[1:2], b, c) | merge(@, @).d"
    )


# --- the url --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        ({}, "https://api.example.com/v1/jobs/7"),
        ({"url": "http://[::1]:8080/{id}"}, "http://[::1]:8080/7"),
        ({"url": "https://api.example.com?job={id}&all=1"}, "https://api.example.com?job=7&all=1"),
        ({"url": "https://api.example.com/%7Eme/{id}/{id}.json"}, "https://api.example.com/%7Eme/7/7.json"),
        ({"url": "/jobs/{id}", "base_url": "https://api.example.com/v2/"}, "https://api.example.com/v2/jobs/7"),
        ({"base_url": "https://api.example.com/v1/"}, "https://api.example.com/v1/jobs/7"),
        (
            {"url": "/x?next=https://other.example/{id}", "base_url": "http://a"},
            "http://a/x?next=https://other.example/7",
        ),
    ],
)
def test_a_url_is_whole_or_is_appended_to_the_base_url(keys: dict[str, JsonValue], asked: str) -> None:
    assert account(**keys).request({"id": "7"}).url == asked


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"url": "https://{host}/jobs/{id}"}, f"url: {PATH_OR_URL}"),
        ({"url": "https://api.example.com:{port}/jobs"}, f"url: {PATH_OR_URL}"),
        ({"url": "https://api.{id}.example.com/jobs"}, f"url: {PATH_OR_URL}"),
        ({"url": "https://api.example.com/jobs/{id"}, f"url: {PATH_OR_URL}"),
        ({"url": "https://api.example.com/jobs/{}"}, f"url: {PATH_OR_URL}"),
        ({"url": "https://api.example.com/jobs/{a.b}"}, f"url: {PATH_OR_URL}"),
        ({"url": "https://api.example.com/two words"}, f"url: {PATH_OR_URL}"),
        ({"url": "https://api.example.com/jobs#{id}"}, f"url: {PATH_OR_URL}"),
        ({"url": "https://api.example.com/100%"}, f"url: {PATH_OR_URL}"),
        ({"url": "https://api.example.com/\r\nhost: other"}, f"url: {PATH_OR_URL}"),
        ({"url": "https://api.example.com/jobs/é"}, f"url: {PATH_OR_URL}"),
        ({"url": "jobs/{id}", "base_url": "https://api.example.com"}, f"url: {PATH_OR_URL}"),
        ({"url": "https://user:hidden@api.example.com/{id}"}, f"url: {PATH_OR_URL}"),
        ({"url": "https://[::1/{id}"}, f"url: {PATH_OR_URL}"),
        ({"url": "/jobs/{id}"}, "base_url: Field required"),
        (
            {"base_url": "https://api.example.com.evil.example"},
            'url: expected a path such as "/jobs/{id}", or a whole URL below "base_url"',
        ),
    ],
)
def test_a_url_that_leads_nowhere_or_anywhere_is_refused(keys: dict[str, JsonValue], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        account(**keys)
    assert problem in [
        f"{''.join(f'{part}: ' for part in error['loc'])}{error['msg'].removeprefix('Value error, ')}"
        for error in caught.value.errors()
    ]
    assert "hidden" not in str(caught.value)


def test_a_section_that_is_no_table_is_refused() -> None:
    with pytest.raises(ValidationError, match="valid dictionary"):
        Http.model_validate("https://api.example.com/{id}")


# --- params ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "params: owner: missing; the url names owner, run"),
        ({"owner": "o"}, "params: run: missing; the url names owner, run"),
        ({"owner": "o", "run": 1, "id": "x"}, "params: id: unknown; the url names owner, run"),
        *(
            ({"owner": "o", "run": run}, "params: run: expected a text that is not empty, or a whole number")
            for run in ("", None, True, 1.5, ["a"], {"a": "b"}, "\ud800")
        ),
    ],
)
def test_params_are_exactly_those_that_the_url_names(params: dict[str, Json], problem: str) -> None:
    provider = account(url="https://api.example.com/{owner}/runs/{run}?of={owner}")
    provider.check({"owner": "o", "run": 0})
    with pytest.raises(RequestError) as caught:
        provider.check(params)
    assert str(caught.value) == problem


def test_a_url_without_params_takes_none() -> None:
    provider = account(url="https://api.example.com/health")
    provider.check({})
    with pytest.raises(RequestError, match="params: id: unknown; the url names none"):
        provider.check({"id": "7"})


NASTY = (
    *("..", ".", "../..", "a/b", "/", "//evil.example", "?x=1", "#f", "%2f", "%2e%2e", "@evil.example", ":8080"),
    *("a\r\nhost: evil.example", "\\", " ", "é/ü", "{b}", "&x=1", ";", "+", "\x00", "😀"),
)
WORDS = st.text(min_size=1) | st.sampled_from(NASTY)


@settings(deadline=None)
@given(a=WORDS, b=WORDS, c=WORDS, n=st.integers())
def test_no_param_breaks_out_of_its_segment_or_its_value(a: str, b: str, c: str, n: int) -> None:
    provider = account(url="https://api.example.com/v1/{a}/of/{b}.json?c={c}&n={n}&end=1")
    params: dict[str, Json] = {"a": a, "b": b, "c": c, "n": n}
    provider.check(params)

    url = URL(provider.request(params).url, encoded=True)

    assert url.raw_authority == "api.example.com"
    segments = url.raw_path.split("/")
    assert len(segments) == 5
    assert [unquote(segment) for segment in segments] == ["", "v1", a, "of", f"{b}.json"]
    assert not {".", ".."} & set(segments)
    assert parse_qsl(url.raw_query_string, keep_blank_values=True) == [("c", c), ("n", str(n)), ("end", "1")]
    assert urlsplit(str(url)).fragment == ""
    assert str(url).isascii()
    assert str(url).isprintable()


# --- answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "meaning"),
    [
        (Response(301, {}, b"", NOW), Refused(301)),
        (Response(304, {}, b"", NOW), Refused(304)),
        (Response(400, {}, b'{"code": "BadRequest"}', NOW), Refused(400, "BadRequest")),
        (Response(401, {}, b"", NOW), Denied(401, renewable=True)),
        (Response(403, {}, b"", NOW), Denied(403)),
        (Response(404, {}, b"", NOW), Missing(404)),
        (Response(410, {}, b"", NOW), Refused(410)),
        (Response(429, {}, b"", NOW), Throttled(429)),
        (Response(429, {"retry-after": "5"}, b"", NOW), Throttled(429, timedelta(seconds=5))),
        (Response(500, {}, b"", NOW), Broken(Reason.SERVER_ERROR, 500)),
        (Response(500, {"retry-after": "5"}, b"", NOW), Broken(Reason.SERVER_ERROR, 500)),
        (Response(503, {}, b"", NOW), Broken(Reason.SERVER_ERROR, 503)),
        (Response(503, {"retry-after": "0"}, b"", NOW), Throttled(503, timedelta(0))),
        (Response(204, {}, b"", NOW), Refused(204, "a success without a body")),
        (Response(200, {}, b"no JSON", NOW), Broken(Reason.MALFORMED, 200, "expected JSON")),
        (Response(200, {}, b"null", NOW), Broken(Reason.MALFORMED, 200, "status: expected a word, found null")),
    ],
)
def test_an_answer_that_is_not_seen_means_what_it_means_everywhere(response: Response, meaning: Outcome) -> None:
    assert account().parse({"id": "7"}, response) == meaning


def test_an_answer_that_does_not_fit_is_never_quoted() -> None:
    provider = account(status="sum(secrets)")
    outcome = provider.parse({"id": "7"}, Response(200, {}, b'{"secrets": ["hunter2"]}', NOW))
    assert outcome == Broken(Reason.MALFORMED, 200, "status: the expression cannot be applied to this answer")


def test_a_number_too_large_for_an_event_is_malformed() -> None:
    provider = account(messages="[{id: 'a', status: 'done', n: sum(n)}]", message_id="id", message_status="status")
    body = b'{"status": "done", "n": [18446744073709551615, 18446744073709551615]}'
    detail = "messages: expected JSON that is not nested too deep, nor of numbers too large"
    assert provider.parse({"id": "7"}, Response(200, {}, body, NOW)) == Broken(Reason.MALFORMED, 200, detail)


def test_a_post_is_sent_without_a_body() -> None:
    assert account(method="POST").request({"id": 7}) == Request("POST", "https://api.example.com/v1/jobs/7", OWN)
