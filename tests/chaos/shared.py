"""A few bytes that a test and its daemon share."""

import mmap
import struct
from pathlib import Path

_LAYOUT = struct.Struct("dq")


class Shared:
    """`offset` is how far the daemon's wall clock is off, in seconds; `tasks` is how many it has."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_LAYOUT.pack(0.0, 0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _LAYOUT.size)

    @property
    def offset(self) -> float:
        return float(struct.unpack_from("d", self._memory, 0)[0])

    @offset.setter
    def offset(self, seconds: float) -> None:
        struct.pack_into("d", self._memory, 0, seconds)

    @property
    def tasks(self) -> int:
        return int(struct.unpack_from("q", self._memory, 8)[0])

    @tasks.setter
    def tasks(self, number: int) -> None:
        struct.pack_into("q", self._memory, 8, number)
