"""Who goes first at one webhook, and who is held back by whom: order, retries, rate."""

import itertools
from datetime import timedelta

import anyio
from fakes import Answer, SpiedStore
from outboxes import BAD, GOOD, Outbox, pumps
from recorded import IDS
from virtual import VirtualClock
from worlds import turning

from watcher.keep import Keeper


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
