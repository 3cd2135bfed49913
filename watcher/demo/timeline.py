"""How the demo looks: a line for each thing that happens, and the summary. Decides nothing."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from watcher.demo.receiver import Arrival
from watcher.demo.terminal import shown
from watcher.demo.verdict import Tally

COLOURS = {"d7": "cyan", "kore": "magenta", "chime": "yellow", "ukg": "blue"}
GOOD, BAD = "green", "red"


def note(seconds: float, text: str, *, style: str = "dim") -> Text:
    """Write a line about anything but an event."""
    return Text.assemble((f"{seconds:6.2f}s  ", "dim"), (text, style))


def event(seconds: float, arrival: Arrival) -> Text:
    """Write a line about one POST."""
    provider = shown(arrival.provider)
    return Text.assemble(
        (f"{seconds:6.2f}s  ", "dim"),
        (f"{provider:<6}", COLOURS.get(provider, "")),
        f" {shown(arrival.watch):<11} {_subject(arrival):<9} ",
        (f"{_change(arrival):<38} ", "bold"),
        *((part, style) for part, style in _fate(arrival)),
    )


def summary(tallies: Sequence[Tally], *, is_terminal: bool) -> Table:
    """Make the table at the end, a row for each provider."""
    table = Table(box=box.ROUNDED if is_terminal else box.ASCII)
    table.add_column("provider")
    for name in ("watches", "expected", "arrived", "verified", "in order", "retried"):
        table.add_column(name, justify="right")
    for tally in tallies:
        numbers = (tally.watches, tally.expected, tally.arrived, tally.verified)
        order = Text("yes", GOOD) if tally.is_in_order else Text("NO", BAD)
        style = COLOURS.get(tally.provider, "") if tally.is_well else BAD
        table.add_row(Text(tally.provider, style), *map(str, numbers), order, str(tally.retried))
    return table


def _subject(arrival: Arrival) -> str:
    if arrival.message is not None:
        return shown(arrival.message.split("|")[0])  # a Kore key goes on with channel and recipient
    return shown(arrival.type).removeprefix("watch.").removesuffix(".changed")


def _change(arrival: Arrival) -> str:
    if arrival.type == "watch.finished":
        return shown(arrival.after)
    return f"{shown(arrival.before)} → {shown(arrival.after)}"


def _fate(arrival: Arrival) -> list[tuple[str, str]]:
    if arrival.problem:
        return [(f"✗ {arrival.problem}", BAD)]
    attempt = (f"  attempt {arrival.attempt}", "bold" if arrival.attempt != 1 else "dim")
    if arrival.answered >= 300:  # noqa: PLR2004  # whatever is no success
        return [(f"✗ answered {arrival.answered} on purpose", BAD), attempt]
    return [("✓ delivered, verified", GOOD), attempt]
