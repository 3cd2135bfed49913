"""What `watcher listen` serves and prints: a line for each POST, fit for a terminal whatever it holds."""

import os
import signal
from datetime import datetime
from http import HTTPStatus

import anyio
from rich.console import Console
from rich.text import Text

from watcher.core.errors import WatcherError
from watcher.demo.pretend import serving
from watcher.demo.receiver import Arrival, Manners, Receiver
from watcher.demo.terminal import shown

SNIPPET = """\
# listening; paste this into watcher.toml, and stop with Ctrl-C
[webhooks.listen]
url = "{url}/"
secret = "{secret}"
"""


async def listen(console: Console, *, port: int, secret: str, written: str, manners: Manners) -> None:
    """Receive until SIGINT or SIGTERM; `written` is how the configuration to paste refers to the secret.

    Raises:
        WatcherError: the port is taken.

    """
    receiver = Receiver([secret], manners=manners, tell=lambda arrival: console.print(line(arrival)), keep=False)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        try:
            async with serving(receiver.application(), port=port) as url:
                console.print(SNIPPET.format(url=url, secret=written))
                await anext(signals)
        except OSError as error:
            raise WatcherError(f"cannot listen on 127.0.0.1:{port}: {os.strerror(error.errno or 0)}") from None


def line(arrival: Arrival) -> Text:
    """Write one POST: time, type, watch, message, from → to, sequence, attempt, whether it verifies, our answer."""
    is_failure = arrival.answered >= HTTPStatus.MULTIPLE_CHOICES
    return Text.assemble(
        (f"{datetime.now().astimezone():%H:%M:%S.%f}"[:-3], "dim"),
        f"  {shown(arrival.type)}  ",
        (shown(arrival.watch), "bold"),
        f" {shown(arrival.message)}" if arrival.message is not None else "",
        f"  {shown(arrival.before)} → {shown(arrival.after)}",
        f"  #{shown(arrival.sequence)}  attempt {shown(arrival.attempt)}  ",
        (f"✗ {shown(arrival.problem)}", "red") if arrival.problem else ("✓ verified", "green"),
        (f"  answered {arrival.answered}", "red" if is_failure else "dim"),
        ("  repeat" if arrival.is_repeat else "", "yellow"),
        ("" if arrival.is_in_order else "  out of order", "red"),
    )
