"""What a webhook says is heard: pauses, refusals, silence; and what our own side cannot do costs nobody anything."""

import itertools
from datetime import timedelta
from pathlib import Path

import anyio
import orjson
import pytest
from fakes import Answer, Silence, SpiedStore
from outboxes import BAD, GOOD, Outbox, pumps
from structlog.testing import capture_logs
from structlog.typing import EventDict
from virtual import EPOCH, VirtualClock
from worlds import turning

from watcher.core import endpoint
from watcher.core.intent import Switch
from watcher.core.wire import Fault, NoAnswer, Request
from watcher.keep import Keeper
from watcher.stores.sqlite_records import SqliteRecords

TIMEOUT = Silence(NoAnswer(Fault.TIMEOUT, "no answer in time"))
CUT_OFF = Silence(NoAnswer(Fault.LOCAL, "Too many open files"))
IDS = [f"w{number}" for number in range(20)]


def events(logs: list[EventDict], name: str = "endpoint.") -> list[tuple[object, object]]:
    return [(line["event"], line.get("reason")) for line in logs if str(line["event"]).startswith(name)]


async def rows(path: Path, *, status: str | None = None) -> list[tuple[str, int]]:
    records = await SqliteRecords.open(path / "watcher.db")
    found = await records.deliveries(status=status)
    await records.close()
    return [(row.status, row.attempts) for row in found]


# --- pauses -----------------------------------------------------------------------------------------------------


async def test_retry_after_pauses_the_whole_webhook_once_and_burns_no_attempt(outbox: Outbox) -> None:
    outbox.transport.script("ops", *[Answer(429, headers={"retry-after": "60"}, takes=0.1)] * 4, GOOD)
    await outbox.tell(*IDS)
    with capture_logs() as logs:
        async with turning(await outbox.pump(concurrency=4, retry=["1s"])):
            await anyio.sleep(59)
            assert len(outbox.received()) == 4
            await anyio.sleep(60)

    assert min(time for time in outbox.transport.times("ops") if time > 1) == pytest.approx(60.1, abs=0.1)
    assert len(set(outbox.received())) == len(IDS)
    assert events(logs) == [("endpoint.paused", "retry-after")]
    assert not [line for line in logs if line["event"] == "delivery.exhausted"]


async def test_a_pause_survives_a_restart(outbox: Outbox) -> None:
    outbox.transport.script("ops", Answer(503, headers={"retry-after": "600"}), GOOD)
    await outbox.tell("w")
    async with turning(await outbox.pump()):
        await anyio.sleep(1)
    async with turning(await outbox.pump()):
        await anyio.sleep(700)

    assert outbox.transport.times("ops") == [0.0, pytest.approx(600, abs=0.1)]


async def test_a_delivery_that_is_always_told_to_wait_burns_attempts_after_the_tenth_time(
    outbox: Outbox, tmp_path: Path
) -> None:
    outbox.transport.script("ops", Answer(429, headers={"retry-after": "10"}))
    await outbox.tell("w")
    async with turning(await outbox.pump(retry=["1s", "1s"])):
        await anyio.sleep(1000)

    assert await rows(tmp_path) == [("exhausted", 13)]


# --- disabled ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(Answer(410), "gone"), (Answer(200, headers={"webhook-delivery": "disable"}), "asked")],
)
async def test_a_webhook_that_is_gone_is_sent_nothing_until_it_is_enabled_and_goes_on_in_order(
    outbox: Outbox, answer: Answer, reason: str
) -> None:
    outbox.transport.script("ops", GOOD, answer, GOOD)
    await outbox.tell("w", events=4)
    with capture_logs() as logs:
        async with turning(await outbox.pump()):
            await anyio.sleep(10_000)
        pump = await outbox.pump()
        async with turning(pump):
            await anyio.sleep(10_000)
            assert outbox.received() == [("w", 1), ("w", 2)]
            switch = Switch(0, "ops", on=True)
            await outbox.store.want(switch)
            (wanted,) = await outbox.store.intents()
            assert isinstance(wanted, Switch)
            await pump.switch(wanted)
            await anyio.sleep(1)

    assert outbox.received() == [("w", 1), ("w", 2), ("w", 2), ("w", 3), ("w", 4)]
    assert events(logs) == [("endpoint.disabled", reason), ("endpoint.enabled", None)]
    assert await outbox.store.intents() == []


async def test_a_changed_section_enables_its_webhook(outbox: Outbox) -> None:
    outbox.transport.script("ops", Answer(410), GOOD)
    await outbox.tell("w")
    for headers in ({}, {}, {"x-team": "ops"}):
        async with turning(await outbox.pump(headers=headers)):
            await anyio.sleep(60)

    assert len(outbox.received()) == 2
    assert outbox.transport.sent[1].request.headers["x-team"] == "ops"


