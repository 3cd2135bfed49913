"""The metrics that are promised, no more and no fewer; that Prometheus has nothing to say; that the README has them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from readme import plain, table
from scraping import PROMISED, families, only, promtool, sample, samples
from store_values import a_watch, an_event

from watcher import __version__, metrics
from watcher.core.rows import Admission


class Everything:
    """Whoever has a reading of each gauge, twice."""

    def readings(self) -> Iterator[metrics.Reading]:
        for standing in metrics.STANDINGS:
            labels = tuple(f"a {label}" for label in standing.labels)
            yield metrics.Reading(standing, labels, 1)
            yield metrics.Reading(standing, labels, 2)


@pytest.fixture
def text() -> str:
    """All metrics, each with all its labels."""
    metrics.ProviderMeter("d7")
    metrics.WebhookMeter("ops")
    metrics.begin_requests("inbox")
    return metrics.text([Everything()]).decode()


def test_metrics_have_the_promised_names_types_and_labels(text: str) -> None:
    assert families(text) == PROMISED


def test_promtool_has_nothing_to_say(text: str) -> None:
    assert promtool("check", "metrics", text=text) == (0, "")


def test_the_type_of_the_content_is_that_of_the_text() -> None:
    assert metrics.CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


def test_the_version_that_runs_is_told() -> None:
    read = samples()
    assert only("watcher_build_info", read.items()) == {sample("watcher_build_info", version=__version__): 1}


def test_readings_of_the_same_labels_add_up(text: str) -> None:
    assert 'watcher_outbox{webhook="a webhook"} 3.0\n' in text


def test_every_value_of_a_counter_is_there_before_it_first_happens() -> None:
    metrics.ProviderMeter("nobody else")
    metrics.WebhookMeter("nobody else")
    metrics.begin_requests("nobody else")
    read = [(name, value) for name, value in samples().items() if '"nobody else"' in name]
    assert {value for _, value in read} == {0}
    outcomes = ["changed", "unchanged", "missing", "throttled", "denied", "refused", "broken"]
    assert sorted(only("watcher_polls_total", read)) == sorted(
        sample("watcher_polls_total", provider="nobody else", outcome=word) for word in outcomes
    )
    became = ["delivered", "retry", "exhausted", "ended", "not_sent"]
    assert sorted(only("watcher_deliveries_total", read)) == sorted(
        sample("watcher_deliveries_total", webhook="nobody else", outcome=word) for word in became
    )
    assert len(only("watcher_requests_total", read)) == len(Admission)
    assert len(only("watcher_events_total", read)) == 8


def test_no_label_is_made_of_what_a_store_brings() -> None:
    before = set(samples())
    metrics.count_events([an_event(a_watch(f"w{n}", provider=f"gone-{n}"), sequence=1) for n in range(100)])
    for number in range(100):
        metrics.WebhookMeter(f"callback:https://{number}.example:443")
    new = set(samples()) - before
    assert {name for name in new if "callbacks" not in name} <= {
        sample("watcher_events_total", provider="unknown", type="watch.status.changed")
    }
    assert not [name for name in new if "example" in name or "gone" in name]


# --- the README -------------------------------------------------------------------------------------------------


def test_the_readme_has_each_metric_with_its_labels() -> None:
    listed = {plain(row["metric"]): set(re.findall(r"`(\w+)`", row["labels"])) for row in table("Metrics")}
    assert listed == {name: labels for name, (_, labels) in PROMISED.items()}


def test_the_readme_alerts_on_each_metric_in_words_that_prometheus_understands(tmp_path: Path) -> None:
    rules = ["groups:", "- name: readme", "  rules:"]
    for row in table("Metrics"):
        (alert,) = re.findall(r"`([^`]+)`", row["alert on"])
        named = set(re.findall(r"\bwatcher_\w+", alert))
        assert {name.removesuffix("_bucket") for name in named} == {plain(row["metric"])}
        rules += [f"  - alert: {plain(row['metric'])}", f"    expr: '{alert}'"]
    path = tmp_path / "rules.yml"
    path.write_text("\n".join(rules))
    status, said = promtool("check", "rules", str(path))
    assert (status, f"SUCCESS: {len(PROMISED)} rules found" in said) == (0, True), said
