"""The contract of a store about providers as a whole: what went down, and that it is told like everything else."""

from dataclasses import replace
from datetime import timedelta

import pytest
from store_values import NOON, Backend, settled

from watcher.core.delivery import Decision
from watcher.core.errors import LeaseLostError
from watcher.core.event import provider_changed
from watcher.core.model import Condition, Reason, Report
from watcher.ports import Store


def addressed(report: Report, *webhooks: str) -> Report:
    return replace(report, event=replace(report.event, to=webhooks))


FINE = Condition("d7", uid="condition")
DOWN = provider_changed(FINE, reason=Reason.UNREACHABLE, at=NOON, watches=3)
UP = provider_changed(DOWN.condition, reason=None, at=NOON + timedelta(seconds=60), watches=2)


async def test_a_condition_is_remembered(store: Store) -> None:
    assert await store.conditions() == []
    await store.report(DOWN)
    assert await store.conditions() == [Condition("d7", "condition", 1, Reason.UNREACHABLE, NOON)]
    await store.report(UP)
    assert await store.conditions() == [Condition("d7", "condition", 2, None, None)]


async def test_its_events_are_delivered_in_order_and_belong_to_no_watch(store: Store) -> None:
    await store.report(addressed(DOWN, "ops"))
    await store.report(addressed(UP, "ops"))
    later = NOON + timedelta(hours=1)
    (first,) = await store.heads("ops", now=later, limit=9)
    assert first.event == DOWN.event
    await store.settle([settled(first, Decision.DELIVERED)])
    (second,) = await store.heads("ops", now=later, limit=9)
    assert second.event == UP.event
    assert (second.event.watch, second.event.sequence) == (None, None)


async def test_its_events_are_in_the_log_and_the_overview_names_what_is_down(store: Store, backend: Backend) -> None:
    await store.report(DOWN)
    records = await backend.records()
    assert [row.event for row in await records.events()] == [DOWN.event]
    assert (await records.overview()).down == {"d7": "unreachable"}
    assert await records.conditions() == [DOWN.condition]


async def test_only_the_owner_reports(backend: Backend) -> None:
    store = await backend.store()
    with pytest.raises(LeaseLostError):
        await store.report(DOWN)