async def test_days_of_failures_disable_a_webhook(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "PATIENCE", timedelta(hours=5))  # instead of five days
    outbox.transport.script("ops", BAD)
    await outbox.tell("w")
    with capture_logs() as logs:
        async with turning(await outbox.pump(retry=["30m"] * 100)):
            await anyio.sleep(10 * 3600)

    assert events(logs) == [("endpoint.disabled", "silent")]
    assert 5 * 3600 <= outbox.transport.times("ops")[-1] <= 5.6 * 3600


# --- the breaker ------------------------------------------------------------------------------------------------


async def test_a_dead_webhook_is_probed_ever_more_seldom_and_burns_no_attempts_meanwhile(
    outbox: Outbox, tmp_path: Path
) -> None:
    outbox.transport.script("ops", TIMEOUT)
    await outbox.tell(*IDS)
    with capture_logs() as logs:
        async with turning(await outbox.pump(concurrency=5)):
            await anyio.sleep(3600)
            probes = [time for time in outbox.transport.times("ops") if time > 1]
            outbox.transport.script("ops", GOOD)
            await anyio.sleep(1000)

    waits = [round(after - before) for before, after in zip([0.0, *probes], probes, strict=False)]
    assert waits[:6] == [30, 60, 120, 240, 480, 600]
    assert set(waits[5:]) == {600}
    probed = [sent.request.headers["ce-subject"] for sent in outbox.transport.sent if 1 < sent.at - EPOCH < 3600]
    assert len(set(probed)) == len(probed)
    assert events(logs) == [("endpoint.paused", "breaker"), ("endpoint.enabled", "breaker")]
    assert {status for status, _ in await rows(tmp_path)} == {"delivered"}


async def test_one_poison_delivery_neither_opens_the_breaker_nor_holds_up_other_watches(outbox: Outbox) -> None:
    outbox.transport._otherwise = lambda request: BAD if request.headers["ce-subject"] == "poison" else GOOD
    await outbox.tell("poison")
    pump = await outbox.pump()
    with capture_logs() as logs:
        async with turning(pump):
            await anyio.sleep(30)
            await outbox.tell("sound")
            pump.wake()
            await anyio.sleep(0.1)
            assert ("sound", 1) in outbox.received()

    assert events(logs) == []


async def test_too_much_to_do_halves_how_many_posts_are_in_flight(outbox: Outbox) -> None:
    outbox.transport.script("ops", *[Answer(503, takes=1)] * 8, Answer(204, takes=1))
    await outbox.tell(*(f"w{number}" for number in range(40)))
    async with turning(await outbox.pump(concurrency=8, retry=["10m"])):
        await anyio.sleep(29)  # five 503 in a row opened the breaker
        outbox.transport.most_in_flight.clear()
        await anyio.sleep(3)
        assert 1 <= outbox.transport.most_in_flight["ops"] <= 5


# --- our own side -----------------------------------------------------------------------------------------------


async def test_what_our_own_side_cannot_do_burns_no_attempt_and_is_tried_by_one_post_at_a_time(
    outbox: Outbox, tmp_path: Path
) -> None:
    outbox.transport.script("ops", CUT_OFF)
    await outbox.tell(*IDS)
    with capture_logs() as logs:
        async with turning(await outbox.pump(retry=[])):
            await anyio.sleep(300)
            assert len(outbox.received()) < 40
            outbox.transport.script("ops", GOOD)
            await anyio.sleep(31)

    assert await rows(tmp_path) == [("delivered", 1)] * len(IDS)
    assert [line.get("outcome") for line in logs].count("not_sent") == 1


# --- too large, and batches -------------------------------------------------------------------------------------


async def test_what_is_too_large_goes_thin_at_once_under_the_same_id(outbox: Outbox, tmp_path: Path) -> None:
    outbox.transport.script("ops", Answer(413), GOOD)
    await outbox.tell("w")
    async with turning(await outbox.pump(retry=[])):
        await anyio.sleep(1)

    full, thin = (sent.request for sent in outbox.transport.sent)
    assert full.headers["webhook-id"] == thin.headers["webhook-id"]
    assert "labels" in orjson.loads(full.body)["data"]
    assert orjson.loads(thin.body)["data"] == {"watch": "w", "sequence": 1}
    assert await rows(tmp_path) == [("delivered", 2)]


def members(request: Request) -> list[tuple[str, int]]:
    body = orjson.loads(request.body)
    each = body["data"] if body["type"] == "batch" else [body]
    return [(event["data"]["watch"], event["data"]["sequence"]) for event in each]


async def test_what_waits_of_one_watch_goes_in_batches_and_a_retry_has_the_same_members(outbox: Outbox) -> None:
    outbox.transport.script("ops", BAD, GOOD)
    await outbox.tell("w", events=5)
    pump = await outbox.pump(batch=3)
    async with turning(pump):
        await anyio.sleep(0.5)
        await outbox.tell("w")
        pump.wake()
        await anyio.sleep(5)

    posts = [sent.request for sent in outbox.transport.sent]
    first = [("w", 1), ("w", 2), ("w", 3)]
    assert [members(post) for post in posts] == [first, first, [("w", 4), ("w", 5), ("w", 6)]]
    assert posts[0].headers["webhook-id"] == posts[1].headers["webhook-id"]
    assert posts[0].headers["webhook-id"].startswith("bat_")
    assert not [name for name in posts[0].headers if name.startswith("ce-")]


