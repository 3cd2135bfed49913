"""What a process uses, as the kernel says; over time."""

import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Use:
    """What a process used at a moment: megabytes of memory, file handles, asyncio's tasks."""

    at: float
    memory: float
    handles: int
    tasks: int


def use_of(pid: int, *, tasks: int) -> Use | None:
    """Look at a process; None if it is gone."""
    proc = Path(f"/proc/{pid}")
    try:
        memory = int((proc / "statm").read_text().split()[1]) * PAGE / MB
        return Use(time.monotonic(), memory, len(list((proc / "fd").iterdir())), tasks)
    except OSError:
        return None


@dataclass(slots=True)
class Uses:
    """What was used over time."""

    all: list[Use] = field(default_factory=list)

    def note(self, use: Use | None) -> None:
        if use is not None:
            self.all.append(use)

    def memory(self, *, since: float, until: float) -> float:
        """Return the median of a while, in megabytes; 0 if nobody looked."""
        return statistics.median([use.memory for use in self.all if since <= use.at <= until] or [0.0])

    @property
    def most(self) -> tuple[float, int, int]:
        """Return the most megabytes, handles and tasks at any time."""
        every = [(use.memory, use.handles, use.tasks) for use in self.all] or [(0.0, 0, 0)]
        memory, handles, tasks = zip(*every, strict=True)
        return max(memory), max(handles), max(tasks)

    def slope(self, *, since: float) -> float:
        """Return by how many megabytes an hour the memory grew, as a straight line would."""
        late = [use for use in self.all if use.at >= since]
        line = statistics.linear_regression([use.at for use in late], [use.memory for use in late])
        return line.slope * 3600
