"""`make bench`: every measurement, as pairs in turn, because the machine is noisy; the median of each is printed.

`python -m bench fuzz` measures nothing: it gives each provider many more odd answers than the tests have time for.
"""

import os
import statistics
import sys
from collections.abc import Awaitable, Callable

import anyio
import structlog

from bench import (
    changes,
    deliveries,
    endtoend,
    fuzz,
    intake_file,
    intake_http,
    intake_nats,
    intake_redis,
    latency,
    lateness,
    layers,
    many,
    polls,
    unchanged,
    waiting,
    workers,
)
from bench.peer import answering

PAIRS = 3
MEASUREMENTS = {
    "unchanged polls": (polls.ours, polls.bare, "bare aiohttp GET loop"),
    "durable signed deliveries": (deliveries.ours, deliveries.bare, "bare aiohttp POST loop, signed"),
    "durable changes": (changes.ours, changes.bare, "bare sqlite3, one update and two inserts"),
    "durable changes, PostgreSQL": (changes.ours_postgres, changes.bare_postgres, "bare asyncpg, the same in lists"),
    "intake: file": (intake_file.file, intake_file.bare_file, "a loop over the file's lines"),
    "intake: directory": (intake_file.directory, intake_file.bare_directory, "list, read, rename"),
    "intake: nats": (intake_nats.ours, intake_nats.bare, "the same source without a store"),
    "intake: HTTP, one by one": (
        intake_http.one_by_one,
        intake_http.bare_one_by_one,
        "an aiohttp server that drops them",
    ),
    "intake: HTTP, in lists": (intake_http.in_lists, intake_http.bare_in_lists, "the same"),
    "intake: redis": (intake_redis.ours, intake_redis.bare, "bare redis-py, XREADGROUP and XACK"),
}

# They print in their own way.
ALONE = {
    "endtoend": endtoend.main,
    "fuzz": fuzz.main,
    "latency": latency.main,
    "lateness": lateness.main,
    "layers": layers.main,
    "many": many.main,
    "unchanged": unchanged.main,
    "waiting": waiting.main,
    "workers": workers.main,
}


def measure(call: Callable[[str], Awaitable[float]], url: str) -> float:
    """Run one measurement on a fresh event loop."""
    return anyio.run(call, url, backend_options={"use_uvloop": True})


def main() -> None:
    """Print the table, or what became of odd answers."""
    wanted = sys.argv[1:]
    if "--help" in wanted:
        print(f"{__doc__}\nby themselves: {', '.join(ALONE)}\nin the table: {', '.join(MEASUREMENTS)}")
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    if len(wanted) == 1 and wanted[0] in ALONE:
        ALONE[wanted[0]]()
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
    print(f"{'what':<28}{'watcher':>12}{'compared':>12}{'ratio':>8}   compared to")
    for name, (ours, bare, peer) in MEASUREMENTS.items():
        if wanted and not any(word in name for word in wanted):
            continue
        with answering() as url:
            pairs = [(measure(bare, url), measure(ours, url)) for _ in range(PAIRS)]
        theirs, own = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(mine / other for other, mine in pairs)
        print(f"{name:<28}{own:>10,.0f}/s{theirs:>10,.0f}/s{ratio:>8.4g}   {peer}")


if __name__ == "__main__":
    main()
