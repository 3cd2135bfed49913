"""A daemon that is killed at 200 random points, as in `daemon/test_deliveries_kill.py`, with what came of it."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from daemon.test_deliveries_kill import check, figures, suffer

KILLS = 200
WATCHES = 120


async def soak() -> str:
    """Kill, deliver the rest, compare; a line with the figures, or an AssertionError that says what was lost."""
    with TemporaryDirectory() as folder:
        receiver, world = await suffer(Path(folder), kills=KILLS, watches=WATCHES)
        await check(receiver, world)
    return figures(receiver, kills=KILLS)


def main() -> None:
    """Print the line."""
    began = time.monotonic()
    print(anyio.run(soak), f"({time.monotonic() - began:.0f} s)")
