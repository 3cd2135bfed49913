"""Did every expected event arrive, verified and in order? Counts and compares; prints nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from watcher.demo.receiver import Arrival
from watcher.demo.story import Change, Plot


@dataclass(frozen=True, slots=True)
class Tally:
    """One row of the summary; `arrived` counts events, each once, and `retried` the POSTs after the first."""

    provider: str
    watches: int
    expected: int
    arrived: int
    verified: int
    is_in_order: bool
    retried: int

    @property
    def is_well(self) -> bool:
        """Is there nothing to complain about?"""
        return self.is_in_order and self.expected == self.arrived == self.verified


def taken(plot: Plot, arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Return the POSTs of a watch that were answered 2xx, without repeats."""
    mine = (arrival for arrival in arrivals if arrival.watch == plot.watch)
    return [arrival for arrival in mine if arrival.answered < 300 and not arrival.is_repeat]  # noqa: PLR2004  # 2xx


def changes(arrivals: Iterable[Arrival]) -> list[Change]:
    """Say what events told, to be compared with what was expected."""
    return [Change(arrival.type, arrival.message, arrival.before, arrival.after) for arrival in arrivals]


def is_as_expected(plot: Plot, arrivals: Iterable[Arrival]) -> bool:
    """Did exactly the expected events come, in order, numbered without a gap?"""
    events = taken(plot, arrivals)
    numbers = [event.sequence for event in events]
    return changes(events) == list(plot.expected) and numbers == list(range(1, len(numbers) + 1))


def tallies(plots: Sequence[Plot], arrivals: Sequence[Arrival]) -> list[Tally]:
    """Count for each provider, in the order of the plots."""
    return [
        _tally(provider, [plot for plot in plots if plot.provider == provider], arrivals)
        for provider in dict.fromkeys(plot.provider for plot in plots)
    ]


def _tally(provider: str, plots: Sequence[Plot], arrivals: Sequence[Arrival]) -> Tally:
    watches = {plot.watch for plot in plots}
    mine = [arrival for arrival in arrivals if arrival.watch in watches]
    unverified = {arrival.id for arrival in mine if arrival.problem}
    return Tally(
        provider=provider,
        watches=len(plots),
        expected=sum(len(plot.expected) for plot in plots),
        arrived=len({arrival.id for arrival in mine}),
        verified=len({arrival.id for arrival in mine} - unverified),
        is_in_order=all(is_as_expected(plot, arrivals) for plot in plots),
        retried=sum(1 for arrival in mine if (arrival.attempt or 1) > 1),
    )
