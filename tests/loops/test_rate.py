"""The provider's rate and burst, measured over every window, whatever the number of watches."""

from itertools import pairwise

import anyio
from fakes import Answer, SpiedStore
from virtual import VirtualClock
from worlds import Polling, turning

RATE, BURST = 20, 5
SECTION = {"rate": RATE, "burst": BURST, "concurrency": 16, "poll": {"min": "2s", "max": "10s"}, "grace": "1h"}


def excess(times: list[float]) -> float:
    """By how many polls the worst of all windows is over the rate: a bucket lets `burst` at once through, no more."""
    worst, tokens = 0.0, float(BURST)
    for before, now in pairwise([times[0], *times]):
        tokens = min(BURST, tokens + (now - before) * RATE) - 1
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
