"""Prints lines without ever waiting for whoever reads them. What a line says is `log.py`'s.

A full pipe or disk holds up a thread of its own. What cannot be kept until then is dropped and counted, and the next
line that is printed is preceded by one that says how many are missing.
"""

import atexit
import os
import select
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 8 * 1024 * 1024  # that wait to be printed
LAST_WORDS_WITHIN = 1.0
STANDARD_ERROR = 2
LINGER = 0.002  # so that lines which come together share a write, and a turn of the interpreter


class Printer:
    """A logger for structlog: whatever the level, a line is printed, in the order in which they came."""

    def __init__(self, stream: BinaryIO, *, missing: Callable[[int], bytes], most: int = MOST_BYTES) -> None:
        """Print to an open file, past its buffer; `missing` makes the line that tells how many were dropped."""
        self._stream = stream  # kept open, or another file would get its number, and our lines
        self._descriptor = stream.fileno()
        self._missing = missing
        self._most = most
        self._waiting: list[tuple[bytes, int]] = []  # lines, and how many were dropped before each
        self._size = 0
        self._dropped = 0
        self._is_torn = False
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None

    def msg(self, line: bytes) -> None:
        """Have a line printed soon, or drop it; never wait."""
        with self._changed:
            # Once lines are dropped, there must be much room again: or every other line would tell of a missing one.
            if self._size + len(line) > (self._most // 2 if self._dropped else self._most):
                self._dropped += 1
                return
            self._waiting.append((line, self._dropped))
            self._size += len(line)
            self._dropped = 0
            if self._thread is None:
                self._thread = threading.Thread(target=self._live, name="log", daemon=True)
                self._thread.start()
                _started.append(self)
            self._changed.notify_all()

    log = debug = info = warn = warning = error = err = critical = fatal = failure = exception = msg

    def flush(self, *, within: float) -> bool:
        """Wait until all is printed, but no longer than so many seconds; say whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._size == 0, within)

    # --- in the thread ----------------------------------------------------------------------------------------

    def _live(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
            time.sleep(LINGER)
            with self._changed:
                batch, self._waiting = self._waiting, []
            is_printed = self._print(batch)
            with self._changed:
                self._size -= sum(len(line) for line, _ in batch)
                if not is_printed:
                    self._dropped += sum(1 + before for _, before in batch)
                self._changed.notify_all()

    def _print(self, batch: list[tuple[bytes, int]]) -> bool:
        """Print all of it, however long that takes; False if some of it cannot be printed."""
        told = [self._missing(before) + b"\n" + line if before else line for line, before in batch]
        rest = memoryview(b"\n" * self._is_torn + b"\n".join(told) + b"\n")
        while rest:
            try:
                number = os.write(self._descriptor, rest)
            except BlockingIOError:  # somebody who has the same file wants it so
                select.select((), (self._descriptor,), (), 1.0)
                continue
            except OSError:  # nobody will read it, or the disk is full
                return False
            rest = rest[number:]
            self._is_torn = bool(rest)
        return True


_started: list[Printer] = []


@atexit.register
def last_words() -> None:
    """Wait a moment until all is printed: before the process ends, also where it ends without looking back."""
    for printer in _started:
        printer.flush(within=LAST_WORDS_WITHIN)


@cache
def printer_of(stream: BinaryIO, *, missing: Callable[[int], bytes]) -> Printer:
    """Return the one printer of an open file."""
    return Printer(stream, missing=missing)


@cache
def nowhere() -> BinaryIO:
    """Return what takes the place of a standard output that was closed before we started."""
    return Path(os.devnull).open("wb")


def plug() -> None:
    """Open what is closed of standard input, output and error, before anything else takes their numbers.

    Lines would go there, and libuv aborts when it closes a file whose number is so low.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass
    os.close(number)
