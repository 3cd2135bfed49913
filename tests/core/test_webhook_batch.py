"""Several events in one POST: its body, its id, who goes again with whom, and what is too large (SPEC, section 7.1)."""

import string
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make import KEY, SECRET, START, STARTED, after, delivery, event, webhook
from standardwebhooks import Webhook as Verifier

from watcher.core.delivery import Attempt, Decision, Delivery, Settled
from watcher.core.model import Json
from watcher.core.signature import sign
from watcher.core.webhook import Kind, Meaning, parcel_id, post, settle
from watcher.core.webhook_section import Webhook

NOW = after("2s")
ATTEMPT = Attempt(1, START, 2.0, 500)
OPS = webhook(batch=100)


def waiting(count: int) -> list[Delivery]:
    """Make so many deliveries of one watch, each of an event with something to lose."""
    return [
        replace(delivery(replace(event(n=n, labels={"order": "42"}), id=f"evt_{n}", sequence=n)), id=n)
        for n in range(1, count + 1)
    ]


def judged(parcel: Sequence[Delivery], kind: Kind, *, section: Webhook = OPS) -> list[Settled]:
    until = after("10s") if kind is Kind.PAUSED else None
    return settle(parcel, Meaning(kind, until), webhook=section, attempt=ATTEMPT, now=NOW, dice=0.0)


def told(n: int, *, is_thin: bool = False) -> dict[str, Json]:
    data: dict[str, Json] = {"n": n} if is_thin else {"n": n, "labels": {"order": "42"}}
    return {"id": f"evt_{n}", "type": "message.status.changed", "timestamp": STARTED, "data": data}


# --- what is sent ---------------------------------------------------------------------------------------------


def test_a_batch_has_its_events_in_order_each_with_its_own_id_first() -> None:
    request = post(waiting(2), OPS, now=NOW, agent="watcher/1.2")
    assert request.body == (
        b'{"type":"batch","timestamp":"2026-11-23T07:30:02.123456Z","data":['
        b'{"id":"evt_1","type":"message.status.changed","timestamp":"2026-11-23T07:30:00.123456Z",'
        b'"data":{"n":1,"labels":{"order":"42"}}},'
        b'{"id":"evt_2","type":"message.status.changed","timestamp":"2026-11-23T07:30:00.123456Z",'
        b'"data":{"n":2,"labels":{"order":"42"}}}]}'
    )


def test_a_batch_is_a_standard_webhook_and_no_cloudevent() -> None:
    parcel = [replace(one, attempts=4) for one in waiting(3)]
    request = post(parcel, webhook(batch=3, headers={"x-tenant": "a"}), now=NOW, agent="watcher/1.2")
    name, timestamp = parcel_id(parcel), int(NOW.timestamp())
    assert request.headers == {
        "content-type": "application/json",
        "user-agent": "watcher/1.2",
        "x-tenant": "a",
        "webhook-id": name,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(request.body, keys=[KEY], id=name, timestamp=timestamp),
        "watcher-attempt": "5",
    }
    now = datetime.now(START.tzinfo)
    fresh = post(parcel, OPS, now=now, agent="watcher/1.2")
    assert Verifier(SECRET).verify(fresh.body, dict(fresh.headers)) == orjson.loads(fresh.body)


def test_in_a_batch_each_is_as_thin_as_it_must_be() -> None:
    one, two = waiting(2)
    mixed = post([one, replace(two, thin=True)], OPS, now=NOW, agent="watcher/1.2")
    assert orjson.loads(mixed.body)["data"] == [told(1), told(2, is_thin=True)]
    thin = post([one, two], webhook(batch=2, content="thin"), now=NOW, agent="watcher/1.2")
    assert orjson.loads(thin.body)["data"] == [told(1, is_thin=True), told(2, is_thin=True)]


IDS = st.lists(st.text("abc019", min_size=32, max_size=32).map("evt_{}".format), min_size=2, max_size=9, unique=True)


def named(ids: Sequence[str]) -> str:
    return parcel_id([_of(each) for each in ids])


@given(IDS, st.data())
def test_a_batch_s_id_is_made_of_its_members_ids_and_nothing_else(ids: list[str], data: st.DataObject) -> None:
    name = named(ids)
    assert (name[:4], len(name)) == ("bat_", 36)
    assert set(name[4:]) <= {*string.ascii_lowercase, *"234567"}
    assert parcel_id([replace(one, attempts=9, thin=True, batch="bat_x") for one in map(_of, ids)]) == name
    assert named(data.draw(st.permutations(ids))) == name
    assert name not in {named([*ids, "evt_new"]), named([*ids[1:], "evt_new"]), named(ids[1:])}


def _of(id: str) -> Delivery:
    return delivery(replace(event(), id=id))


