"""`watcher demo`: plays the story in front of a real daemon, prints what happens, and says whether all went well."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import orjson
from rich.console import Console

from watcher.demo import timeline
from watcher.demo.chime import signs_for_aws
from watcher.demo.daemon import Daemon, configure
from watcher.demo.pretend import serving
from watcher.demo.receiver import Arrival, Manners, Receiver
from watcher.demo.signature import fresh_secret
from watcher.demo.story import PLOTS, stage
from watcher.demo.terminal import escaped, shown
from watcher.demo.vendors import Vendors
from watcher.demo.verdict import changes, is_as_expected, taken, tallies

READY_WITHIN = 5.0
ENDS_WITHIN = 11.0
BETWEEN_LINES = 0.5
TICK = 0.05
LAST_LINES = 20
RUBBISH = "this line is no request"


async def show(console: Console) -> bool:
    """Play the demo once; true if every expected event arrived, verified and in order, and all else went well.

    Where it did not, the temporary folder stays, and the end of the daemon's log is printed.
    """
    folder = Path(tempfile.mkdtemp(prefix="watcher-demo-"))
    performance = Performance(console, folder)
    is_puzzling = False
    try:
        is_puzzling = not await performance.play()
    finally:
        if not is_puzzling:
            shutil.rmtree(folder)
    if is_puzzling:
        performance.explain()
    return not is_puzzling


class Performance:
    """One run of the demo, in a folder of its own."""

    def __init__(self, console: Console, folder: Path) -> None:
        self._console = console
        self._folder = folder
        self._begun_at = time.monotonic()
        self._secret = fresh_secret()
        self._receiver = Receiver([self._secret], manners=Manners(fail=1), tell=self._tell)
        self._plots = [plot for plot in PLOTS if plot.provider != "chime" or signs_for_aws()]
        self._is_ready = False
        self._refusals = 0

    async def play(self) -> bool:
        """Start everything, wait for the end, stop it, and print the summary."""
        async with Vendors.start() as vendors, serving(self._receiver.application()) as webhook:
            for plot in self._plots:
                stage(vendors, plot)
            if self._plots != [*PLOTS]:
                self._say('without chime, which needs botocore: pip install "watcher[aws]"')
            config = configure(self._folder, vendors=vendors, webhook=webhook)
            async with Daemon.start(config, webhook_secret=self._secret) as daemon:
                self._say(f"the daemon starts, process {daemon.process.pid}")
                await self._follow(daemon, until=lambda: self._is_ready, within=READY_WITHIN)
                if self._is_ready:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._write_requests, name="write requests")
                        await self._follow(daemon, until=self._is_over, within=ENDS_WITHIN)
                        tasks.cancel_scope.cancel()
                self._say("SIGTERM to the daemon")
                status = await daemon.stop()
        self._say(f"the daemon has ended, exit status {status}", style="dim" if status == 0 else timeline.BAD)
        return self._judge() and status == 0

    def explain(self) -> None:
        """Print what was expected and did not come, and the end of the daemon's log."""
        arrivals = self._receiver.arrivals
        for plot in (plot for plot in self._plots if arrivals and not is_as_expected(plot, arrivals)):
            self._print(f"{plot.watch} expected: {'; '.join(map(_told, plot.expected))}")
            self._print(f"{plot.watch} arrived:  {'; '.join(map(_told, changes(taken(plot, arrivals))))}")
        log = self._folder / "watcher.log"
        self._print(f"the daemon's log is {log}; it ends with:")
        for line in log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:] if log.exists() else ():
            self._print(f"  {escaped(line)}")

    async def _write_requests(self) -> None:
        """Append one line after the other to the file that the daemon follows, and rubbish between them."""
        inbox = self._folder / "watches.jsonl"
        for place, plot in enumerate(self._plots):
            if place == 1:
                self._say(f"append to {inbox.name}: {RUBBISH}")
                _append(inbox, RUBBISH)
            request = {"id": plot.watch, "provider": plot.provider, "params": dict(plot.params)}
            self._say(f"append to {inbox.name}: {plot.watch} of {plot.provider}")
            _append(inbox, orjson.dumps(request).decode())
            await anyio.sleep(BETWEEN_LINES)

    async def _follow(self, daemon: Daemon, *, until: Callable[[], bool], within: float) -> None:
        """Read the daemon's log as it grows, until something is so, time is up, or the daemon is gone."""
        with anyio.move_on_after(within):
            while not (until() or daemon.has_ended):
                await anyio.sleep(TICK)
                for line in daemon.news():
                    if line.get("event") == "daemon.ready":
                        self._is_ready = True
                        self._say("the daemon is ready")
                    if line.get("event") == "request.rejected":
                        self._refusals += 1
                        self._say(f"refused: {escaped(str(line.get('where')))}: {escaped(str(line.get('reason')))}")

    def _is_over(self) -> bool:
        arrivals = self._receiver.arrivals
        return self._refusals > 0 and all(len(taken(plot, arrivals)) >= len(plot.expected) for plot in self._plots)

    def _judge(self) -> bool:
        rows = tallies(self._plots, self._receiver.arrivals)
        self._console.print(timeline.summary(rows, is_terminal=self._console.is_terminal))
        checks = {
            "every expected event arrived, verified and in order": all(row.is_well for row in rows),
            "the POST that was answered 503 came again": any(row.retried for row in rows),
            "the line of rubbish was refused": self._refusals == 1,
        }
        for text, is_so in checks.items():
            self._console.print(f"{'✓' if is_so else '✗'} {text}", style=timeline.GOOD if is_so else timeline.BAD)
        return all(checks.values())

    def _tell(self, arrival: Arrival) -> None:
        self._console.print(timeline.event(self._seconds(), arrival))

    def _say(self, text: str, *, style: str = "dim") -> None:
        self._console.print(timeline.note(self._seconds(), text, style=style))

    def _print(self, text: str) -> None:
        self._console.print(text, style=timeline.BAD)

    def _seconds(self) -> float:
        return time.monotonic() - self._begun_at


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as inbox:
        inbox.write(line + "\n")


def _told(change: tuple[object, ...]) -> str:
    return " ".join(map(shown, change))
