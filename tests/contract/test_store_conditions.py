"""The contract of a store about providers as a whole: what went down, and that it is told like everything else."""

from dataclasses import replace
from datetime import timedelta

import pytest
from store_values import NOON, Backend, settled

from watcher.core.delivery import Decision
from watcher.core.errors import LeaseLostError
from watcher.core.event import provider_changed
from watcher.core.model import Condition, Reason, Report
from watcher.store import Store


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


async def test_a_pause_is_remembered_beside_what_is_wrong_and_each_leaves_the_other_alone(store: Store) -> None:
    until, longer = NOON + timedelta(seconds=30), NOON + timedelta(hours=24)
    await store.pause(replace(FINE, paused_until=until))
    assert await store.conditions() == [Condition("d7", "condition", paused_until=until)]
    await store.report(DOWN)
    down = Condition("d7", "condition", 1, Reason.UNREACHABLE, NOON, until)
    assert await store.conditions() == [down]
    await store.pause(replace(FINE, paused_until=longer))
    assert await store.conditions() == [replace(down, paused_until=longer)]
    await store.report(UP)
    assert await store.conditions() == [Condition("d7", "condition", 2, None, None, longer)]


async def test_a_pause_is_one_of_one_provider_and_outlives_the_process(backend: Backend) -> None:
    store = await backend.store()
    await store.lease()
    paused = [Condition(name, uid=f"uid-{name}", paused_until=NOON) for name in ("d7", "ukg")]
    for condition in paused:
        await store.pause(condition)
    await store.pause(replace(paused[0], uid="another"))
    await store.close()
    assert await (await backend.store()).conditions() == paused


async def test_its_events_are_delivered_in_order_and_belong_to_no_watch(store: Store) -> None:
    await store.report(addressed(DOWN, "ops"))
    await store.report(addressed(UP, "ops"))
    later = NOON + timedelta(hours=1)
    (first,) = await store.heads("ops", again=False, now=later, limit=9)
    assert first.event == DOWN.event
    await store.settle([settled(first, Decision.DELIVERED)])
    (second,) = await store.heads("ops", again=False, now=later, limit=9)
    assert second.event == UP.event
    assert (second.event.watch, second.event.sequence) == (None, None)


async def test_its_events_are_in_the_log_and_the_overview_names_what_is_down(store: Store, backend: Backend) -> None:
    await store.report(DOWN)
    records = await backend.records()
    assert [row.event for row in await records.events()] == [DOWN.event]
    assert (await records.overview()).down == {"d7": "unreachable"}
    assert await records.conditions() == [DOWN.condition]


async def test_only_the_owner_reports_and_pauses(backend: Backend) -> None:
    store = await backend.store()
    with pytest.raises(LeaseLostError):
        await store.report(DOWN)
    with pytest.raises(LeaseLostError):
        await store.pause(replace(FINE, paused_until=NOON))
    assert await store.conditions() == []
