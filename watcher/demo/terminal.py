"""What strangers sent, made fit for a terminal: nothing that moves the cursor, hides, or fills the screen."""

import io
import os
import signal
import sys

from rich.console import Console

LONGEST = 60


def escaped(text: str) -> str:
    """Write text on one line, with whatever is not printable as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(value: object) -> str:
    """Write a value on one line, escaped and shortened."""
    text = "—" if value is None else escaped(str(value)[: LONGEST + 1])
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def open_console() -> Console:
    """Return a console on standard output that takes text as it is, and never fails on a character."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    return _Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


class _Console(Console):
    """Ends as by Ctrl-C where nobody reads any more: an exit in the middle of a task leaves the loop in pieces."""

    def on_broken_pipe(self) -> None:
        """Write nothing from now on, and end."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        signal.raise_signal(signal.SIGINT)
