"""How late polls that are due come, at parts of the load that the daemon can bear.

A real `watcher run` whose watches are due every few seconds, and come evenly. The provider notes how long after its
last answer each watch is asked again, less the interval: lateness, with the way there and back. What the daemon says
of itself stands beside it: the part of its polls that began within 10 and 100 ms.
"""

import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.daemon import Daemon, daemon
from bench.peer import Elsewhere, Peer, peer

LOADS = (0.25, 0.5, 0.75)
INTERVAL = 5.0
BUSY = 2_000  # watches that are always due
TICK = 0.005  # so often some watches are added
SPREAD = 4  # intervals through which they are added, because the first poll of each is a change
WARM_UP = 3.0
SECONDS = 10.0
LAG = 'watcher_poll_lag_seconds_bucket{{le="{}",provider="d7"}}'


class Waiting(Peer):
    """Notes by how much more than the interval each question comes after the answer before it."""

    def __init__(self) -> None:
        super().__init__()
        self._answered: dict[bytes, float] = {}

    def reply(self, head: bytes) -> bytes:
        """Say the same once more."""
        place, now = head.split(b" ", 2)[1], time.monotonic()
        if place in self._answered:
            self.noted.append(now - self._answered[place] - INTERVAL)
        self._answered[place] = now
        return super().reply(head)


def most() -> float:
    """Return how many unchanged polls a second there are where watches are always due."""
    with TemporaryDirectory() as folder, peer() as provider, daemon(Path(folder), provider=provider.url) as running:
        running.ask_for(range(BUSY))
        time.sleep(WARM_UP + BUSY / 500)
        before, began = provider.tell()[0], time.monotonic()
        time.sleep(SECONDS / 2)
        return (provider.tell()[0] - before) / (time.monotonic() - began)


def lateness(rate: float) -> str:
    """Say how late polls are at so many a second."""
    with TemporaryDirectory() as name, peer(Waiting) as provider, ExitStack() as opened:
        running = opened.enter_context(daemon(Path(name), provider=provider.url, interval=f"{INTERVAL:.0f}s"))
        add_evenly(running, watches=int(rate * INTERVAL))
        time.sleep(2 * INTERVAL + WARM_UP)
        provider.tell()
        before, (loop, _), began = running.metrics(), running.cpu, time.monotonic()
        time.sleep(SECONDS)
        seconds = time.monotonic() - began
        after, used = running.metrics(), running.cpu[0] - loop
        return _told(provider, before, after, seconds=seconds, busy=used / seconds)


def _told(
    provider: Elsewhere, before: dict[str, float], after: dict[str, float], *, seconds: float, busy: float
) -> str:
    late = provider.tell()[1]
    percentiles = statistics.quantiles(late, n=1000)
    p50, p99, p999 = (percentiles[place] * 1000 for place in (499, 989, 998))
    begun, *soon = (after[name] - before[name] for name in (LAG.format(most) for most in ("+Inf", "0.01", "0.1")))
    within = "".join(f"{one / begun:>10.2%}" for one in soon)
    return f"{len(late) / seconds:>8,.0f}/s{p50:>9.1f} ms{p99:>9.1f} ms{p999:>9.1f} ms{within}{busy:>12.0%}"


def add_evenly(running: Daemon, *, watches: int) -> None:
    """Ask for watches one after the other, so that later they are due so as well."""
    began, asked = time.monotonic(), 0
    while asked < watches:
        time.sleep(TICK)
        due = min(int((time.monotonic() - began) / (SPREAD * INTERVAL) * watches), watches)
        running.ask_for(range(asked, due))
        asked = due


def main() -> None:
    """Print a line for each load."""
    most_polls = most()
    print(f"unchanged polls, watches always due: {most_polls:,.0f}/s", flush=True)
    heads = f"{'polls':>10}{'p50':>12}{'p99':>12}{'p99.9':>12}{'<= 10 ms':>10}{'<= 100 ms':>10}{'event loop':>12}"
    print(f"{'load':<8}{heads}")
    for load in LOADS:
        print(f"{load:<8.0%}{lateness(load * most_polls)}", flush=True)
