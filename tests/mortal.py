"""`watcher run` that is killed again and again. Its modules are loaded once, so that a life is short and cheap.

`python -m mortal CONFIG LOG KILLS SEED` lives so many lives one after the other and appends what they print to the log.
Each ends by SIGKILL from outside, a moment after so many lines as the dice say: while it starts, polls or delivers.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import anyio

import watcher.app  # noqa: F401  # and with it all that a daemon needs
from watcher.cli import app

LINES = 60
LONGEST_SILENCE = 1.0
MOMENT = 0.01


def live(config: str, log: Path) -> int:
    """Fork a daemon and return its process id."""
    life = os.fork()
    if not life:
        output = os.open(log, os.O_WRONLY | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        app(["-c", config, "run"])
    return life


def wait(log: Path, *, lines: int) -> None:
    """Wait until so many lines were added, or nothing happens any more."""
    with log.open("rb") as output:
        output.seek(0, os.SEEK_END)
        changed_at = time.monotonic()
        while lines > 0 and time.monotonic() - changed_at < LONGEST_SILENCE:
            if added := output.read().count(b"\n"):
                lines -= added
                changed_at = time.monotonic()
            time.sleep(0.001)


def main(config: str, log: str, kills: str, seed: str) -> None:
    dice, path = random.Random(seed), Path(log)
    path.touch()
    anyio.run(anyio.sleep, 0, backend_options={"use_uvloop": True})  # loads the loop, too
    for _ in range(int(kills)):
        life = live(config, path)
        wait(path, lines=dice.randrange(LINES))
        time.sleep(dice.uniform(0, MOMENT))
        os.kill(life, signal.SIGKILL)
        _, status = os.waitpid(life, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            raise SystemExit("a daemon ended by itself")


if __name__ == "__main__":
    main(*sys.argv[1:])
