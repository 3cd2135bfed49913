"""Many watches, many webhooks: no order is reversed, and nobody waits for another webhook. In virtual time."""

import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import unquote

import anyio
import pytest
from fakes import Answer, Silence
from outboxes import Outbox, body_of
from scale import scaled
from store_values import a_step, a_watch
from structlog.testing import capture_logs
from worlds import take_in, turning

from watcher.core.model import Watch
from watcher.core.wire import Fault, NoAnswer, Request
from watcher.ports import Clock

WEBHOOKS = tuple(f"hook{number}" for number in range(10))


async def watched(outbox: Outbox, ids: Sequence[str]) -> list[Watch]:
    """Store watches, all at once, and return them as their owner has them."""
    fresh = [replace(a_watch(each), accepted_at=outbox.clock.now()) for each in ids]
    await take_in(outbox.store, fresh)
    first = await outbox.store.watch(fresh[0].uid)
    assert first is not None
    return [replace(each, epoch=first.epoch) for each in fresh]


async def tell(outbox: Outbox, watches: Sequence[Watch], *, events: int, to: tuple[str, ...]) -> list[Watch]:
    """Commit so many events of each watch, all at once, and return the watches after it."""
    steps = [a_step(each, events=events, to=to) for each in watches]
    now = outbox.clock.now()
    steps = [
        replace(step, events=tuple(replace(event, at=now, body=body_of(event)) for event in step.events))
        for step in steps
    ]
    assert await outbox.store.commit(steps) == [None] * len(steps)
    return [step.watch for step in steps]


# --- order ------------------------------------------------------------------------------------------------------


def flaky(clock: Clock, *, seed: int) -> Callable[[Request], Answer | Silence]:
    """Answer late, and one time in five with a failure; but not with what makes a webhook rest.

    Answers come at full seconds, so that many share a moment, and a write.
    """
    dice = random.Random(seed)
    failures: list[Answer | Silence] = [Answer(status) for status in (400, 404, 409, 413, 422, 302, 500)]
    failures.append(Silence(NoAnswer(Fault.CONNECTION, "Connection reset by peer")))

    def answer(_: Request) -> Answer | Silence:
        came = Answer(204) if dice.random() < 0.8 else dice.choice(failures)
        return replace(came, takes=dice.choice([1, 2]) - clock.monotonic() % 1)

    return answer


async def test_no_watch_of_many_is_ever_reversed_whatever_fails(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)  # retries share a moment, too
    outbox.transport._otherwise = flaky(outbox.clock, seed=20261123)
    ids = [f"w{number}" for number in range(scaled(200, long=1000))]
    watches = await watched(outbox, ids)
    pump = await outbox.pump(concurrency=400)
    with capture_logs() as logs:
        async with turning(pump):
            for _ in range(4):
                watches = await tell(outbox, watches, events=5, to=("ops",))
                pump.wake()
                await anyio.sleep(5)
            await anyio.sleep(300)

    came: defaultdict[str, list[int]] = defaultdict(list)
    for each, sequence in outbox.received():
        came[each].append(sequence)
    assert {each: list(dict.fromkeys(numbers)) for each, numbers in came.items()} == {
        each: list(range(1, 21)) for each in ids
    }
    assert all(numbers == sorted(numbers) for numbers in came.values())  # and no repeat came late
    delivered = sum(line.get("outcome") == "delivered" for line in logs)
    print(f"{len(outbox.transport.sent)} POSTs for {delivered} deliveries")  # noqa: T201
    assert delivered == 20 * len(ids)
    assert {line["event"] for line in logs} == {"delivery.attempted"}


# --- isolation --------------------------------------------------------------------------------------------------


async def waits(outbox: Outbox, *, label: str) -> list[float]:
    """Tell ten webhooks of ten watches each 50 ms, nearly more than they can take; return how long nine waited.

    What the first of them does is for the caller to say.
    """
    watches = await watched(outbox, [f"{label} {number}" for number in range(10)])
    told_at: dict[tuple[str, int], float] = {}
    began = len(outbox.transport.sent)
    pumps = [await outbox.pump(name, concurrency=4) for name in WEBHOOKS]
    async with turning(*pumps):
        for _ in range(20):
            watches = await tell(outbox, watches, events=1, to=WEBHOOKS)
            told_at |= {(watch.id, watch.sequence): outbox.clock.monotonic() for watch in watches}
            for pump in pumps:
                pump.wake()
            await anyio.sleep(0.05)
        await anyio.sleep(60)
    posts = [(sent, sent.request.headers) for sent in outbox.transport.sent[began:] if sent.last in WEBHOOKS[1:]]
    found = [
        sent.at - told_at[unquote(headers["ce-subject"]), int(headers["ce-sequence"])]
        for sent, headers in posts
        if headers["ce-subject"].startswith(label)
    ]
    assert len(found) == 9 * 200
    return found


async def test_nine_webhooks_wait_no_longer_while_a_tenth_hangs(outbox: Outbox) -> None:
    outbox.transport._otherwise = lambda _: Answer(204, takes=0.019)
    well = await waits(outbox, label="well")
    outbox.transport.script(WEBHOOKS[0], Silence(NoAnswer(Fault.TIMEOUT, "no whole answer in time"), takes=15))
    beside = await waits(outbox, label="beside")
    p99 = [statistics.quantiles(each, n=100)[98] for each in (well, beside)]
    print(f"p99 of nine webhooks: {p99[0] * 1000:.3f} ms, and {p99[1] * 1000:.3f} ms beside one that hangs")  # noqa: T201
    assert p99[0] > 0.01  # so that there is something to wait for
    assert p99[1] == pytest.approx(p99[0], rel=0.001)
