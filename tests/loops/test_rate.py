"""The provider's rate and burst, measured over every window, whatever the number of watches."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from random import Random

import anyio
import pytest
from fakes import Answer, SpiedStore
from virtual import VirtualClock
from worlds import Polling, turning

from watcher.core.lease import SHARDS, Lease
from watcher.core.model import Condition
from watcher.hold import Hold

RATE, BURST = 20, 5
SECTION = {"rate": RATE, "burst": BURST, "concurrency": 16, "poll": {"min": "2s", "max": "10s"}, "grace": "1h"}


def excess(times: list[float], *, burst: int = BURST) -> float:
    """By how many polls the worst of all windows is over the rate: a bucket lets `burst` at once through, no more."""
    worst, tokens = 0.0, float(burst)
    for before, now in pairwise([times[0], *times]):
        tokens = min(burst, tokens + (now - before) * RATE) - 1
        worst = max(worst, -tokens)
    return worst


async def test_the_rate_holds_over_all_windows_with_a_thousand_watches(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, d7=SECTION)
    await world.follow(*(f"op-{number}" for number in range(1000)))
    for number in range(1000):
        world.transport.script(f"op-{number}", Answer(404, takes=0.1))

    await world.run(seconds=60)

    assert len(world.transport.sent) in range(RATE * 60 - 5, RATE * 60 + BURST + 1)
    assert excess([sent.at for sent in world.transport.sent]) < 0.001
    asked = {sent.last for sent in world.transport.sent[:1000]}
    assert len(asked) == 1000


async def test_the_burst_is_used_after_a_rest_and_never_exceeded(store: SpiedStore, clock: VirtualClock) -> None:
    world = Polling(store, clock, d7={**SECTION, "poll": {"min": "1h", "max": "1h"}})
    async with turning(*world.loops):
        await anyio.sleep(30)
        await world.follow(*(f"op-{number}" for number in range(10)))
        await anyio.sleep(10)

    times = [sent.at for sent in world.transport.sent]
    assert len(times) == 10
    assert excess(times) < 0.001
    assert times[4] - times[0] < 0.001
    assert times[5] - times[4] > 0.04


async def test_a_restart_is_no_way_around_the_rate(store: SpiedStore, clock: VirtualClock) -> None:
    sent: list[float] = []
    for restarts in range(5):
        world = Polling(store, clock, d7=SECTION)
        if restarts == 0:
            await world.follow(*(f"op-{number}" for number in range(1000)))
        for number in range(1000):
            world.transport.script(f"op-{number}", Answer(404))
        await world.run(seconds=3)
        sent += [one.at for one in world.transport.sent]

    assert excess(sent) <= 4  # the one token that each restart has


async def test_watches_that_were_seen_wait_at_least_min_after_a_restart(store: SpiedStore, clock: VirtualClock) -> None:
    before = Polling(store, clock, d7={**SECTION, "rate": 1000, "burst": 100})
    await before.follow("seen")
    await before.run(seconds=30)
    await before.follow("new")

    after = Polling(store, clock, d7={**SECTION, "rate": 1000, "burst": 100})
    began = clock.monotonic()
    await after.run(seconds=30)

    assert after.transport.sent[0].last == "new"
    first = next(sent.at for sent in after.transport.sent if sent.last == "seen")
    assert 2 <= round(first - began, 3) <= 10


# --- shared with other workers ------------------------------------------------------------------------------------


class Worker:
    """One of several that poll one account: what it holds, under which epochs, and its poller."""

    def __init__(self, store: SpiedStore, clock: VirtualClock, *, of: int) -> None:
        self.hold = Hold(clock)
        self.world = Polling(store, clock, hold=self.hold, d7={**SECTION, "poll": {"min": "1h", "max": "1h"}})
        self.poller = self.world.pollers["d7"]
        self._of = of
        self.epochs: Mapping[int, int] = {}
        self.renew({})

    def renew(self, epochs: Mapping[int, int]) -> None:
        """Hold these from now on."""
        lease = Lease(epochs, lasts=timedelta(days=1), workers=self._of)
        self.hold.extend(lease, asked_at=self.world.clock.monotonic())
        self.hold.shrink(lease)
        self.hold.grow(lease)
        self.poller.follow()
        self.epochs = epochs

    def give(self, dice: Random) -> Mapping[int, int]:
        """Let go of some shards, which are somebody else's under the next epoch."""
        gone = {shard: epoch + 1 for shard, epoch in self.epochs.items() if dice.random() < 0.5}
        self.renew({shard: epoch for shard, epoch in self.epochs.items() if shard not in gone})
        return gone


@pytest.mark.parametrize("number", [2, 3, 5, 8])
async def test_workers_that_hand_over_are_together_no_faster_than_one_or_send_one_poll_each(
    store: SpiedStore, clock: VirtualClock, number: int
) -> None:
    dice, row = Random(number), 0
    workers = [Worker(store, clock, of=number) for _ in range(number)]
    workers[0].renew(dict.fromkeys(range(SHARDS), 1))
    async with turning(*(worker.poller for worker in workers)):
        for round_ in range(60):
            await anyio.sleep(dice.choice([0.0, 0.1, 1.0, 5.0]))
            giver, taker = dice.sample(workers, k=2)
            gone = giver.give(dice)
            await anyio.sleep(dice.choice([0.0, 0.5]))
            taker.renew({**taker.epochs, **gone})
            await workers[0].world.follow(*(f"op-{round_}-{each}" for each in range(20)))
            for opened in await store.load(after=row, limit=20):
                row = opened.row
                next(worker for worker in workers if worker.hold.has(opened.uid)).poller.add(opened)
    times = sorted(sent.at for worker in workers for sent in worker.world.transport.sent)
    assert len(times) > 500
    assert excess(times, burst=max(BURST, number)) < 0.001


@pytest.mark.parametrize("workers", [1, 4])
async def test_a_pause_is_as_long_after_a_restart_of_one_of_several_workers(
    store: SpiedStore, clock: VirtualClock, workers: int
) -> None:
    now, hour = clock.now(), timedelta(hours=1)
    paused = Condition("d7", uid="condition of d7", paused_until=now + hour, paused_at=now)
    hold, lease = Hold(clock), Lease(dict.fromkeys(range(SHARDS // workers), 1), lasts=10 * hour, workers=workers)
    hold.extend(lease, asked_at=clock.monotonic())
    hold.grow(lease)
    world = Polling(store, clock, {"d7": paused}, hold=hold, d7=SECTION)
    name = next(name for name in map(str, range(99)) if hold.has(f"uid-{name}"))
    await world.follow(name)
    await world.feed.load()
    world.pollers["d7"].follow()
    async with turning(*world.pollers.values()):
        await anyio.sleep(2 * 3600)
    first, *_ = world.transport.times(name)
    assert 3600 <= first <= 3600 + 2 * workers / RATE + 0.01  # at half the rate
