"""Changes a second from a poll to a delivery that was answered: whole lives of watches, against a bare loop.

A real `watcher run` on SQLite at `synchronous=FULL`, on uvloop; each answer of the provider says something new, until
each watch has succeeded; the receiver answers 2xx. Counted is what reached the receiver, from the first poll to the
last delivery. At last one run under cProfile says where the time of the daemon goes.
"""

import multiprocessing
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from bench.bare import polled_and_delivered
from bench.daemon import PLAIN, PROFILED, daemon
from bench.deliveries import SECRET
from bench.peer import ANSWER, Elsewhere, Peer, peer
from bench.process import cpu, loop_cpu
from bench.profiled import tell_parts

WATCHES = 2_000
CHANGES = 10  # of each watch, the last of which ends it
PAIRS = 3
MOST_SECONDS = 120.0  # that a run may take
SECTIONS = """
[webhooks.ops]
url = "{url}"
secret = "{secret}"
events = ["message.status.changed"]
concurrency = 64
"""
SAID = b'{"total_recipients":1,"messages":[{"msg_id":"a","status":"%s","recipient":"+15550100"}]}'


class Changing(Peer):
    """A provider that never says of one thing what it said before; notes when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: defaultdict[bytes, int] = defaultdict(int)
        words = [b"sent" if number % 2 else b"processed" for number in range(CHANGES - 1)]
        self._answers = [ANSWER % (len(body), body) for body in (SAID % word for word in (*words, b"delivered"))]

    def reply(self, head: bytes) -> bytes:
        """Say what is new."""
        self.noted.append(time.monotonic())
        place = head.split(b" ", 2)[1]
        self._asked[place] += 1
        return self._answers[min(self._asked[place], CHANGES) - 1]


class Receiver(Peer):
    """Takes what it is sent; notes when something came that is new to it."""

    def __init__(self) -> None:
        super().__init__(b"")
        self._known: set[bytes] = set()

    def reply(self, head: bytes) -> bytes:
        """Say that all is well."""
        name = head.partition(b"webhook-id: ")[2].partition(b"\r\n")[0]
        if name not in self._known:
            self._known.add(name)
            self.noted.append(time.monotonic())
        return self.answer


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run came to, and what each took of the processor for a change, in microseconds."""

    rate: float
    behind: float  # seconds from the last poll to the last delivery
    loop: float
    rest: float
    provider: float
    receiver: float

    def __str__(self) -> str:
        return (
            f"{self.rate:>8,.0f}/s{self.behind:>9.1f} s"
            f"{self.loop:>9.0f} µs{self.rest:>9.0f} µs{self.provider:>9.0f} µs{self.receiver:>9.0f} µs"
        )


def finished(provider: Elsewhere, receiver: Elsewhere, *, process: int, number: int) -> Figures:
    """Wait until so many changes have arrived, and say what that took."""
    everybody = (provider.process, receiver.process)
    before = (loop_cpu(process), cpu(process), *(cpu(one) for one in everybody))
    asked: list[float] = []
    told: list[float] = []
    ends_at = time.monotonic() + MOST_SECONDS
    while len(told) < number:
        assert time.monotonic() < ends_at, f"{len(told)} of {number} changes have arrived, and no more"
        time.sleep(0.1)
        asked += provider.tell()[1]
        told += receiver.tell()[1]
    after = (loop_cpu(process), cpu(process), *(cpu(one) for one in everybody))
    loop, whole, *others = ((now - then) / number * 1e6 for then, now in zip(before, after, strict=True))
    return Figures(number / (told[-1] - asked[0]), told[-1] - asked[-1], loop, whole - loop, *others)


def ours(*, by: tuple[str, ...] = PLAIN, watches: int = WATCHES) -> Figures:
    """Let a daemon take watches through their lives."""
    with TemporaryDirectory() as folder, peer(Changing) as provider, peer(Receiver) as receiver:
        sections = SECTIONS.format(url=receiver.url, secret=SECRET)
        with daemon(Path(folder), provider=provider.url, sections=sections, by=by) as running:
            running.ask_for(range(watches))
            number = watches * CHANGES
            figures = finished(provider, receiver, process=running.process.pid, number=number)
        if by == PROFILED:
            tell_parts(Path(folder, "profile"), each=number)
    return figures


def bare() -> Figures:
    """Let a bare loop take as many through theirs."""
    spawn = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as folder, peer(Changing) as provider, peer(Receiver) as receiver:
        ours, theirs = spawn.Pipe()
        child = spawn.Process(target=_in_child, args=(Path(folder), provider.url, receiver.url, theirs))
        child.start()
        ours.recv()
        assert child.pid is not None
        figures = finished(provider, receiver, process=child.pid, number=WATCHES * CHANGES)
        child.join()
    return figures


def _in_child(folder: Path, provider: str, receiver: str, begun: Connection) -> None:
    begun.send(None)
    uvloop.run(polled_and_delivered(folder, provider=provider, receiver=receiver, watches=WATCHES))


def main() -> None:
    """Print a line for each run, the medians, and where the time goes."""
    print("changes from poll to delivery, and CPU for each: event loop, other threads, provider, receiver", flush=True)
    print(f"{'':<12}{'changes':>10}{'behind':>11}{'loop':>12}{'rest':>12}{'provider':>12}{'receiver':>12}")
    pairs = []
    for _ in range(PAIRS):
        pairs.append((bare(), ours()))
        for name, figures in zip(("bare loop", "watcher"), pairs[-1], strict=True):
            print(f"{name:<12}{figures}", flush=True)
    theirs, own = (statistics.median(one.rate for one in column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(mine.rate / other.rate for other, mine in pairs)
    print(f"median: watcher {own:,.0f}/s, bare loop {theirs:,.0f}/s, ratio {ratio:.2f}\n", flush=True)
    ours(by=PROFILED, watches=WATCHES // 4)
