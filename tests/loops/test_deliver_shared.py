"""Several workers send to one webhook: what one is told, others go by, and what they know themselves stays."""

from dataclasses import replace

import anyio
import pytest
from fakes import Answer
from outboxes import Outbox
from worlds import turning

from watcher.core.endpoint import Disabled, disabled
from watcher.stores import sqlite


async def test_what_another_worker_was_told_is_learnt_in_the_midst_of_sending(outbox: Outbox) -> None:
    pump = await outbox.pump(concurrency=1)
    await outbox.tell(*(f"w{number}" for number in range(100)))
    outbox.store.slow["settle"] = 0.2  # so that something is being written whenever we look
    async with turning(pump):
        await anyio.sleep(1.1)
        pump.learn(replace(disabled(pump.known, Disabled.GONE, now=outbox.clock.now()), version=7))
        sent = len(outbox.received())
        await anyio.sleep(5)
    assert len(outbox.received()) <= sent + 1
    assert (pump.known.disabled, pump.known.last_good is not None) == (Disabled.GONE, True)


async def test_what_was_read_before_we_wrote_is_not_learnt(outbox: Outbox) -> None:
    pump = await outbox.pump()
    old = pump.known
    pump.known = replace(disabled(old, Disabled.GONE, now=outbox.clock.now()), version=2)
    pump.learn(replace(old, version=1))
    assert pump.known.disabled is Disabled.GONE


async def test_what_another_worker_made_wait_is_sent_as_soon_as_it_is_heard_of(outbox: Outbox) -> None:
    pump = await outbox.pump()
    async with turning(pump):
        await anyio.sleep(1)
        await outbox.tell("w")
        await anyio.sleep(1)
        assert outbox.received() == []
        pump.learn(replace(pump.known, version=1))
        await anyio.sleep(0.1)
        assert outbox.received() == [("w", 1)]


async def test_what_another_worker_lined_up_goes_in_order_a_moment_after_that_is_heard_of(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "FEW", 20)
    outbox.transport.script("ops", Answer(204, takes=1))
    await outbox.store.endpoint("ops", ordered=False)
    await outbox.tell("w", events=200)
    pump = await outbox.pump(concurrency=4)
    async with turning(pump):
        await anyio.sleep(1.5)
        while await outbox.store.arrange():
            pass
        pump.learn(replace(pump.known, version=1))
        await anyio.sleep(3)
        outbox.transport.most_in_flight.clear()
        begin = len(outbox.received())
        await anyio.sleep(20)

    after = outbox.received()[begin:]
    assert (outbox.transport.most_in_flight["ops"], after) == (1, sorted(after))
    assert len(after) == 20
