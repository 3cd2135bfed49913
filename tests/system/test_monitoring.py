"""What stands in systemd/monitoring: Prometheus reads it, it asks for what there is, and fires when it should.

Apart from `make test`, because it needs promtool: `make units`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from scraping import PROMISED, promtool

from watcher.core.delivery import Decision
from watcher.core.rows import Admission
from watcher.core.webhook import Kind
from watcher.metrics import POLL_OUTCOMES

Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

MONITORING = Path(__file__).parents[2] / "systemd/monitoring"
ALERTS = MONITORING / "alerts.yml"
CASES = Path(__file__).with_name("alerts.test.yml")
WORDS = {*POLL_OUTCOMES, *Decision, *Admission, Kind.NOT_SENT}


def expressions(tree: Json) -> Iterator[str]:
    """Find what a dashboard asks Prometheus."""
    match tree:
        case dict():
            if isinstance(expr := tree.get("expr"), str):
                yield expr
            for part in tree.values():
                yield from expressions(part)
        case list():
            for part in tree:
                yield from expressions(part)
        case _:
            return


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Json]:
    read: dict[str, Json] = json.loads((MONITORING / "dashboard.json").read_text())
    return read


def names(text: str) -> set[str]:
    """Find the metrics that are asked for, without what histograms add to their names."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bwatcher_[a-z_]+", text)}


def alerts() -> list[str]:
    return re.findall(r"(?m)^ +- alert: (\w+)$", ALERTS.read_text())


# --- the alerts -------------------------------------------------------------------------------------------------


def test_prometheus_reads_the_alerts() -> None:
    status, said = promtool("check", "rules", "--lint=all", "--lint-fatal", str(ALERTS))
    assert (status, f"SUCCESS: {len(alerts())} rules found" in said) == (0, True), said


def test_each_alert_fires_for_what_is_sick_alone_and_in_time() -> None:
    status, said = promtool("test", "rules", str(CASES))
    assert status == 0, said


def test_no_alert_is_without_a_case_in_which_it_fires() -> None:
    fired = set(re.findall(r'\{alertname="(\w+)"', CASES.read_text()))
    assert fired == set(alerts())


def test_each_alert_says_what_it_means_and_what_to_do() -> None:
    parts = Counter(re.findall(r"(?m)^ +(expr|severity|summary|description|labels)\b", ALERTS.read_text()))
    assert parts == dict.fromkeys(("expr", "labels", "summary", "description"), len(alerts()))


# --- the dashboard ----------------------------------------------------------------------------------------------


def test_prometheus_reads_all_that_the_dashboard_asks(dashboard: dict[str, Json], tmp_path: Path) -> None:
    asked = list(expressions(dashboard))
    plain = [re.sub(r"\$__rate_interval", "5m", one) for one in asked]
    rules = [{"record": f"panel:{place}", "expr": one} for place, one in enumerate(plain)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML

    status, said = promtool("check", "rules", "--lint=none", str(path))

    assert (status, len(asked) > 20) == (0, True), said


def test_the_dashboard_shows_every_metric_and_only_such_as_there_are(dashboard: dict[str, Json]) -> None:
    assert names("\n".join(expressions(dashboard))) == set(PROMISED)
    assert names(ALERTS.read_text()) - {"watcher_token"} <= set(PROMISED)


def test_what_each_worker_says_of_everybody_is_never_added_up(dashboard: dict[str, Json]) -> None:
    text = "\n".join([*expressions(dashboard), ALERTS.read_text()])
    how = re.findall(r"(\w+)(?: (?:by|without) \(\w+\))? ?\(watcher_breaker_open\b", text)
    assert set(how) == {"max"}


def test_what_is_asked_of_a_label_is_one_of_its_words(dashboard: dict[str, Json]) -> None:
    text = "\n".join([*expressions(dashboard), ALERTS.read_text()])
    asked = re.findall(r'\b(?:outcome|result)=~?"([^"]+)"', text)
    assert asked
    assert {word for words in asked for word in words.split("|")} <= WORDS


def test_the_dashboard_is_one_that_grafana_10_imports(dashboard: dict[str, Json]) -> None:
    panels = dashboard["panels"]
    assert isinstance(panels, list)
    shown = [panel for panel in panels if isinstance(panel, dict)]
    assert dashboard["schemaVersion"] == 38
    assert len({panel["id"] for panel in shown}) == len(panels)
    assert [panel["title"] for panel in shown if panel["type"] != "row" and not panel["description"]] == []
    assert {panel["type"] for panel in shown} == {"row", "stat", "table", "timeseries", "state-timeline"}
    for panel in shown:
        place = panel["gridPos"]
        assert isinstance(place, dict)
        assert isinstance(place["x"], int)
        assert isinstance(place["w"], int)
        assert place["x"] + place["w"] <= 24
