"""`make chaos`: each fault in turn for `CHAOS_SECONDS`, then all at once; and `soak`, for `SOAK_SECONDS` without any.

`python -m chaos [WORD…]` runs those whose names hold one of the words. It needs to mount: it starts itself again in a
namespace of its own, so that nothing of what it mounts or renames is seen by anybody else, or stays.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from chaos import soak
from chaos.faults import FAULTS, Fault, all_at_once
from chaos.world import around

SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
WARM = 5.0
CALM = 3.0
RECOVERS_WITHIN = 120.0 + 2 * SECONDS  # a webhook's breaker is probed after 30 s, then twice as late each time
MOST_GROWTH = 30.0  # megabytes
DISK = "160m"  # of which the last 100 MB are for what is known already
ALONE = "CHAOS_NAMESPACE"


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one storm."""

    name: str
    watches: int
    posts: int
    lost: int
    wrong: int
    recovered: float | None
    before: float
    after: float
    most: tuple[float, int, int]
    starts: int
    status: int
    said: Counter[str]
    faults: list[str]

    HEAD = (
        f"{'chaos':<24}{'watches':>8}{'POSTs':>7}{'lost':>6}{'wrong':>6}{'recovered':>11}"
        f"{'memory MB':>18}{'handles':>9}{'tasks':>7}{'starts':>8}        said"
    )

    @property
    def is_good(self) -> bool:
        """Nothing is lost or wrong, it met no bug, recovered by itself, its memory is flat, and it ended in order."""
        bugs = len(self.faults) + self.said["garbage"]
        is_whole = (self.lost, self.wrong, self.status, bugs) == (0, 0, 0, 0) and self.recovered is not None
        return is_whole and self.after - self.before < MOST_GROWTH

    def __str__(self) -> str:
        recovered = "never" if self.recovered is None else f"{self.recovered:.1f} s"
        memory, handles, tasks = self.most
        said = ", ".join(f"{event} {number}" for event, number in self.said.items())
        return (
            f"{self.name:<24}{self.watches:>8}{self.posts:>7}{self.lost:>6}{self.wrong:>6}{recovered:>11}"
            f"{f'{self.before:.0f} → {self.after:.0f} ({memory:.0f})':>18}{handles:>9}{tasks:>7}{self.starts:>8}  "
            f"{'good' if self.is_good else 'BAD '}  {said}"
        )


async def suffer(name: str, fault: Fault, *, folder: Path, disk: Path, names: Path) -> Row:
    """Let a daemon work, suffer, and recover."""
    async with around(folder, disk=disk, names=names) as world:
        warm = await world.until_finished(watches=int(WARM / 0.1), within=60)
        assert warm is not None, f"it does not even start: see {folder}"
        await anyio.sleep(CALM)
        began = time.monotonic()
        async with fault(world):
            await anyio.sleep(SECONDS)
        world.is_asking = False
        recovered = await world.until_finished(watches=world.asked, within=RECOVERS_WITHIN)
        await anyio.sleep(CALM)
        ended = time.monotonic()
        status = await world.end()
        return Row(
            name,
            world.asked,
            len(world.hook.posts),
            len(world.lost),
            len(world.hook.complaints),
            recovered,
            world.uses.memory(since=began - CALM, until=began),
            world.uses.memory(since=ended - CALM, until=ended),
            world.uses.most,
            world.starts,
            status,
            world.complaints(),
            world.faults(),
        )


# --- where it runs ------------------------------------------------------------------------------------------------


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount one."""
    folder.mkdir()
    subprocess.run([_tool("mount"), "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run([_tool("umount"), "--lazy", str(folder)], check=True)


def own_names(folder: Path) -> Path:
    """Have a list of names that only we see, and nobody to ask beyond it; return where it stands."""
    names, servers = folder / "hosts", folder / "resolv.conf"
    names.touch()
    servers.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    for own, place in ((names, "/etc/hosts"), (servers, "/etc/resolv.conf")):
        subprocess.run([_tool("mount"), "--bind", str(own), place], check=True)
    return names


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is missing")
    return found


def main(words: list[str]) -> bool:
    """Print the table; True if all is good."""
    chosen = {**FAULTS, "all at once": all_at_once}
    chosen = {name: fault for name, fault in chosen.items() if not words or any(word in name for word in words)}
    is_good = True
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        names = own_names(Path(temporary))
        if "soak" in words:
            return soak.main(Path(temporary), names=names)
        tell(f"{SECONDS:g} s each\n{Row.HEAD}")
        for number, (name, fault) in enumerate(chosen.items()):
            folder = Path(temporary) / str(number)
            folder.mkdir()
            with small_disk(folder / "disk") as disk:
                row = anyio.run(partial(suffer, name, fault, folder=folder, disk=disk, names=names))
                tell("\n".join([str(row), *row.faults]))
                if not row.is_good:
                    kept = shutil.copytree(folder, Path(tempfile.mkdtemp(prefix="bad-chaos-")) / "kept")
                    tell(f"its log and its store: {kept}")
            is_good = is_good and row.is_good
    return is_good


if __name__ == "__main__":
    if ALONE not in os.environ:
        command = [_tool("unshare"), "--mount", "--map-root-user", sys.executable, "-m", "chaos", *sys.argv[1:]]
        os.execve(command[0], command, {**os.environ, ALONE: "yes"})  # noqa: S606
    raise SystemExit(not main(sys.argv[1:]))
