"""README.md's events and headers are real ones, to the last key: the demo's story, played through the rules."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeAlias

import orjson
import pytest
from readme import TEXT, Block, block, blocks, plain, table

from watcher.config import Config
from watcher.core.delivery import Delivery
from watcher.core.event import provider_changed
from watcher.core.health import FIRST_PROBE, Health
from watcher.core.lifecycle import Terms, advance, begin
from watcher.core.model import Condition, Event, EventType, Reason, State
from watcher.core.outcome import Ask, Broken
from watcher.core.request import WatchRequest
from watcher.core.webhook import post
from watcher.core.webhook_section import SCHEDULES, Webhook
from watcher.core.wire import Response
from watcher.demo.chime import Chime
from watcher.demo.pretend import Reply
from watcher.demo.story import CAMPAIGN_7, CHAT_1, ORDER_42, SHIFT_9, Plot
from watcher.ports import Provider
from watcher.providers import chime, d7, kore, ukg_body
from watcher.providers.answers import folded

Key: TypeAlias = tuple[str | None, int | str]

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
OF_WATCHES = ["watch", "provider", "params", "labels", "sequence"]
OF_PROVIDERS = ["watch", "provider", "sequence"]
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


def outage() -> Iterator[Event]:
    """Yield what is told of D7 while three watches get a 503 five times in five seconds, and then one of them a 200."""
    health, condition, account = Health(), Condition("d7", "uid-of-d7"), ACCOUNTS["d7"]
    probe = 4 + FIRST_PROBE
    for after, reply in (*((second, Reply(503, {})) for second in range(5)), (probe, ORDER_42.stages[0][1])):
        assert health.wait(now=after) == 0
        health.probe(now=after)
        outcome = account.parse(ORDER_42.params, answer(reply, NOW))
        assert not isinstance(outcome, Ask)
        if health.note(f"uid-{after % 3:.0f}", outcome, watches=3, asked_at=after, now=after):
            at = NOW + timedelta(seconds=after)
            report = provider_changed(condition, reason=health.reason, at=at, watches=3)
            condition = report.condition
            yield report.event


@cache
def story() -> dict[Key, Event]:
    told = [*play(ORDER_42), *play(CAMPAIGN_7), *play(CHAT_1, DENIED), *play(SHIFT_9), *outage()]
    return {(event.watch, event.sequence or event.type.value): event for event in told}


def in_story(example: str) -> Event:
    """Find an event of a README's example: by watch and number, or by its type where a provider as a whole is meant."""
    told = json.loads(example)
    return story()[told["data"]["watch"], told["data"]["sequence"] or told["type"]]


def own_keys(event: Event) -> list[str]:
    """Return what is in `data` behind the keys that every event of its kind has."""
    every = OF_WATCHES if event.watch else OF_PROVIDERS
    keys = list(json.loads(event.body)["data"])
    assert keys[: len(every)] == every
    return keys[len(every) :]


@pytest.mark.parametrize("example", blocks("json"), ids=lambda example: example.heading)
def test_each_example_is_an_event_as_it_is_really_made(example: Block) -> None:
    told = json.loads(example.text)
    assert json.dumps(told) == json.dumps(json.loads(in_story(example.text).body))  # as text: the order of keys counts
    assert example.heading == told["type"]


def test_the_keys_that_every_event_has_are_named() -> None:
    said = r"of a watch's event\shas (.*?), and then .*? of a provider's event\shas\s(.*?) first"
    [named] = re.findall(said, TEXT, re.DOTALL)
    assert [re.findall(r"`(\w+)`", words) for words in named] == [OF_WATCHES, OF_PROVIDERS]


def test_an_outage_is_told_once_and_its_end_once() -> None:
    assert [event.type for event in outage()] == [EventType.PROVIDER_DOWN, EventType.PROVIDER_UP]


def test_each_type_has_an_example() -> None:
    assert [example.heading for example in blocks("json")] == [row["type"].strip("`") for row in table("Events")]


def test_the_table_lists_each_type_with_the_keys_of_its_own() -> None:
    listed = {plain(row["type"]): re.findall(r"`(\w+)`", row["keys of its own"]) for row in table("Events")}
    assert listed == {event.type.value: own_keys(event) for event in story().values()}
    assert set(listed) == {kind.value for kind in EventType}


def test_a_reason_of_trouble_is_named_unless_it_is_never_told() -> None:
    [told] = re.findall(r"`reason` is (.*?)\.\n", TEXT, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", told)) == {reason.value for reason in Reason} - {"throttled"}


def headers(event: Event) -> dict[str, str]:
    webhook = Webhook.model_validate({"url": "https://example.com/hooks/watcher", "secret": SECRET})
    return dict(post([Delivery(1, "ops", event, 0, event.at)], webhook, now=event.at, agent="watcher/0.1.0").headers)


def test_the_headers_are_those_of_a_real_post() -> None:
    first, *lines = block("http", "Headers").splitlines()
    assert first == "POST /hooks/watcher HTTP/1.1"
    assert dict(line.split(": ", 1) for line in lines) == headers(in_story(block("json", "message.status.changed")))


def test_the_headers_that_a_provider_s_events_lack_are_named() -> None:
    [told] = re.findall(r"The events of a provider have neither (.*?)\.\n", TEXT)
    of_a_watch = headers(in_story(block("json", "message.status.changed")))
    for kind in (EventType.PROVIDER_DOWN, EventType.PROVIDER_UP):
        of_a_provider = headers(in_story(block("json", kind.value)))
        assert set(re.findall(r"`([\w-]+)`", told)) == set(of_a_watch) - set(of_a_provider)


def test_the_reasons_of_an_outage_are_those_that_health_gives() -> None:
    [told] = re.findall(r"The `reason` can be (.*?);", TEXT)
    given = {health_after(response) for response in (Response(503, {}, b"", NOW), Response(403, {}, b"", NOW))}
    given |= {health_after(Response(404, {}, b"", NOW)), health_after(None)}
    assert set(re.findall(r"`(\w+)`", told)) == {reason.value for reason in given if reason}


def health_after(response: Response | None) -> Reason | None:
    """Return what is wrong with D7 after five polls of one watch, its only one, that brought this answer, or none."""
    health, account = Health(), ACCOUNTS["d7"]
    outcome = account.parse(ORDER_42.params, response) if response else Broken(Reason.UNREACHABLE)
    assert not isinstance(outcome, Ask)
    for second in range(5):
        health.note("uid", outcome, watches=1, asked_at=second, now=second)
    return health.reason


def test_the_schedules_are_the_real_ones() -> None:
    written = {
        plain(row["`retry`"]): row["waits between attempts"].partition(":")[0] for row in table("Deliveries", number=1)
    }
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
