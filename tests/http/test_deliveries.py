"""/v1/deliveries: what was sent, and sending it again."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from http_api import NOW, STAMP, Served, api, problem
from store_values import head_of, sent, settled

from watcher.core import delivery
from watcher.core.delivery import Decision
from watcher.core.endpoint import Disabled
from watcher.core.intent import Replay
from watcher.core.model import EventType, Json
from watcher.core.moment import rfc3339
from watcher.core.rows import DeliveryRow
from watcher.http.models import Attempt, Deliveries, Delivery


async def ids(served: Served, query: str) -> tuple[list[Json], Json]:
    """Return the deliveries of a page, by id, and what follows it."""
    answer = await served.get(f"/v1/deliveries?{query}")
    assert isinstance(answer.json, dict)
    assert isinstance(answer.json["deliveries"], list)
    return [row["id"] for row in answer.json["deliveries"] if isinstance(row, dict)], answer.json["next"]


async def test_deliveries_are_listed_in_pages_and_narrowed_by_everything(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for name in ["a", "b"]:
            await served.daemon.watch(name)
        (event,) = (await served.daemon.change("a", to=["audit", "ops"])).events
        await served.daemon.change("b")
        await served.daemon.store.settle([settled(await head_of(served.daemon.store, watch="b"), Decision.EXHAUSTED)])
        assert await ids(served, "") == ([1, 2, 3], None)
        assert await ids(served, "limit=2") == ([1, 2], 2)
        assert await ids(served, "limit=2&after=2") == ([3], None)
        assert await ids(served, "limit=3") == ([1, 2, 3], None)
        assert await ids(served, "status=exhausted") == ([3], None)
        assert await ids(served, "webhook=ops") == ([2, 3], None)
        assert await ids(served, "watch=a") == ([1, 2], None)
        assert await ids(served, f"event={event.id}&webhook=audit") == ([1], None)
        assert await ids(served, "since=1h") == ([1, 2, 3], None)
        assert await ids(served, "since=2026-11-23T12:00:01Z") == ([], None)


async def test_no_delivery_of_a_watch_is_missing_or_comes_twice_whatever_was_replayed(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        store = served.daemon.store
        await served.daemon.watch()
        for number in range(125):
            await served.daemon.change(to=["ops"] if number < 50 else ["ops", "audit"])
        await sent(store, "ops")
        for webhook, replayed in (("audit", 50), ("ops", 125)):
            await store.want(Replay(0, 1.0, webhook=webhook, since=NOW))
            (intent,) = await store.intents()
            assert isinstance(intent, Replay)
            assert [await store.replay(intent, now=NOW, limit=200) for _ in range(2)] == [replayed, 0]
        found: list[Json] = []
        after: Json = 0
        while after is not None:
            page, after = await ids(served, f"watch=order-42&limit=7&after={after}")
            found += page
        assert found == list(range(1, 251))


async def test_a_delivery_says_what_keeps_it_back(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        await served.daemon.change(to=["ops"])
        await served.daemon.change(to=["ops", "gone"])
        endpoint = await served.daemon.store.endpoint("ops", ordered=True)
        held = [await _held(served)]
        for known in ({"paused_until": NOW + timedelta(minutes=5)}, {"disabled": Disabled.ASKED}):
            await served.daemon.store.settle([], endpoint=replace(endpoint, **known))
            held.append(await _held(served))
        later = "2026-11-23T12:05:00.123456Z"
        assert held == [
            [("ops", None, None), ("ops", "order", None), ("gone", "no_section", None)],
            [("ops", "paused", later), ("ops", "paused", later), ("gone", "no_section", None)],
            [("ops", "disabled", None), ("ops", "disabled", None), ("gone", "no_section", None)],
        ]


async def _held(served: Served) -> list[tuple[str, str | None, str | None]]:
    answer = Deliveries.model_validate_json((await served.get("/v1/deliveries")).body)
    return [(row.webhook, row.held, rfc3339(row.held_until) if row.held_until else None) for row in answer.deliveries]


async def test_the_deliveries_of_an_event_come_with_their_failed_attempts(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        (event,) = (await served.daemon.change()).events
        failed = settled(await head_of(served.daemon.store), Decision.RETRY, next_at=NOW + timedelta(seconds=5))
        failed = replace(failed, attempt=replace(failed.attempt, body=b"sorry \xff"))
        await served.daemon.store.settle([failed])
        answer = await served.get(f"/v1/deliveries?event={event.id}")
        assert answer.json == {
            "deliveries": [
                {
                    "id": 1,
                    "webhook": "ops",
                    "event_id": event.id,
                    "type": "watch.status.changed",
                    "watch": "order-42",
                    "sequence": 1,
                    "status": "waiting",
                    "attempts": 1,
                    "due_at": "2026-11-23T12:00:05.123456Z",
                    "last_at": STAMP,
                    "last_status": 500,
                    "last_error": "500 Internal Server Error",
                    "duration": 0.25,
                    "held": None,
                    "held_until": None,
                    "failed": [
                        {
                            "number": 1,
                            "at": STAMP,
                            "duration": 0.25,
                            "status": 500,
                            "address": "192.0.2.1",
                            "headers": {"server": "nginx"},
                            "body": "sorry \\xff",
                            "error": "500 Internal Server Error",
                            "timing": {"dns": 0.01, "connect": None, "tls": None, "first_byte": 0.2},
                        }
                    ],
                }
            ],
            "next": None,
        }


async def test_a_wrong_time_is_named(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        expected = "expected an RFC 3339 time in UTC, or how long ago: 2026-11-23T07:30:00Z, 1h"
        for since in ["yesterday", "2026-11-23", "2026-11-23T07:30:00", "2026-11-23T07:30:00+00:00", "-1h", ""]:
            answer = await served.get(f"/v1/deliveries?since={since}")  # a `+` is a space here
            wrong: Json = {"where": "since", "expected": expected}
            assert answer.json == problem(400, f"query: since: {expected}", wrong)


async def test_events_are_sent_again_by_id(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        await served.daemon.watch()
        (event,) = (await served.daemon.change()).events
        answer = await served.post("/v1/deliveries/replay", {"event": [event.id, event.id]})
        assert answer.status == 202
        assert answer.json == {"event": [event.id], "webhook": None, "since": None, "status": None, "rate": 100}
        assert await served.daemon.store.intents() == [Replay(1, 100, (event.id,))]
        await served.daemon.rung.wait(at_most=0)


async def test_a_webhook_gets_again_what_its_section_lets_through(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        asked = {"webhook": "audit", "since": "1h", "status": "exhausted", "rate": 5}
        answer = await served.post("/v1/deliveries/replay", asked)
        assert answer.status == 202
        since = "2026-11-23T11:00:00.123456Z"
        assert answer.json == {"event": None, "webhook": "audit", "since": since, "status": "exhausted", "rate": 5}
        assert await served.daemon.store.intents() == [
            Replay(
                1,
                5,
                webhook="audit",
                since=NOW - timedelta(hours=1),
                exhausted=True,
                types=(EventType.FINISHED,),
                providers=("d7",),
            )
        ]


UNFIT: list[tuple[object, str]] = [
    ({"event": ["evt_unknown"]}, "event.0: there is no such event, or it was for no webhook"),
    ({"webhook": "nobody", "since": "1h"}, "webhook: expected one of audit, ops"),
]
WRONG: list[tuple[object, str, str]] = [
    ({"event": []}, "event", "expected at least 1 member"),
    ({"event": "evt_a"}, "event", "expected a list"),
    ({"webhook": "ops"}, "since", "expected, and missing"),
    ({"webhook": "ops", "since": "1h", "status": "delivered"}, "status", 'expected "exhausted"'),
    ({"webhook": "ops", "since": "1h", "rate": 0}, "rate", "expected a number of at least 0.1"),
    ({"event": ["evt_a"], "webhook": "ops"}, "webhook", "unknown; expected one of event, rate"),
    ([], "body", "expected an object"),
]


async def test_a_replay_that_cannot_be_meant_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    async with api(tmp_path) as served:
        for asked, detail in UNFIT:
            answer = await served.post("/v1/deliveries/replay", asked)
            assert answer.json == problem(422, f"body: {detail}")
        for asked, where, expected in WRONG:
            answer = await served.post("/v1/deliveries/replay", asked)
            assert answer.json == problem(422, f"body: {where}: {expected}", {"where": where, "expected": expected})
        answer = await served.post("/v1/deliveries/replay", b"{")
        assert (answer.status, answer.type) == (422, "application/problem+json")
        assert await served.daemon.store.intents() == []


def test_every_field_of_a_delivery_and_its_attempts_is_shown() -> None:
    shown = {*DeliveryRow.__dataclass_fields__, "held", "held_until", "failed"} - {"is_behind"}
    assert set(Delivery.model_fields) == shown
    assert set(Attempt.model_fields) == {*delivery.Attempt.__dataclass_fields__}