async def test_without_order_what_waits_of_any_watch_goes_in_one_post(outbox: Outbox, tmp_path: Path) -> None:
    outbox.transport.script("ops", BAD, GOOD)
    await outbox.tell(*IDS)
    async with turning(await outbox.pump(batch=16, order="none", concurrency=1)):
        await anyio.sleep(20)

    sizes = [len(members(sent.request)) for sent in outbox.transport.sent]
    assert sizes[0] == 16
    assert len(sizes) == 3
    assert await rows(tmp_path, status="delivered") == [("delivered", 2)] * 16 + [("delivered", 1)] * 4


async def test_what_waits_of_several_watches_goes_together_however_few_and_a_batch_is_never_in_flight_twice(
    outbox: Outbox,
) -> None:
    outbox.transport.script("ops", Answer(500, takes=1), Answer(204, takes=1))
    await outbox.tell(*IDS[:6])
    async with turning(await outbox.pump(batch=16, order="none", concurrency=8)):
        await anyio.sleep(10)

    posts = [sorted(members(sent.request)) for sent in outbox.transport.sent]
    assert posts == [[(each, 1) for each in IDS[:6]]] * 2


async def test_a_batch_that_is_too_large_is_halved_until_it_fits(outbox: Outbox, tmp_path: Path) -> None:
    outbox.transport._otherwise = lambda request: Answer(413) if len(members(request)) > 2 else GOOD
    await outbox.tell("w", events=8)
    async with turning(await outbox.pump(batch=8, retry=[])):
        await anyio.sleep(5)

    accepted = [each for sent in outbox.transport.sent if len(each := members(sent.request)) <= 2]
    assert [one for each in accepted for one in each] == [("w", number) for number in range(1, 9)]
    assert {status for status, _ in await rows(tmp_path)} == {"delivered"}


# --- order ------------------------------------------------------------------------------------------------------


async def test_without_order_a_failing_event_holds_nothing_back(outbox: Outbox) -> None:
    outbox.transport._otherwise = lambda request: BAD if request.headers["ce-sequence"] == "1" else GOOD
    await outbox.tell("w", events=3)
    async with turning(await outbox.pump(order="none", retry=["1h"])):
        await anyio.sleep(1)

    assert sorted(outbox.received()) == [("w", 1), ("w", 2), ("w", 3)]


async def test_a_delivery_that_is_refused_for_order_wait_holds_back_those_behind_it_no_longer(
    outbox: Outbox, clock: VirtualClock
) -> None:
    outbox.transport._otherwise = lambda request: Answer(422) if request.headers["ce-sequence"] == "1" else GOOD
    await outbox.tell("w", events=3)
    pump = await outbox.pump(order_wait="1h", retry=["25m"] * 10)
    none = pumps(outbox.store, clock=clock, transport=outbox.transport)
    keeper = Keeper(keep=timedelta(days=30), store=outbox.store, outbox=none, clock=clock)
    async with turning(pump, keeper):
        await anyio.sleep(3599)
        assert set(outbox.received()) == {("w", 1)}
        await anyio.sleep(20)
        assert outbox.received()[-2:] == [("w", 2), ("w", 3)]
        await anyio.sleep(3600)
        assert outbox.received()[-1] == ("w", 1)


async def test_retries_and_first_attempts_starve_each_other_in_neither_direction(outbox: Outbox) -> None:
    outbox.transport._otherwise = lambda request: Answer(
        500 if request.headers["ce-subject"].startswith("bad") else 204, takes=1
    )
    pump = await outbox.pump(concurrency=4, retry=["1s"] * 1000)
    async with turning(pump):
        await outbox.tell(*(f"bad{number}" for number in range(2)))
        for minute in range(60):
            await outbox.tell(*(f"{minute}-{number}" for number in range(8)))
            pump.wake()
            await anyio.sleep(1)
        await anyio.sleep(200)

    sent = [request.request.headers["ce-subject"] for request in outbox.transport.sent]
    assert sum(subject.startswith("bad") for subject in sent) > 30
    assert len({subject for subject in sent if not subject.startswith("bad")}) == 480


async def test_a_rate_is_kept(outbox: Outbox) -> None:
    await outbox.tell(*IDS)
    async with turning(await outbox.pump(rate=2)):
        await anyio.sleep(20)

    times = outbox.transport.times("ops")
    assert len(times) == len(IDS)
    assert all(after - before >= 0.499 for before, after in itertools.pairwise(times))


async def test_a_chatty_watch_does_not_hold_up_the_others(outbox: Outbox, store: SpiedStore) -> None:
    outbox.transport.script("ops", Answer(204, takes=1))
    await outbox.tell("chatty", events=50)
    await outbox.tell("quiet")
    async with turning(await outbox.pump(concurrency=1)):
        await anyio.sleep(5)

    assert ("quiet", 1) in outbox.received()[:3]
