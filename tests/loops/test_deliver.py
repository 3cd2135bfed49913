import random
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta

import anyio
import pytest
from fakes import Answer, Silence
from outboxes import BAD, GOOD, Outbox, body_of
from store_values import a_watch, an_event
from virtual import EPOCH, VirtualClock
from worlds import turning

from watcher.core.wire import Fault, NoAnswer, Request, Response


def flaky(seed: int, *, failing: float) -> Callable[[Request], Answer | Silence]:
    """Answer at random: late, with errors, or not at all."""
    dice = random.Random(seed)

    def answer(_: Request) -> Answer | Silence:
        takes = dice.uniform(0, 3)
        if dice.random() >= failing:
            return Answer(204, takes=takes)
        if dice.random() < 0.5:
            return Answer(dice.choice([302, 404, 429, 500, 503]), takes=takes)
        return Silence(NoAnswer(Fault.TIMEOUT, "no answer in time"), takes)

    return answer


# --- order ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_events_of_one_watch_arrive_in_sequence_and_one_at_a_time_whatever_fails(
    outbox: Outbox, seed: int
) -> None:
    ids = [f"w{number}" for number in range(10)]
    answer = flaky(seed, failing=0.4)
    in_flight: set[str] = set()
    accepted: defaultdict[str, list[int]] = defaultdict(list)
    transport = outbox.transport
    send = transport.send

    async def watched(request: Request, *, within: timedelta) -> Response | NoAnswer:
        watch = request.headers["ce-subject"]
        assert watch not in in_flight
        in_flight.add(watch)
        got = await send(request, within=within)
        in_flight.remove(watch)
        if not isinstance(got, NoAnswer) and got.status == 204:
            accepted[watch].append(int(request.headers["ce-sequence"]))
        return got

    transport._otherwise = answer
    transport.send = watched  # type: ignore[method-assign]  # the same, with an eye on it
    pump = await outbox.pump(concurrency=6)
    async with turning(pump):
        for _ in range(4):
            await outbox.tell(*ids, events=3)
            pump.wake()
            await anyio.sleep(5)
        await anyio.sleep(600)

    assert accepted == {each: list(range(1, 13)) for each in ids}


async def test_no_more_posts_are_in_flight_than_the_section_allows(outbox: Outbox) -> None:
    outbox.transport.script("ops", Answer(204, takes=1))
    await outbox.tell(*(f"w{number}" for number in range(20)))
    async with turning(await outbox.pump(concurrency=4)):
        await anyio.sleep(6)

    assert outbox.transport.most_in_flight["ops"] == 4
    assert outbox.transport.times("ops") == [float(second) for second in range(5) for _ in range(4)]


async def test_a_slow_webhook_does_not_delay_another(outbox: Outbox) -> None:
    outbox.transport.script("slow", Silence(NoAnswer(Fault.TIMEOUT, "no answer in time"), takes=15))
    await outbox.tell(*(f"w{number}" for number in range(50)), to=("slow", "quick"))
    async with turning(await outbox.pump("slow", concurrency=2), await outbox.pump("quick", concurrency=2)):
        await anyio.sleep(0.1)
        assert len(outbox.received("quick")) == 50
        assert len(outbox.received("slow")) == 2


async def test_a_first_attempt_has_its_turn_however_many_retries_are_due(outbox: Outbox) -> None:
    failing = [f"w{number}" for number in range(50)]
    outbox.transport._otherwise = lambda request: (
        Answer(204, takes=0.1) if request.headers["ce-subject"] == "new" else Answer(422, takes=0.1)
    )
    await outbox.tell(*failing)
    pump = await outbox.pump(concurrency=2)  # 20 attempts a second, while 50 are due
    async with turning(pump):
        await anyio.sleep(20)
        told_at = outbox.clock.monotonic()
        await outbox.tell("new")
        pump.wake()
        await anyio.sleep(10)

    tried_at = next(sent.at for sent in outbox.transport.sent if sent.request.headers["ce-subject"] == "new")
    assert tried_at - told_at < 3  # one round of all that was due before it


async def test_what_is_told_while_nothing_waits_is_sent_at_the_ring_of_the_bell(outbox: Outbox) -> None:
    pump = await outbox.pump()
    async with turning(pump):
        await anyio.sleep(3.3)
        await outbox.tell("w")
        pump.wake()
        await anyio.sleep(0.01)
        assert outbox.transport.times("ops") == [3.3]


async def test_the_next_of_a_watch_is_sent_as_soon_as_the_one_before_it_is_recorded(outbox: Outbox) -> None:
    outbox.transport.script("ops", Answer(204, takes=0.5))
    await outbox.tell("w", events=3)
    async with turning(await outbox.pump(concurrency=2)):
        await anyio.sleep(5)

    assert outbox.transport.times("ops") == [0.0, 0.5, 1.0]


# --- stopping, and what is on the wire --------------------------------------------------------------------------


async def test_stopping_finishes_what_is_in_flight_and_begins_nothing(outbox: Outbox) -> None:
    outbox.transport.script("ops", Answer(204, takes=5))
    await outbox.tell("a", "b", "c", "d")
    async with turning(await outbox.pump(concurrency=2)):
        await anyio.sleep(1)
    assert outbox.received() == [("a", 1), ("b", 1)]
    assert outbox.clock.monotonic() - EPOCH == pytest.approx(5, abs=0.01)

    async with turning(await outbox.pump(concurrency=2)):
        await anyio.sleep(6)
    assert outbox.received() == [("a", 1), ("b", 1), ("c", 1), ("d", 1)]


async def test_a_post_says_what_the_specification_promises(outbox: Outbox, clock: VirtualClock) -> None:
    outbox.transport.script("ops", BAD, GOOD)
    await outbox.tell("order 42/ü")
    async with turning(await outbox.pump(unsigned=False, secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")):
        await anyio.sleep(5)

    event = an_event(a_watch("order 42/ü"), sequence=1)
    first, second = (sent.request for sent in outbox.transport.sent)
    assert (first.method, first.url, first.body) == ("POST", "https://hooks.example/ops", body_of(event))
    signature = first.headers["webhook-signature"]
    assert signature.startswith("v1,")
    assert dict(first.headers) == {
        "content-type": "application/json",
        "user-agent": "watcher/test",
        "webhook-id": event.id,
        "webhook-timestamp": "1795435200",
        "webhook-signature": signature,
        "ce-specversion": "1.0",
        "ce-id": event.id,
        "ce-type": "watch.status.changed",
        "ce-source": "/watcher/d7",
        "ce-subject": "order%2042%2F%C3%BC",
        "ce-time": "2026-11-23T12:00:00.000000Z",
        "ce-sequence": "1",
        "watcher-attempt": "1",
    }
    assert (second.headers["watcher-attempt"], second.headers["webhook-id"]) == ("2", event.id)


async def test_a_pump_turns_while_it_has_nothing_to_do(outbox: Outbox) -> None:
    pump = await outbox.pump()
    async with turning(pump):
        await anyio.sleep(300)
        assert pump.is_turning
    await anyio.sleep(300)
    assert not pump.is_turning
