"""Nothing goes wrong, for long: does the daemon use ever more of anything?"""

import os
import sys
import time
from pathlib import Path

import anyio

from chaos.measured import Uses
from chaos.world import World, around

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
TELL_EVERY = max(SECONDS / 10, 2.0)
WARM_SHARE = 0.3  # of the time, until caches are full
MOST_GROWTH = 5.0  # megabytes, between the two halves of the rest


def main(folder: Path, *, names: Path) -> bool:
    """Print what was used over time; True if it stays the same."""
    return anyio.run(lambda: _soak(folder, names=names))


async def _soak(folder: Path, *, names: Path) -> bool:
    async with around(folder, disk=folder, names=names) as world:
        began = time.monotonic()
        sys.stdout.write(f"{SECONDS:g} s\n{'at':>8}{'watches':>9}{'memory MB':>11}{'handles':>9}{'tasks':>7}\n")
        while time.monotonic() - began < SECONDS:
            await anyio.sleep(TELL_EVERY)
            _tell(world, at=time.monotonic() - began)
        world.is_asking = False
        finished = await world.until_finished(watches=world.asked, within=60)
        is_flat = _judge(world.uses, since=began + SECONDS * WARM_SHARE, until=began + SECONDS)
        return await world.end() == 0 and finished is not None and not world.lost and is_flat


def _tell(world: World, *, at: float) -> None:
    now = world.uses.all[-1]
    sys.stdout.write(f"{at:>6.0f} s{world.asked:>9}{now.memory:>11.1f}{now.handles:>9}{now.tasks:>7}\n")
    sys.stdout.flush()


def _judge(uses: Uses, *, since: float, until: float) -> bool:
    """Compare the halves of a while."""
    middle = (since + until) / 2
    growth = uses.memory(since=middle, until=until) - uses.memory(since=since, until=middle)
    _, handles, tasks = uses.most
    slope = uses.slope(since=since)
    sys.stdout.write(f"memory {slope:+.1f} MB/h ({growth:+.2f} MB), at most {handles} handles and {tasks} tasks\n")
    return growth < MOST_GROWTH
