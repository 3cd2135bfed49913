"""Reading metrics as Prometheus does: samples by name and labels, as they are written; and which of them moved."""

import subprocess
from collections.abc import Iterable, Mapping

from prometheus_client.parser import text_string_to_metric_families
from tools import tool

from watcher import metrics

PROMISED = {
    "watcher_watches": ("gauge", {"provider", "state"}),
    "watcher_polls_total": ("counter", {"provider", "outcome"}),
    "watcher_poll_seconds": ("histogram", {"provider"}),
    "watcher_poll_lag_seconds": ("histogram", {"provider"}),
    "watcher_oldest_due_seconds": ("gauge", {"provider"}),
    "watcher_events_total": ("counter", {"provider", "type"}),
    "watcher_deliveries_total": ("counter", {"webhook", "outcome"}),
    "watcher_delivery_seconds": ("histogram", {"webhook"}),
    "watcher_event_to_delivered_seconds": ("histogram", {"webhook"}),
    "watcher_outbox": ("gauge", {"webhook"}),
    "watcher_oldest_undelivered_seconds": ("gauge", {"webhook"}),
    "watcher_breaker_open": ("gauge", {"webhook"}),
    "watcher_requests_total": ("counter", {"source", "result"}),
    "watcher_store_commit_seconds": ("histogram", set()),
    "watcher_loop_lag_seconds": ("histogram", set()),
    "watcher_build_info": ("gauge", {"version"}),
}
REAL_TIME = ("watcher_store_commit_seconds", "watcher_loop_lag_seconds")  # measured where no clock is ours


def samples(*instruments: metrics.Instrument) -> dict[str, float]:
    """Return every sample but the single buckets: `watcher_outbox{webhook="ops"}` and its value."""
    lines = metrics.text(instruments).decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs if "_bucket" not in name}


def moved(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each sample has changed, to the millisecond; those that did not are left out."""
    changes = {name: round(value - before.get(name, 0.0), 3) for name, value in after.items()}
    return {name: change for name, change in changes.items() if change and not name.startswith(REAL_TIME)}


def sample(name: str, **labels: object) -> str:
    """Write a sample's name as it is written."""
    written = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{written}}}" if written else name


def only(name: str, read: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the samples of one metric."""
    return {key: value for key, value in read if key.partition("{")[0] == name}


def families(text: str) -> dict[str, tuple[str, set[str]]]:
    """Return the type and the labels of each metric."""
    found = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert all(each.name.startswith(name) for each in family.samples)
        labels = {label for each in family.samples for label in each.labels}
        found[name] = (family.type, labels - {"le"})
    return found


def promtool(*arguments: str, text: str = "") -> tuple[int, str]:
    """Return what Prometheus' own tool says, and its exit status."""
    command = [tool("promtool", package="prometheus"), *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr
