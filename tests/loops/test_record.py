from dataclasses import replace
from pathlib import Path

import pytest
from fakes import SpiedStore
from store_values import NOON, a_watch
from structlog.testing import capture_logs
from worlds import take_in

from watcher.core.errors import StaleWatchError, StoreError
from watcher.core.lifecycle import cancel
from watcher.core.model import Watch
from watcher.core.webhook_section import Webhook
from watcher.record import Recorder
from watcher.stores.sqlite_records import SqliteRecords


def webhook(**keys: object) -> Webhook:
    return Webhook.model_validate({"url": "https://hooks.example", "unsigned": True, **keys})


WEBHOOKS = {
    "all": webhook(),
    "ends": webhook(events=["watch.finished"]),
    "messages": webhook(events=["message.*"]),
    "d7": webhook(providers=["d7"]),
    "kore": webhook(providers=["kore"]),
}


async def stored(store: SpiedStore, watch: Watch) -> Watch:
    await take_in(store, [watch])
    found = await store.watch(watch.uid)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("chosen", "addressed"),
    [
        (None, ["all", "d7", "ends"]),
        (("ends", "kore", "messages"), ["ends"]),
        (("all", "removed-since"), ["all"]),
        ((), []),
    ],
)
async def test_an_event_goes_to_the_webhooks_of_its_watch_whose_filters_let_it_through(
    store: SpiedStore, tmp_path: Path, chosen: tuple[str, ...] | None, addressed: list[str]
) -> None:
    watch = await stored(store, replace(a_watch("w"), webhooks=chosen))
    recorder = Recorder(store=store, webhooks=WEBHOOKS, wake=lambda _: None)

    await recorder.commit(watch, cancel(watch, now=NOON, intent=1))

    records = await SqliteRecords.open(tmp_path / "watcher.db")
    rows = await records.deliveries(watch="w")
    await records.close()
    assert sorted(row.webhook for row in rows) == addressed


async def test_a_step_wakes_the_deliveries_and_is_told_once_it_is_on_disk(store: SpiedStore) -> None:
    watch = await stored(store, replace(a_watch("w"), webhooks=None))
    woken: list[str] = []
    recorder = Recorder(store=store, webhooks=WEBHOOKS, wake=woken.append)

    with capture_logs() as logs:
        await recorder.commit(watch, cancel(watch, now=NOON, intent=1))

    assert sorted(woken) == ["all", "d7", "ends"]
    assert logs == [
        {
            "event": "watch.finished",
            "log_level": "info",
            "watch": "w",
            "provider": "d7",
            "outcome": "cancelled",
            "sequence": 1,
        }
    ]


async def test_a_step_that_could_not_be_written_is_raised_wakes_nobody_and_is_not_told(store: SpiedStore) -> None:
    watch = await stored(store, a_watch("w"))
    woken: list[str] = []
    recorder = Recorder(store=store, webhooks=WEBHOOKS, wake=woken.append)
    step = cancel(watch, now=NOON, intent=1)

    store.fail("commit")
    with capture_logs() as logs, pytest.raises(StoreError, match="the disk is full"):
        await recorder.commit(watch, step)
    with capture_logs() as stale_logs, pytest.raises(StaleWatchError):
        await recorder.commit(watch, replace(step, before=7))

    assert woken == []
    assert [line["event"] for line in logs] == ["store.slow"]
    assert stale_logs == []
