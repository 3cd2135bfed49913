"""What processes take of the machine, as Linux counts it: a process and all that it has started."""

import os
from collections import defaultdict
from pathlib import Path

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu(process: int) -> float:
    """Return how many seconds of the processor a process and its descendants have used."""
    return sum(_used(PROC / f"{one}") for one in family(process))


def loop_cpu(process: int) -> float:
    """Return how many seconds the first thread of a process has used, in which its event loop is."""
    return _used(PROC / f"{process}" / "task" / f"{process}")


def memory(process: int) -> float:
    """Return what a process and its descendants hold in memory, in MB."""
    return sum(int((PROC / f"{one}" / "statm").read_text().split()[1]) for one in family(process)) * PAGE / 1e6


def family(process: int) -> list[int]:
    """Return a process and its descendants."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for folder in PROC.iterdir():
        if folder.name.isdecimal() and (fields := _fields(folder)):
            children[int(fields[1])].append(int(folder.name))
    found = [process]
    for one in found:  # which grows meanwhile
        found += children[one]
    return found


def _used(folder: Path) -> float:
    fields = _fields(folder)
    return (int(fields[11]) + int(fields[12])) / TICK if fields else 0.0


def _fields(folder: Path) -> list[str]:
    """Return what stands behind the name in `stat`; nothing of a process that has just ended."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
