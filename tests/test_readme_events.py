"""README.md's events and headers are real ones, to the last key: the demo's story, played through the rules."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache

import orjson
import pytest
from readme import TEXT, Block, block, blocks, plain, table

from watcher.config import Config
from watcher.core.lifecycle import Terms, advance, begin
from watcher.core.model import Ask, Delivery, Event, EventType, Reason, State
from watcher.core.request import WatchRequest
from watcher.core.webhook import SCHEDULES, Webhook, post
from watcher.core.wire import Response
from watcher.demo.chime import Chime
from watcher.demo.pretend import Reply
from watcher.demo.story import CAMPAIGN_7, CHAT_1, ORDER_42, SHIFT_9, Plot
from watcher.ports import Provider
from watcher.providers import chime, d7, kore, ukg_body
from watcher.providers.answers import folded

NOW = datetime(2026, 11, 23, 7, 30, 0, 123456, UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ACCOUNTS = Config.model_validate(
    {
        "providers": {
            "d7": {"type": "d7", "token": "t"},
            "kore": {"type": "kore", "token": "t", "bot_id": "st-1"},
            "chime": {"type": "chime", "region": Chime.region, "bearer": Chime.bearer},
            "ukg": {"type": "ukg", "base_url": "https://tenant.mykronos.com", "token": "t"},
        }
    }
).providers
LABELS = {"order-42": {"order": "42"}}
DENIED = (-30.0, Reply(403, {"Code": "ForbiddenException"}))


def answer(reply: object, at: datetime) -> Response:
    status, body = (reply.status, reply.body) if isinstance(reply, Reply) else (200, reply)
    return Response(status, {}, orjson.dumps(body), at)


def play(plot: Plot, *earlier: tuple[float, object]) -> Iterator[Event]:
    """Yield the events of one watch, whose answers come in their time."""
    account: Provider = ACCOUNTS[plot.provider]
    request = WatchRequest(
        id=plot.watch, provider=plot.provider, params=dict(plot.params), labels=LABELS.get(plot.watch, {})
    )
    watch = begin(request, uid=f"uid-of-{plot.watch}", now=NOW - timedelta(minutes=1), deadline=account.deadline)
    terms = Terms(account.poll, account.grace, account.trouble_after)
    for after, reply in (*earlier, *plot.stages):
        at = NOW + timedelta(seconds=after)
        outcome = account.parse(plot.params, answer(reply, at))
        if isinstance(outcome, Ask):
            outcome = account.parse(plot.params, answer(plot.results[0][1], at), after=outcome)
        assert not isinstance(outcome, Ask)
        step = advance(watch, outcome, now=at, terms=terms, dice=0.5)
        yield from step.events
        watch = step.watch


@cache
def story() -> dict[tuple[str | None, int | None], Event]:
    told = [*play(ORDER_42), *play(CAMPAIGN_7), *play(CHAT_1, DENIED), *play(SHIFT_9)]
    return {(event.watch, event.sequence): event for event in told}


def own_keys(event: Event) -> list[str]:
    return list(json.loads(event.body)["data"])[5:]


@pytest.mark.parametrize("example", blocks("json"), ids=lambda example: example.heading)
def test_each_example_is_an_event_as_it_is_really_made(example: Block) -> None:
    told = json.loads(example.text)
    event = story()[told["data"]["watch"], told["data"]["sequence"]]
    assert json.dumps(told) == json.dumps(json.loads(event.body))  # as text: the order of keys counts too
    assert example.heading == told["type"]


def test_each_type_has_an_example() -> None:
    assert [example.heading for example in blocks("json")] == [row["type"].strip("`") for row in table("Events")]


def test_the_table_lists_each_type_with_the_keys_of_its_own() -> None:
    listed = {plain(row["type"]): re.findall(r"`(\w+)`", row["keys of its own"]) for row in table("Events")}
    assert listed == {event.type.value: own_keys(event) for event in story().values()}
    assert set(listed) == {kind.value for kind in EventType}


def test_a_reason_of_trouble_is_named_unless_it_is_never_told() -> None:
    [told] = re.findall(r"`reason` is (.*?)\.\n", TEXT, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", told)) == {reason.value for reason in Reason} - {"throttled"}


def test_the_headers_are_those_of_a_real_post() -> None:
    example = json.loads(block("json", "message.status.changed"))["data"]
    event = story()[example["watch"], example["sequence"]]
    delivery = Delivery(1, "ops", event, 0, event.at)
    webhook = Webhook.model_validate({"url": "https://example.com/hooks/watcher", "secret": SECRET})
    made = post(delivery, webhook, now=event.at, agent="watcher/0.1.0")
    first, *lines = block("http", "Headers").splitlines()
    assert first == "POST /hooks/watcher HTTP/1.1"
    assert dict(line.split(": ", 1) for line in lines) == made.headers


def test_the_schedules_are_the_real_ones() -> None:
    written = {plain(row["`retry`"]): row["waits between attempts"].partition(":")[0] for row in table("Deliveries")}
    assert {name: "one attempt" if not waits else " ".join(waits) for name, waits in SCHEDULES.items()} == written


def test_each_word_of_a_provider_has_the_state_that_the_table_says() -> None:
    words = {
        row["provider"].partition(",")[0]: {
            word: State(plain(state))
            for state, cell in row.items()
            if state != "provider"
            for word in cell.split(", ")
            if word
        }
        for row in table("Events", number=1)
    }
    assert {folded(word): state for word, state in words["D7"].items()} == d7.STATES
    assert {folded(word): state for word, state in words["Kore"].items()} == kore.STATES
    assert words["Chime"] == chime.STATES
    assert words["UKG"] == ukg_body.STATES