# --- what becomes of its members ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.FAILED, Kind.OVERLOADED, Kind.UNREACHABLE, Kind.PAUSED])
def test_a_batch_goes_again_with_the_same_members_under_the_same_id(kind: Kind) -> None:
    parcel = waiting(3)
    settled = judged(parcel, kind)
    assert {one.delivery.batch for one in settled} == {parcel_id(parcel)}
    assert {one.delivery.due_at for one in settled} == {after("10s") if kind is Kind.PAUSED else after("7s")}
    assert parcel_id([one.delivery for one in settled]) == parcel_id(parcel)
    assert [one.is_kept for one in settled] == [True, False, False]


def test_each_member_is_judged_by_its_own_counters() -> None:
    spent = {"burnt": 17, "attempts": 17}
    one, two, three = waiting(3)
    settled = judged([one, replace(two, **spent), replace(three, refused_since=START)], Kind.REFUSED)  # type: ignore[arg-type]
    assert [(found.decision, found.delivery.burnt) for found in settled] == [
        (Decision.RETRY, 1),
        (Decision.EXHAUSTED, 18),
        (Decision.RETRY, 1),
    ]


@pytest.mark.parametrize(
    ("kind", "decision"), [(Kind.DELIVERED, Decision.DELIVERED), (Kind.ABORTED, Decision.EXHAUSTED)]
)
def test_a_batch_is_delivered_or_given_up_as_a_whole(kind: Kind, decision: Decision) -> None:
    assert [(found.decision, found.is_kept) for found in judged(waiting(3), kind)] == [
        (decision, True),
        (decision, False),
        (decision, False),
    ]


def test_what_went_alone_goes_alone_again_where_there_are_batches() -> None:
    [one] = waiting(1)
    found = [judged([one], Kind.FAILED, section=webhook(batch=batch))[0].delivery.batch for batch in (0, 1, 2)]
    assert found == [None, None, "evt_1"]


def test_a_batch_that_our_own_side_did_not_send_never_went() -> None:
    parcel = waiting(2)
    expected = [Settled(replace(one, due_at=NOW), Decision.RETRY, ATTEMPT, is_kept=False) for one in parcel]
    assert judged(parcel, Kind.NOT_SENT) == expected


# --- too large ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "half"), [(2, 1), (3, 2), (4, 2), (5, 3), (100, 50)])
def test_a_batch_that_is_too_large_goes_again_at_once_as_its_first_half(count: int, half: int) -> None:
    parcel = [replace(one, attempts=3, burnt=2, due_at=START) for one in waiting(count)]
    batch = parcel_id(parcel[:half])
    assert judged(parcel, Kind.TOO_LARGE) == [
        Settled(
            replace(one, attempts=4, due_at=NOW, batch=batch if place < half else None),
            Decision.RETRY,
            ATTEMPT,
            is_kept=place == 0,
        )
        for place, one in enumerate(parcel)
    ]


def deliver_all(lane: list[Delivery], accepts: Callable[[list[dict[str, Json]]], bool]) -> list[list[str]]:
    """Send a lane as the store and the loop would, until nothing waits; return the events' ids of each good POST."""
    good: list[list[str]] = []
    for _ in range(10 * len(lane)):
        if not lane:
            return good
        head = lane[0]
        parcel = [one for one in lane if one.batch == head.batch] if head.batch else lane[: OPS.batch]
        body = orjson.loads(post(parcel, OPS, now=NOW, agent="watcher/1.2").body)
        events = body["data"] if len(parcel) > 1 else [{"id": parcel[0].event.id, **body}]
        is_good = accepts(events)
        settled = judged(parcel, Kind.DELIVERED if is_good else Kind.TOO_LARGE)
        good += [[str(one["id"]) for one in events]] if is_good else []
        left = {one.delivery.id: one.delivery for one in settled if one.decision is Decision.RETRY}
        gone = {one.id for one in parcel} - left.keys()
        lane = [left.get(one.id, one) for one in lane if one.id not in gone]
        assert not any(one.burnt for one in lane)
    raise AssertionError("it never ends")


@given(st.integers(1, 40), st.integers(1, 10), st.sets(st.integers(1, 40)))
def test_too_large_ends_with_each_delivered_in_order_and_no_attempt_burnt(count: int, most: int, fat: set[int]) -> None:
    def accepts(events: list[dict[str, Json]]) -> bool:
        return len(events) <= most and not any(one == told(n) for one in events for n in fat)

    good = deliver_all(waiting(count), accepts)
    assert [each for ids in good for each in ids] == [f"evt_{n}" for n in range(1, count + 1)]
    assert all(len(ids) == 1 for ids in good if fat & {int(each.removeprefix("evt_")) for each in ids})
