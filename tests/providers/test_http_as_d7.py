"""D7 declared by hand, as the README shows it, sees what the built-in provider sees and tells the same events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import orjson
import pytest
from pydantic import JsonValue

from watcher.core.lifecycle import Terms, advance, begin
from watcher.core.model import Event, Json
from watcher.core.outcome import Broken, Outcome, Refused, Seen
from watcher.core.request import WatchRequest
from watcher.core.wire import Response
from watcher.ports import Provider
from watcher.providers.d7 import D7
from watcher.providers.http import Http

NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
REQUEST_ID = "9d056a09-0fc4-4f68-9058-3846d58aa244"
PARAMS = {"request_id": REQUEST_ID}
BUILT_IN = D7.model_validate({"token": "d7-token"})
BY_HAND = Http.model_validate(
    {
        "url": "https://api.d7networks.com/report/v1/message-log/{request_id}",
        "auth": {"type": "bearer", "token": "d7-token"},
        "messages": "contains(keys(@), 'messages') && (messages || `[]`)",
        "message_id": "msg_id",
        "message_status": "status",
        "total": "total_recipients",
        "states": {
            "accepted": "pending",
            "scheduled": "pending",
            "processed": "in_progress",
            "sent": "in_progress",
            "delivered": "succeeded",
            "read": "succeeded",
            "undelivered": "failed",
            "not_reachable": "failed",
            "spam_content": "failed",
            "insufficient_credit": "failed",
            "rejected": "failed",
            "expired": "failed",
            "failed": "failed",
        },
    }
)
# A declaration compares nothing with what was asked for; D7's own documentation shows the log of another request.
OTHERS = {"case-4.4.7-log-of-another-request"}
FOLDER = Path(__file__).parent / "samples" / "d7"
SAMPLES = {
    path.stem: sample
    for path in sorted(FOLDER.glob("*.json"))
    if 200 <= (sample := orjson.loads(path.read_bytes())).get("status", 200) < 300 and path.stem not in OTHERS
}
Gist: TypeAlias = "tuple[object, ...]"


def gist(outcome: Outcome) -> Gist:
    """Leave out what a declaration does not say: details, and when a scheduled message starts."""
    if not isinstance(outcome, Seen):
        assert isinstance(outcome, Broken | Refused)
        return (type(outcome), outcome.http_status)
    observation = outcome.observation
    messages = [(message.key, message.status, message.state) for message in observation.messages]
    return (
        outcome.retry_after,
        observation.status,
        observation.state,
        observation.progress,
        observation.total,
        observation.unknown,
        messages,
    )


def response(sample: dict[str, JsonValue]) -> Response:
    body, headers, status = sample["body"], sample.get("headers", {}), sample.get("status", 200)
    assert isinstance(headers, dict)
    assert isinstance(status, int)
    raw = body.encode() if isinstance(body, str) else orjson.dumps(body)
    return Response(status, {name: str(text) for name, text in headers.items()}, raw, NOW)


def told(provider: Provider, answers: list[Response]) -> list[Event]:
    """Poll once for each answer, a minute apart, until the watch is finished."""
    request = WatchRequest(provider="d7", params=PARAMS)
    watch = begin(request, uid="u1", now=NOW, deadline=timedelta(days=3))
    terms = Terms(provider.poll, provider.grace, provider.trouble_after)
    events: list[Event] = []
    for minute, answer in enumerate(answers):
        outcome = provider.parse(PARAMS, answer)
        assert isinstance(outcome, Seen)
        step = advance(watch, outcome, now=NOW + timedelta(minutes=minute), terms=terms, dice=0.5)
        watch = step.watch
        events.extend(step.events)
        if watch.ending is not None:
            break
    return events


def without_detail(event: Event) -> Event:
    body = orjson.loads(event.body)
    body["data"].pop("detail", None)
    return replace(event, body=orjson.dumps(body))


def log(total: int | None, *messages: tuple[str, str]) -> Response:
    listed: list[Json] = [
        {"msg_id": key, "status": status, "recipient": "+9715097526xx", "country": "AE"} for key, status in messages
    ]
    body: dict[str, Json] = {"request_id": REQUEST_ID, "channel": "sms", "messages": listed}
    if total is not None:
        body["total_recipients"] = total
    return Response(200, {}, orjson.dumps(body), NOW)


def test_it_asks_for_the_same_as_the_built_in_one() -> None:
    theirs, ours = (
        provider.authorize(provider.request(PARAMS), None, now=NOW, nonce="n") for provider in (BUILT_IN, BY_HAND)
    )
    assert (ours.method, ours.url, ours.body) == (theirs.method, theirs.url, theirs.body)
    assert {**ours.headers, **{name.lower(): text for name, text in theirs.headers.items()}} == ours.headers


@pytest.mark.parametrize("name", SAMPLES)
def test_it_sees_in_every_recorded_success_what_the_built_in_one_sees(name: str) -> None:
    answer = response(SAMPLES[name])
    assert gist(BY_HAND.parse(PARAMS, answer)) == gist(BUILT_IN.parse(PARAMS, answer))


@pytest.mark.parametrize(
    "answers",
    [
        [
            log(0),
            log(2),
            log(2, ("a", "accepted")),
            log(2, ("a", "sent")),
            log(2, ("a", "sent"), ("b", "sent")),
            log(2, ("b", "delivered")),
            log(2, ("a", "un_delivered"), ("b", "delivered")),
        ],
        [log(3, ("a", "delivered")), log(3, ("b", "delivered"), ("c", "delivered"))],
        [log(1, ("a", "scheduled")), log(1, ("a", "on_its_way")), log(1, ("a", "not-reachable"))],
        [log(None, ("a", "read"), ("b", "READ"))],
    ],
    ids=["partial", "total", "unknown", "whatsapp"],
)
def test_it_tells_the_events_of_the_built_in_one(answers: list[Response]) -> None:
    theirs, ours = told(BUILT_IN, answers), told(BY_HAND, answers)
    assert [without_detail(event) for event in ours] == [without_detail(event) for event in theirs]
    assert ours[-1].type == "watch.finished"


@pytest.mark.parametrize("name", SAMPLES)
def test_it_tells_of_every_recorded_success_what_the_built_in_one_tells(name: str) -> None:
    answer = response(SAMPLES[name])
    if isinstance(BUILT_IN.parse(PARAMS, answer), Seen):
        theirs, ours = told(BUILT_IN, [answer]), told(BY_HAND, [answer])
        assert [without_detail(event) for event in ours] == [without_detail(event) for event in theirs]
