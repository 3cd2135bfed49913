"""Every metric, once: its name, its labels and what it tells; and the text that Prometheus reads.

No decision, and no loop but the one that measures the event loop: the others count as they go, and say at a scrape how
things stand. A label is the name of a section or one of our own words, never what a request or an answer brought.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import anyio
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from watcher import __version__, tally
from watcher.core.callbacks import ANY_ORIGIN
from watcher.core.delivery import Decision, Settled
from watcher.core.model import Event, EventType
from watcher.core.outcome import Final, Seen
from watcher.core.rows import Admission
from watcher.core.webhook import Kind
from watcher.ports import Clock

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
UNKNOWN = "unknown"  # all sections that are gone, while something of theirs is still there
CALLBACKS = "callbacks"  # all origins, because callers choose them
POLL_OUTCOMES = ("changed", "unchanged", "missing", "throttled", "denied", "refused", "broken")
LAG_EVERY = 0.1

SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
REQUEST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
LATE = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400)
LONG = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 43200, 259200)

disable_created_metrics()  # type: ignore[no-untyped-call]  # gauges that nobody was promised
REGISTRY = CollectorRegistry()


# --- what is counted as it happens ----------------------------------------------------------------------------

POLLS = tally.Counter(
    "watcher_polls_total", "Polls that came back, by what they brought.", ("provider", "outcome"), registry=REGISTRY
)
POLL_SECONDS = tally.Histogram(
    "watcher_poll_seconds", "How long polls took.", ("provider",), buckets=REQUEST, registry=REGISTRY
)
POLL_LAG = tally.Histogram(
    "watcher_poll_lag_seconds", "How late polls began.", ("provider",), buckets=LATE, registry=REGISTRY
)
EVENTS = Counter("watcher_events_total", "Events that were stored.", ("provider", "type"), registry=REGISTRY)
DELIVERIES = Counter(
    "watcher_deliveries_total",
    "Deliveries after each attempt, by what became of them.",
    ("webhook", "outcome"),
    registry=REGISTRY,
)
DELIVERY_SECONDS = Histogram(
    "watcher_delivery_seconds", "How long POSTs took.", ("webhook",), buckets=REQUEST, registry=REGISTRY
)
EVENT_TO_DELIVERED = Histogram(
    "watcher_event_to_delivered_seconds",
    "From an event to its delivery, stored.",
    ("webhook",),
    buckets=LONG,
    registry=REGISTRY,
)
REQUESTS = Counter(
    "watcher_requests_total", "Watch requests, by what became of them.", ("source", "result"), registry=REGISTRY
)
STORE_COMMIT = Histogram(
    "watcher_store_commit_seconds", "How long the store's writing transactions took.", buckets=SHORT, registry=REGISTRY
)
LOOP_LAG = Histogram(
    "watcher_loop_lag_seconds", "How late the event loop woke a task that slept.", buckets=SHORT, registry=REGISTRY
)
Info("watcher_build", "The version that runs.", registry=REGISTRY).info({"version": __version__})


class ProviderMeter:
    """What the poller of one section counts; looked up once, because polls are many."""

    def __init__(self, provider: str) -> None:
        self._polls = {outcome: POLLS.labels(provider, outcome) for outcome in POLL_OUTCOMES}
        self._seconds = POLL_SECONDS.labels(provider)
        self._lag = POLL_LAG.labels(provider)
        _sections.add(provider)
        for kind in EventType:
            EVENTS.labels(provider, kind)

    def begun(self, *, late: float) -> None:
        """Note that a poll begins, so many seconds after it was due."""
        self._lag.observe(late)

    def polled(self, outcome: Final | None, *, is_change: bool, seconds: float) -> None:
        """Count a poll by what it brought (None: the same bytes as before), once a change of that is on disk."""
        if outcome is None or isinstance(outcome, Seen):
            word = "changed" if is_change else "unchanged"
        else:
            word = type(outcome).__name__.lower()
        self._polls[word].inc()
        self._seconds.observe(seconds)


_sections: set[str] = set()


def count_events(events: Iterable[Event]) -> None:
    """Count events that are on disk now."""
    for event in events:
        EVENTS.labels(event.provider if event.provider in _sections else UNKNOWN, event.type).inc()


def forget_provider(name: str) -> None:
    """Let go of what was counted for a section that is gone."""
    _sections.discard(name)
    for counted in (POLLS, POLL_SECONDS, POLL_LAG, EVENTS):
        counted.remove_by_labels({"provider": name})


class WebhookMeter:
    """What the pump of one section, or of one origin, counts."""

    def __init__(self, webhook: str) -> None:
        label = label_of(webhook)
        self._deliveries = {word: DELIVERIES.labels(label, word) for word in (*Decision, Kind.NOT_SENT)}
        self._seconds = DELIVERY_SECONDS.labels(label)
        self._event_to_delivered = EVENT_TO_DELIVERED.labels(label)

    def settled(self, settled: Sequence[Settled], *, now: datetime) -> None:
        """Count what became of one POST, which is on disk now."""
        self._seconds.observe(settled[0].attempt.duration)
        for one in settled:
            self._deliveries[one.decision].inc()
            if one.decision is Decision.DELIVERED:
                self._event_to_delivered.observe(max((now - one.delivery.event.at).total_seconds(), 0.0))

    def not_sent(self, number: int) -> None:
        """Count deliveries that our own side could not send."""
        self._deliveries[Kind.NOT_SENT].inc(number)


def label_of(webhook: str) -> str:
    """Return under which label a webhook is counted; origins under one, because callers choose them."""
    return CALLBACKS if webhook.startswith(ANY_ORIGIN) else webhook


def forget_webhook(name: str) -> None:
    """Let go of what was counted for a section that is gone."""
    for counted in (DELIVERIES, DELIVERY_SECONDS, EVENT_TO_DELIVERED):
        counted.remove_by_labels({"webhook": label_of(name)})


def begin_requests(source: str) -> None:
    """Let all results of a source stand at 0, so that the first of a kind shows as an increase."""
    for result in Admission:
        REQUESTS.labels(source, result)


def forget_source(name: str) -> None:
    """Let go of what was counted for a section that is gone."""
    REQUESTS.remove_by_labels({"source": name})


async def measure_loop_lag(clock: Clock) -> None:
    """Sleep and see how late it wakes, for ever."""
    while True:
        due = clock.monotonic() + LAG_EVERY
        await anyio.sleep(LAG_EVERY)
        LOOP_LAG.observe(max(clock.monotonic() - due, 0.0))


# --- what is asked at a scrape --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """A gauge whose numbers are asked for."""

    name: str
    tells: str
    labels: tuple[str, ...]


WATCHES = Standing("watcher_watches", "Open watches, by their state.", ("provider", "state"))
OLDEST_DUE = Standing("watcher_oldest_due_seconds", "How late the poll is that waits longest.", ("provider",))
OUTBOX = Standing(
    "watcher_outbox", "Deliveries that wait, as last counted; of all workers together their sum.", ("webhook",)
)
OLDEST_UNDELIVERED = Standing(
    "watcher_oldest_undelivered_seconds",
    "Age of the oldest delivery that waits, as last counted; of all workers together the largest.",
    ("webhook",),
)
BREAKER_OPEN = Standing("watcher_breaker_open", "1 while the breaker is open.", ("webhook",))
STANDINGS = (WATCHES, OLDEST_DUE, OUTBOX, OLDEST_UNDELIVERED, BREAKER_OPEN)


class Reading(NamedTuple):
    """One number of a gauge; readings of the same labels add up."""

    of: Standing
    labels: tuple[str, ...]
    value: float


class Instrument(Protocol):
    """Whoever says how things stand."""

    def readings(self) -> Iterable[Reading]:
        """Say it from memory, at once."""


class _Asked:
    """The gauges that are read now."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._instruments = instruments

    def collect(self) -> Iterator[Metric]:
        readings = [reading for instrument in self._instruments for reading in instrument.readings()]
        for standing in STANDINGS:
            family = GaugeMetricFamily(standing.name, standing.tells, labels=standing.labels)
            values: dict[tuple[str, ...], float] = {}
            for reading in readings:
                if reading.of is standing:
                    values[reading.labels] = values.get(reading.labels, 0.0) + reading.value
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family


def text(instruments: Iterable[Instrument]) -> bytes:
    """Return all metrics as Prometheus reads them, of the type `CONTENT_TYPE`."""
    return generate_latest(REGISTRY) + generate_latest(_Asked(instruments))
