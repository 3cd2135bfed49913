"""GET and DELETE /v1/watches: what is shown of watches, and ending one."""

from pathlib import Path
from typing import get_args
from urllib.parse import quote

from http_api import REQUEST, STAMP, api, problem

from watcher.core.model import Ending, Json, State
from watcher.http.asked import WatchesAsked

FRESH: dict[str, Json] = {
    "id": "order-42",
    "provider": "d7",
    "params": {"request_id": "order-42"},
    "labels": {"order": "42"},
    "webhooks": None,
    "callback_url": None,
    "state": "pending",
    "status": None,
    "progress": None,
    "messages": {},
    "trouble": None,
    "outcome": None,
    "sequence": 0,
    "submitted_at": STAMP,
    "accepted_at": STAMP,
    "changed_at": None,
    "deadline_at": "2026-11-26T12:00:00.123456Z",
    "finished_at": None,
}
SEEN: dict[str, Json] = FRESH | {"state": "in_progress", "status": "STEP-1", "sequence": 1, "changed_at": STAMP}
CHANGED: dict[str, Json] = {
    "cursor": 1,
    "type": "watch.status.changed",
    "timestamp": STAMP,
    "data": {
        "watch": "order-42",
        "provider": "d7",
        "params": {"request_id": "order-42"},
        "labels": {"order": "42"},
        "sequence": 1,
        "from": None,
        "to": "STEP-1",
        "from_state": None,
        "to_state": "in_progress",
        "progress": None,
        "counts": {},
        "detail": {},
    },
}
WAITING: dict[str, Json] = {
    "id": 1,
    "webhook": "ops",
    "type": "watch.status.changed",
    "watch": "order-42",
    "sequence": 1,
    "status": "waiting",
    "attempts": 0,
    "due_at": STAMP,
    "last_at": None,
    "last_status": None,
    "last_error": None,
    "duration": None,
    "held": None,
    "held_until": None,
    "failed": None,
}


