"""The receiver keeps what came, judged: verified or not, a repeat or not, in order or not."""

import json
from collections.abc import Mapping

import aiohttp
import pytest
from signed import OTHER, SECRET, event, headers

from watcher.demo.pretend import serving
from watcher.demo.receiver import Arrival, Manners, Receiver


async def post(receiver: Receiver, *posts: tuple[bytes, Mapping[str, str]]) -> list[tuple[int, str | None]]:
    """Send one after the other; return status and Retry-After of each."""
    answers = []
    async with serving(receiver.application()) as url, aiohttp.ClientSession() as session:
        for body, given in posts:
            async with session.post(url + "/any/where", data=body, headers=given) as answer:
                answers.append((answer.status, answer.headers.get("Retry-After")))
    return answers


def judged(arrival: Arrival) -> tuple[int | None, int | None, int, str | None, bool, bool]:
    return (
        *(arrival.sequence, arrival.attempt, arrival.answered),
        *(arrival.problem, arrival.is_repeat, arrival.is_in_order),
    )


async def test_a_verified_post_is_taken_and_kept_whole() -> None:
    receiver, body = Receiver([SECRET]), event(message="m-1")
    assert await post(receiver, (body, headers(body, id="evt_7"))) == [(204, None)]
    [arrival] = receiver.arrivals
    assert (arrival.id, arrival.type, arrival.watch, arrival.provider) == ("evt_7", "watch.status.changed", "w-1", "d7")
    assert (arrival.message, arrival.before, arrival.after, arrival.body) == ("m-1", "sent", "delivered", body)
    assert judged(arrival) == (1, 1, 204, None, False, True)


async def test_a_post_that_does_not_verify_is_answered_401() -> None:
    receiver, body = Receiver([SECRET]), event()
    assert await post(receiver, (body, headers(body, secret=OTHER)), (body, {})) == [(401, None), (401, None)]
    assert [arrival.problem for arrival in receiver.arrivals] == [
        "no signature matches",
        "no webhook-id, webhook-timestamp, webhook-signature",
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"type": 7}', b'{"type": "batch", "data": []}', b"\xff\x00"])
async def test_a_body_that_is_no_event_is_kept_as_such(body: bytes) -> None:
    receiver = Receiver([SECRET])
    assert await post(receiver, (body, {})) == [(401, None)]
    [arrival] = receiver.arrivals
    assert (arrival.type, arrival.watch, arrival.body) == ("(not an event)", None, body)


async def test_the_first_posts_fail_and_their_retries_are_no_repeats() -> None:
    receiver = Receiver([SECRET], manners=Manners(fail=2, status=500, retry_after="5"))
    body = event()
    sent = [(body, headers(body, attempt=attempt)) for attempt in (1, 2, 3)]
    assert await post(receiver, *sent) == [(500, "5"), (500, "5"), (204, None)]
    assert [judged(arrival) for arrival in receiver.arrivals] == [
        (1, 1, 500, None, False, True),
        (1, 2, 500, None, False, True),
        (1, 3, 204, None, False, True),
    ]


async def test_every_post_is_answered_with_one_status_if_asked_for() -> None:
    receiver, body = Receiver([SECRET], manners=Manners(fail=None, status=410)), event()
    assert await post(receiver, (body, headers(body)), (body, headers(body))) == [(410, None), (410, None)]


async def test_a_repeat_and_a_disorder_are_seen() -> None:
    receiver = Receiver([SECRET])
    order = [("evt_1", 1, "w-1"), ("evt_3", 3, "w-1"), ("evt_1", 1, "w-1"), ("evt_2", 2, "w-1"), ("evt_9", 1, "w-2")]
    bodies = [(event(sequence=sequence, watch=watch), name) for name, sequence, watch in order]
    await post(receiver, *((body, headers(body, id=name)) for body, name in bodies))
    assert [(a.is_repeat, a.is_in_order) for a in receiver.arrivals] == [
        (False, True),
        (False, True),
        (True, True),
        (False, False),
        (False, True),
    ]


async def test_each_event_of_a_batch_arrives_by_itself_under_its_own_id() -> None:
    receiver = Receiver([SECRET])
    members = [{"id": f"evt_{sequence}", **json.loads(event(sequence=sequence))} for sequence in (1, 2)]
    body = json.dumps({"type": "batch", "timestamp": "…", "data": members}).encode()
    again = event(sequence=2)
    assert await post(receiver, (body, headers(body, id="bat_1")), (again, headers(again, id="evt_2"))) == [
        (204, None),
        (204, None),
    ]
    assert [(a.id, a.type, *judged(a)) for a in receiver.arrivals] == [
        ("evt_1", "watch.status.changed", 1, 1, 204, None, False, True),
        ("evt_2", "watch.status.changed", 2, 1, 204, None, False, True),
        ("evt_2", "watch.status.changed", 2, 1, 204, None, True, True),
    ]
