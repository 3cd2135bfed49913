"""What holds whatever happens: any sequence of outcomes, any bytes from a sender, any body on its way."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import orjson
from cloudevents.core.bindings.http import HTTPMessage, from_binary_event
from hypothesis import example, given
from hypothesis import strategies as st
from make import RUNNING, SECRET, START, message, terms, watch, webhook, whsec
from standardwebhooks import Webhook as Verifier

from watcher.core.delivery import Delivery
from watcher.core.errors import RequestError
from watcher.core.event import event_id
from watcher.core.lifecycle import advance, cancel
from watcher.core.model import Ending, EventType, Json, Mark, Observation, Reason, State, Step, Watch
from watcher.core.outcome import Broken, Denied, Final, Missing, Refused, Seen, Throttled
from watcher.core.request import CancelRequest, derived_id, read_request
from watcher.core.signature import sign
from watcher.core.webhook import post

# --- a random walk --------------------------------------------------------------------------------------------

DICE = st.floats(0, 1, exclude_max=True)
PAUSES = st.none() | st.timedeltas(timedelta(0), timedelta(hours=24))
MESSAGES = st.lists(
    st.builds(message, st.sampled_from("abc"), st.sampled_from(["accepted", "sent", "delivered", "rejected"])),
    max_size=3,
    unique_by=lambda one: one.key,
).map(tuple)
STATUSES = st.sampled_from(
    [(None, None), ("QUEUED", State.PENDING), ("RUNNING", State.IN_PROGRESS), ("DONE", State.SUCCEEDED)]
)
OBSERVATIONS = st.builds(
    lambda status, **others: Observation(*status, **others),
    STATUSES,
    progress=st.none() | st.floats(0, 100),
    messages=MESSAGES,
    total=st.none() | st.integers(0, 4),
    not_before=st.none() | st.datetimes(timezones=st.just(UTC)),
)
OUTCOMES: st.SearchStrategy[Final] = st.one_of(
    st.builds(Seen, OBSERVATIONS, PAUSES),
    st.builds(Missing, existed=st.booleans()),
    st.builds(Throttled, st.just(429), PAUSES),
    st.builds(Denied, st.sampled_from([401, 403])),
    st.builds(Refused, st.just(302)),
    st.builds(Broken, st.sampled_from([Reason.UNREACHABLE, Reason.SERVER_ERROR, Reason.MALFORMED])),
)


@dataclass(frozen=True)
class Polled:
    """One poll of a walk: what it brought, and how far the wall clock strayed from the wait before it."""

    outcome: Final
    strayed: timedelta
    dice: float


WALKS = st.lists(
    st.builds(Polled, OUTCOMES, st.timedeltas(-timedelta(hours=2), timedelta(hours=2)), DICE), min_size=1, max_size=30
)
MODES = st.sampled_from(["fixed", "backoff"])


def walk(polls: list[Polled], *, mode: str) -> Iterator[tuple[Watch, Step]]:
    """Poll a fresh watch until it is finished; yield what it was before, and the step."""
    current, now = watch(), START
    for poll in polls:
        step = advance(current, poll.outcome, now=now, terms=terms(mode=mode), dice=poll.dice)
        yield current, step
        if step.wait is None:
            return
        current, now = step.watch, now + step.wait + poll.strayed


@given(WALKS, MODES)
def test_a_watch_is_finished_or_due_later_than_now(polls: list[Polled], mode: str) -> None:
    for _, step in walk(polls, mode=mode):
        if step.wait is None:
            assert step.watch.ending is not None
            assert step.watch.finished_at == step.watch.changed_at == step.events[-1].at
            assert step.watch.trouble is None
        else:
            assert (step.watch.ending, step.watch.finished_at) == (None, None)
            assert step.wait >= terms().pace.min


@given(WALKS, MODES)
def test_events_are_gapless_ordered_and_end_with_the_only_finished(polls: list[Polled], mode: str) -> None:
    steps = [step for _, step in walk(polls, mode=mode)]
    events = [event for step in steps for event in step.events]
    assert [event.sequence for event in events] == [*range(1, len(events) + 1)]
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert [event.id for event in events] == [event_id("a-random-uid", number) for number in range(1, len(events) + 1)]
    finished = [event for event in events if event.type is EventType.FINISHED]
    assert finished == (events[-1:] if steps[-1].wait is None else [])


@given(WALKS, MODES)
def test_a_body_says_what_its_event_says(polls: list[Polled], mode: str) -> None:
    for event in (event for _, step in walk(polls, mode=mode) for event in step.events):
        body = orjson.loads(event.body)
        assert (body["type"], datetime.fromisoformat(body["timestamp"])) == (event.type, event.at)
        assert (body["data"]["watch"], body["data"]["sequence"]) == ("order-42", event.sequence)
        assert (body["data"]["params"], body["data"]["labels"]) == ({"request_id": "9d05"}, {"order": "42"})


@given(WALKS, MODES)
def test_a_step_follows_the_one_before_and_what_it_tells_it_writes(polls: list[Polled], mode: str) -> None:
    for before, step in walk(polls, mode=mode):
        assert (step.before, step.watch.sequence) == (before.sequence, before.sequence + len(step.events))
        if not step.writes:
            assert step.events == ()
            assert replace(step.watch, trouble=None) == replace(before, trouble=None)


@given(WALKS, MODES)
def test_only_what_was_seen_changes_what_is_known(polls: list[Polled], mode: str) -> None:
    for (before, step), poll in zip(walk(polls, mode=mode), polls, strict=False):
        if not isinstance(poll.outcome, Seen):
            assert step.watch.snapshot == before.snapshot


@given(WALKS, MODES)
def test_a_final_message_never_changes_and_no_message_is_forgotten(polls: list[Polled], mode: str) -> None:
    marks: dict[str, Mark] = {}
    for _, step in walk(polls, mode=mode):
        known = step.watch.snapshot.messages if step.watch.snapshot else {}
        assert marks.keys() <= known.keys()
        assert all(known[key] == mark for key, mark in marks.items() if mark.state.is_final)
        marks = dict(known)


@given(WALKS, MODES)
def test_the_same_observation_twice_is_no_event(polls: list[Polled], mode: str) -> None:
    for (_, step), poll in zip(walk(polls, mode=mode), polls, strict=False):
        if isinstance(poll.outcome, Seen) and step.wait is not None and step.watch.changed_at is not None:
            again = advance(step.watch, poll.outcome, now=step.watch.changed_at, terms=terms(mode=mode), dice=poll.dice)
            assert (again.events, again.writes, again.watch) == ((), False, step.watch)


@given(WALKS, MODES)
def test_trouble_and_recovery_are_told_in_turns(polls: list[Polled], mode: str) -> None:
    spells = (EventType.TROUBLE, EventType.RECOVERED)
    told = [event.type for _, step in walk(polls, mode=mode) for event in step.events if event.type in spells]
    assert told == [spells[place % 2] for place in range(len(told))]


@given(WALKS, MODES, st.timedeltas(-timedelta(hours=2), timedelta(hours=2)))
def test_a_watch_can_be_cancelled_wherever_it_stands(polls: list[Polled], mode: str, strayed: timedelta) -> None:
    for before, _ in walk(polls, mode=mode):
        step = cancel(before, now=START + strayed, intent=7)
        assert (step.wait, step.watch.ending, step.writes, step.intent) == (None, Ending.CANCELLED, True, 7)
        assert [event.type for event in step.events] == [EventType.FINISHED]
        assert step.events[0].at >= (before.changed_at or before.accepted_at)


# --- requests -------------------------------------------------------------------------------------------------

NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PARAMS = st.dictionaries(st.text(), JSON, max_size=5)
WRITTEN = st.fixed_dictionaries(
    {"provider": st.text() | JSON, "params": PARAMS | JSON},
    optional={
        "id": st.text() | JSON,
        "cancel": st.text() | JSON,
        "webhooks": st.lists(st.text()) | JSON,
        "labels": st.dictionaries(st.text(), st.text()) | JSON,
        "deadline": st.text() | JSON,
        "submitted_at": st.datetimes(timezones=st.timezones()).map(str) | st.text() | JSON,
    },
)
RAW = st.binary() | JSON.map(orjson.dumps) | WRITTEN.map(orjson.dumps)


@given(RAW)
@example(b'{"provider":"d7","params":{"x":' + b"[" * 200 + b"]" * 200 + b"}}")
@example(b'{"provider":"d7","params":{},"submitted_at":"9999-12-31T23:59:59-23:59"}')
def test_any_bytes_are_a_request_or_refused(raw: bytes) -> None:
    with suppress(RequestError):
        request = read_request(raw)
        assert isinstance(request, CancelRequest) or request.watch_id


@given(st.text(), PARAMS, st.randoms(use_true_random=False))
def test_a_derived_id_is_the_same_in_whatever_order_the_keys_came(
    provider: str, params: dict[str, Json], random: Random
) -> None:
    keys = list(params)
    random.shuffle(keys)
    assert derived_id(provider, {key: params[key] for key in keys}) == derived_id(provider, params)


# --- deliveries -----------------------------------------------------------------------------------------------

KEYS = st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=3)
IDS = st.text(min_size=1, max_size=200)


@given(KEYS, st.uuids(), JSON)
def test_a_signature_verifies_with_each_of_its_keys(keys: list[bytes], id: UUID, data: Json) -> None:
    body, now = orjson.dumps(data), int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": f"evt_{id.hex}",
        "webhook-timestamp": str(now),
        "webhook-signature": sign(body, keys=keys, id=f"evt_{id.hex}", timestamp=now),
    }
    for key in keys:
        assert Verifier(whsec(key)).verify(body, headers) == data


@given(IDS, JSON)
def test_a_post_is_a_standard_webhook_and_a_cloudevent(id: str, params: Json) -> None:
    now = datetime.now(UTC)
    before = watch(id=id, params={"x": params}, submitted_at=now, accepted_at=now)
    step = advance(before, Seen(RUNNING), now=now, terms=terms(), dice=0.5)
    event = step.events[-1]
    request = post([Delivery(1, "ops", event, 0, now)], webhook(), now=now, agent="watcher/1.2")
    body = orjson.loads(event.body)
    assert Verifier(SECRET).verify(request.body, dict(request.headers)) == body
    parsed = from_binary_event(HTTPMessage(dict(request.headers), request.body))
    assert parsed.get_attributes() == {
        "specversion": "1.0",
        "id": event.id,
        "type": "watch.status.changed",
        "source": "/watcher/d7",
        "subject": id,
        "time": now,
        "sequence": "1",
        "datacontenttype": "application/json",
    }
    assert parsed.get_data() == body