async def test_watches_are_listed_in_pages_with_a_cursor_until_there_are_no_more(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for name in ["order-42", "b", "c"]:
            await served.daemon.watch(name)
        page = await served.get("/v1/watches?limit=2")
        assert page.json == {
            "watches": [FRESH, FRESH | {"id": "b", "params": {"request_id": "b"}}],
            "next": 2,
        }
        page = await served.get("/v1/watches?limit=2&after=2")
        assert page.json == {"watches": [FRESH | {"id": "c", "params": {"request_id": "c"}}], "next": None}


async def test_watches_are_narrowed_by_state_provider_and_every_label(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for labels in [{"a": "1", "b": "2"}, {"a": "1"}, {"b": "2=3&ü"}]:
            await served.post("/v1/watches", {**REQUEST, "id": "-".join(labels.values()), "labels": labels})

        async def ids(query: str) -> list[str]:
            answer = await served.get(f"/v1/watches?{query}")
            assert isinstance(answer.json, dict)
            assert isinstance(answer.json["watches"], list)
            return [str(watch["id"]) for watch in answer.json["watches"] if isinstance(watch, dict)]

        assert await ids("label=a=1") == ["1-2", "1"]
        assert await ids("label=a=1&label=b=2") == ["1-2"]
        assert await ids("label=b=2%3D3%26%C3%BC") == ["2=3&ü"]
        assert await ids("state=open&provider=d7") == ["1-2", "1", "2=3&ü"]
        assert await ids("state=failed") == []
        assert await ids("provider=kore") == []


def test_every_word_for_a_state_can_be_asked_for() -> None:
    words, _ = get_args(WatchesAsked.model_fields["state"].annotation)
    assert set(get_args(words)) == {"open", "trouble", *State, *Ending}


WRONG = [
    ("limit=0", "limit", "expected a number of at least 1"),
    ("limit=1001", "limit", "expected a number of at most 1000"),
    ("limit=", "limit", "expected a whole number"),
    ("limit=1_0", "limit", "expected a whole number"),
    ("limit=%D9%A1", "limit", "expected a whole number"),
    ("limit=1&limit=2", "limit", "expected once"),
    ("after=-1", "after", "expected a whole number"),
    ("after=9223372036854775808", "after", "expected a number of at most 9223372036854775807"),
    ("after=99999999999999999999", "after", "expected a whole number"),
    ("label=novalue", "label", "expected key=value, and each key once"),
    ("label=a=1&label=a=2", "label", "expected key=value, and each key once"),
    ("nonsense=1", "nonsense", "unknown; expected one of after, label, limit, provider, state"),
]


async def test_a_wrong_parameter_is_named_with_what_was_expected(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for query, where, expected in WRONG:
            answer = await served.get(f"/v1/watches?{query}")
            assert (answer.status, answer.type) == (400, "application/problem+json")
            wrong: Json = {"where": where, "expected": expected}
            assert answer.json == problem(400, f"query: {where}: {expected}", wrong)


async def test_a_wrong_state_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        answer = await served.get("/v1/watches?state=done&limit=x")
        assert isinstance(answer.json, dict)
        assert answer.json["errors"] == [
            {
                "where": "state",
                "expected": 'expected "open", "trouble", "pending", "in_progress", "succeeded", "partially_succeeded", '
                '"failed", "expired", "gone" or "cancelled"',
            },
            {"where": "limit", "expected": "expected a whole number"},
        ]


async def test_a_watch_is_shown_with_its_timeline(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        (event,) = (await served.daemon.change()).events
        answer = await served.get("/v1/watches/order-42")
        events: list[Json] = [CHANGED | {"id": event.id}]
        deliveries: list[Json] = [WAITING | {"event_id": event.id}]
        assert answer.json == SEEN | {"events": events, "deliveries": deliveries}


async def test_what_is_not_there_is_answered_404(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        assert (await served.get("/v1/watches/nobody")).json == problem(404, "there is no watch of this id")
        answer = await served.get("/v1/nothing")
        assert answer.json == problem(404, "path: there is nothing here; /openapi.json says what is where")


async def test_a_watch_is_cancelled_once(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        answer = await served.ask("DELETE", "/v1/watches/order-42")
        taken: dict[str, Json] = {"status": 202, "result": "cancelling", "id": "order-42", "detail": None}
        assert (answer.status, answer.json) == (202, taken)
        (intent,) = await served.daemon.store.intents()
        assert "uid-order-42" in repr(intent)
        await served.daemon.finish()
        answer = await served.ask("DELETE", "/v1/watches/order-42")
        known: Json = taken | {"status": 200, "result": "known", "detail": "known already: nothing changed"}
        assert (answer.status, answer.json) == (200, known)
        answer = await served.ask("DELETE", "/v1/watches/nobody")
        assert answer.json == problem(404, "there is no watch of this id")


WEIRD = [
    *("a/b", "a//b", "/", "..", ".", "../../etc/passwd", "100%", "100%2F", "%25", "?a=1#b", "a b+c", "{id}"),
    *("ü-€-😀", "a;b:c@d&e=f", '"', "\\", "x" * 200, "€" * 200),
]
NO_ID = ["%00", "%FF", "%", "%zz", "a%0Ab", "%ED%A0%80", "x" * 201]


async def test_any_id_can_be_asked_for_percent_encoded(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for name in WEIRD:
            assert (await served.post("/v1/watches", REQUEST | {"id": name})).status == 201
        for name in WEIRD:
            path = f"/v1/watches/{quote(name, safe='').replace('.', '%2E')}"
            answer = await served.get(path)
            assert isinstance(answer.json, dict)
            assert (answer.status, answer.json["id"]) == (200, name)
            assert (await served.ask("DELETE", path)).status == 202


async def test_what_can_be_no_id_is_not_found(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        found = [(await served.get(f"/v1/watches/{path}")).status for path in NO_ID]
        ended = [(await served.ask("DELETE", f"/v1/watches/{path}")).status for path in NO_ID]
        assert found == ended == [404] * len(NO_ID)
        assert await served.daemon.records.rejected() == []


OTHER_METHODS = [
    ("PUT", "/v1/watches", "GET, HEAD, POST"),
    ("POST", "/v1/watches/order-42", "DELETE, GET, HEAD"),
    ("OPTIONS", "/v1/watches", "GET, HEAD, POST"),
    ("POST", "/healthz", "GET, HEAD"),
    ("GET", "/v1/deliveries/replay", "POST"),
]


async def test_another_method_is_answered_405_with_those_that_there_are(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for method, path, allowed in OTHER_METHODS:
            answer = await served.ask(method, path)
            assert (answer.status, answer.headers["Allow"]) == (405, allowed)
            assert answer.json == problem(405, f"method: expected one of {allowed}")
        assert (await served.ask("HEAD", "/v1/events/stream")).status == 405


async def test_head_is_get_without_a_body(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        got, headed = await served.get("/v1/watches"), await served.ask("HEAD", "/v1/watches")
        assert (headed.status, headed.body) == (200, b"")
        assert headed.headers["Content-Length"] == str(len(got.body))
