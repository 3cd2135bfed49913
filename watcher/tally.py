"""Counters and histograms for what happens ten thousand times a second, in the event loop's thread only.

They look like those of prometheus_client, whose own take a lock for each of the three numbers that they add to.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from itertools import accumulate
from math import inf
from typing import TypeVar

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

T = TypeVar("T")


class Count:
    """A number that grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        """Add one."""
        self.value += 1


class Counter:
    """Numbers by label values, as `prometheus_client.Counter`."""

    def __init__(self, name: str, tells: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self._name, self._tells, self._names = name, tells, tuple(labels)
        self._counts: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """Return the number of these values, which is 0 at first."""
        return self._counts.setdefault(values, Count())

    def remove_by_labels(self, values: dict[str, str]) -> None:
        """Forget all that have these."""
        _forget(self._counts, self._names, values)

    def collect(self) -> Iterator[Metric]:
        """Say what was counted."""
        family = CounterMetricFamily(self._name, self._tells, labels=self._names)
        for values, count in self._counts.items():
            family.add_metric(values, count.value)
        yield family


class Observations:
    """How many were seen up to each bound, and their sum."""

    __slots__ = ("_bounds", "numbers", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.numbers = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Add one."""
        self.numbers[bisect_left(self._bounds, value)] += 1
        self.total += value


class Histogram:
    """Observations by label values, as `prometheus_client.Histogram`."""

    def __init__(
        self, name: str, tells: str, labels: Sequence[str], *, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._tells, self._names, self._bounds = name, tells, tuple(labels), tuple(buckets)
        self._words = [floatToGoString(bound) for bound in (*buckets, inf)]  # type: ignore[no-untyped-call]
        self._seen: dict[tuple[str, ...], Observations] = {}
        registry.register(self)

    def labels(self, *values: str) -> Observations:
        """Return those of these values, none at first."""
        return self._seen.setdefault(values, Observations(self._bounds))

    def remove_by_labels(self, values: dict[str, str]) -> None:
        """Forget all that have these."""
        _forget(self._seen, self._names, values)

    def collect(self) -> Iterator[Metric]:
        """Say what was seen."""
        family = HistogramMetricFamily(self._name, self._tells, labels=self._names)
        for values, seen in self._seen.items():
            buckets = list(zip(self._words, accumulate(seen.numbers), strict=True))
            family.add_metric(values, buckets, seen.total)
        yield family


def _forget(kept: MutableMapping[tuple[str, ...], T], names: Iterable[str], values: dict[str, str]) -> None:
    for found in [found for found in kept if values.items() <= dict(zip(names, found, strict=True)).items()]:
        del kept[found]
