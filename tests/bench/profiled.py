"""`watcher` under cProfile, which leaves what it saw in the file `profile`; and how that is told, by module.

It sees the thread of the event loop, and counts its time on the processor: others on the machine do not disturb it.
"""

import cProfile
import pstats
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import watcher.app  # noqa: F401  # loaded, so that it is not counted
from watcher.cli import main

MOST = 20
BUILT_IN = "~"


def parts(path: Path) -> Mapping[str, float]:
    """Return seconds by module; what is built in counts for the module that called it."""
    seconds: defaultdict[str, float] = defaultdict(float)
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, dict[tuple[str, int, str], tuple[float, ...]]]]
    stats = pstats.Stats(f"{path}").stats  # type: ignore[attr-defined]  # its one way to say so in numbers
    for (file, _, name), (_, _, own, _, callers) in stats.items():
        if file != BUILT_IN or not callers:
            seconds[part(file, name)] += own
            continue
        for (caller, _, calling), (_, _, its_own, _) in callers.items():
            seconds[part(caller, calling)] += its_own
    return seconds


def part(file: str, name: str) -> str:
    """Name a module of ours, or somebody's package."""
    if file == BUILT_IN:
        return f"built in: {name.strip('<>')}"
    path = Path(file)
    for folder in ("watcher", "site-packages"):
        if folder in path.parts[:-1]:
            below = path.parts[len(path.parts) - path.parts[::-1].index(folder) :]
            return f"watcher/{'/'.join(below)}" if folder == "watcher" else below[0].removesuffix(".py")
    return f"python: {path.parent.name if path.parent.name in {'asyncio', 'json'} else path.name}"


def tell_parts(path: Path, *, each: int) -> None:
    """Print the largest parts, for each of so many."""
    seconds = parts(path)
    whole = sum(seconds.values())
    print(f"under cProfile, which slows it: {whole / each * 1e6:,.0f} µs of the event loop's thread for each, of which")
    for name, own in sorted(seconds.items(), key=lambda item: -item[1])[:MOST]:
        print(f"  {own / whole:>6.1%}  {name}", flush=True)


def run() -> None:
    """Be `watcher`; what is loaded by now is not counted."""
    profile = cProfile.Profile(time.thread_time)
    try:
        profile.runcall(main)
    finally:
        profile.dump_stats("profile")


if __name__ == "__main__":
    run()
