"""The quick counters and histograms say what prometheus_client's own would say."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Counter as TheirCounter
from prometheus_client import Histogram as TheirHistogram

import watcher.metrics  # noqa: F401  # turns off what prometheus_client would add by itself
from watcher import tally

BOUNDS = (0.01, 0.5, 1, 10)
NAMES = ("provider", "outcome")
LABELS = st.tuples(st.sampled_from(["d7", "kore"]), st.sampled_from(["changed", 'odd "one"\n']))
SECONDS = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 100))


@given(st.lists(st.tuples(LABELS, SECONDS)))
def test_what_is_scraped_is_the_same(seen: list[tuple[tuple[str, str], float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts = tally.Counter("polls_total", "Polls.", NAMES, registry=ours)
    spans = tally.Histogram("seconds", "Took.", NAMES, buckets=BOUNDS, registry=ours)
    their_counts = TheirCounter("polls_total", "Polls.", NAMES, registry=theirs)
    their_spans = TheirHistogram("seconds", "Took.", NAMES, buckets=BOUNDS, registry=theirs)
    for labels, seconds in seen:
        counts.labels(*labels).inc()
        their_counts.labels(*labels).inc()
        spans.labels(*labels).observe(seconds)
        their_spans.labels(*labels).observe(seconds)
    assert generate_latest(ours) == generate_latest(theirs)


def test_what_has_these_labels_is_forgotten_and_nothing_else() -> None:
    registry = CollectorRegistry()
    counts = tally.Counter("polls_total", "Polls.", NAMES, registry=registry)
    spans = tally.Histogram("seconds", "Took.", NAMES, buckets=BOUNDS, registry=registry)
    for family in (counts, spans):
        family.labels("d7", "changed")
        family.labels("kore", "changed")
        family.remove_by_labels({"provider": "d7"})
    samples = [sample for family in registry.collect() for sample in family.samples]
    assert {sample.labels["provider"] for sample in samples} == {"kore"}
