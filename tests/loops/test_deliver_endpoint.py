"""What a webhook says is heard: pauses, refusals, silence; and what our own side cannot do costs nobody anything."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from fakes import Answer, Silence
from outboxes import BAD, GOOD, Outbox
from recorded import IDS, rows
from structlog.testing import capture_logs
from structlog.typing import EventDict
from virtual import EPOCH
from worlds import turning

from watcher.core import endpoint
from watcher.core.wire import Fault, NoAnswer

TIMEOUT = Silence(NoAnswer(Fault.TIMEOUT, "no answer in time"))
CUT_OFF = Silence(NoAnswer(Fault.LOCAL, "Too many open files"))


def events(logs: list[EventDict], name: str = "endpoint.") -> list[tuple[object, object]]:
    return [(line["event"], line.get("reason")) for line in logs if str(line["event"]).startswith(name)]


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
            await pump.switch(await outbox.wanted())
            await anyio.sleep(1)

    assert outbox.received() == [("w", 1), ("w", 2), ("w", 2), ("w", 3), ("w", 4)]
    assert events(logs) == [("endpoint.disabled", reason), ("endpoint.enabled", None)]
    assert await outbox.store.intents() == []


async def test_enabling_ends_a_pause_also_for_what_was_told_to_wait(outbox: Outbox) -> None:
    outbox.transport.script("ops", Answer(429, headers={"retry-after": "86400"}), GOOD)
    await outbox.tell("w", events=3)
    pump = await outbox.pump()
    async with turning(pump):
        await anyio.sleep(3600)
        assert outbox.received() == [("w", 1)]
        await pump.switch(await outbox.wanted())
        await anyio.sleep(1)
        assert outbox.received() == [("w", 1), ("w", 1), ("w", 2), ("w", 3)]


async def test_enabling_has_a_retry_go_now_and_later_ones_by_the_schedule(outbox: Outbox) -> None:
    outbox.transport.script("ops", BAD, BAD, GOOD)
    await outbox.tell("w")
    pump = await outbox.pump(retry=["1h", "2h"])
    async with turning(pump):
        await anyio.sleep(60)
        await pump.switch(await outbox.wanted())
        await anyio.sleep(7000)
        assert outbox.received() == [("w", 1)] * 2
        await anyio.sleep(2000)
        assert outbox.received() == [("w", 1)] * 3


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
