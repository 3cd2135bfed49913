"""The contract of a store about what waits too long: a clock was ahead when it was put off, and has been put right."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from store_values import NOON, a_step, a_watch, added, head_of, settled, told, waiting

from watcher.core.delivery import Decision
from watcher.core.endpoint import Endpoint
from watcher.core.errors import LeaseLostError
from watcher.core.intent import Switch
from watcher.store import Store

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
WAITS = [0 * SECOND, 10 * SECOND, 60 * SECOND]  # by attempts that were burnt


async def failed(
    store: Store,
    *,
    due_at: datetime,
    burnt: int = 1,
    refused_since: datetime | None = None,
    order_wait: timedelta = HOUR,
    id: str = "order-42",
) -> None:
    """Have one delivery that goes again, and one behind it."""
    (watch,) = await added(store, a_watch(id))
    await told(store, watch, events=2)
    one = settled(await head_of(store), Decision.RETRY, next_at=due_at, burnt=burnt)
    loosens_at = refused_since and refused_since + order_wait
    delivery = replace(one.delivery, refused_since=refused_since, loosens_at=loosens_at)
    await store.settle([replace(one, delivery=delivery)])


async def hastened(store: Store, *, now: datetime = NOON, waits: Sequence[timedelta] = WAITS) -> None:
    await store.hasten("ops", now=now, waits=waits, order_wait=HOUR)


@pytest.mark.parametrize(("burnt", "wait"), [(0, WAITS[0]), (1, WAITS[1]), (2, WAITS[2]), (9, WAITS[2])])
async def test_a_delivery_waits_no_longer_than_it_may(store: Store, burnt: int, wait: timedelta) -> None:
    await failed(store, due_at=NOON + HOUR, burnt=burnt)
    await hastened(store)
    assert [head.due_at for head in await waiting(store)] == [NOON + wait]
    await hastened(store, now=NOON + 5 * SECOND)  # which puts nothing off
    assert [head.due_at for head in await waiting(store)] == [NOON + wait]


async def test_what_waits_as_long_as_it_may_is_left_as_it_is(store: Store) -> None:
    await failed(store, due_at=NOON + WAITS[1], refused_since=NOON + HOUR)
    before = await waiting(store)
    await hastened(store)
    assert await waiting(store) == before


async def test_a_lane_is_held_back_no_longer_than_it_may_be(store: Store) -> None:
    await failed(store, due_at=NOON + 2 * HOUR, refused_since=NOON + SECOND)
    await hastened(store)
    head = await head_of(store)
    assert (head.refused_since, head.loosens_at) == (NOON, NOON + HOUR)


async def test_a_lane_that_is_held_back_for_less_stays_so(store: Store) -> None:
    since = NOON - SECOND
    await failed(store, due_at=NOON + HOUR, refused_since=since)
    await hastened(store)
    head = await head_of(store)
    assert (head.refused_since, head.loosens_at) == (since, since + HOUR)


async def test_only_one_webhook_is_hastened(store: Store) -> None:
    await failed(store, due_at=NOON + HOUR)
    await store.hasten("audit", now=NOON, waits=WAITS, order_wait=HOUR)
    assert (await head_of(store)).due_at == NOON + HOUR


async def test_however_many_are_too_late_all_are_hastened(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sqlite", "postgres"):
        monkeypatch.setattr(f"watcher.stores.{name}.FEW", 2)
    watches = await added(store, *(a_watch(f"w{number}") for number in range(5)))
    for watch in watches:
        await store.commit([a_step(watch, events=1, to=("ops",))])
    heads = await waiting(store)
    await store.settle([settled(head, Decision.RETRY, next_at=NOON + HOUR, burnt=1) for head in heads])
    await hastened(store)
    assert [head.due_at for head in await waiting(store)] == [NOON + WAITS[1]] * 5


@pytest.mark.parametrize("on", [pytest.param(True, id="on"), pytest.param(False, id="off")])
async def test_where_a_webhook_is_switched_on_all_that_goes_again_goes_now(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, on: bool
) -> None:
    switch = await five_failed(store, monkeypatch, on=on)
    before = await waiting(store)
    lots = [await store.done(switch, None, now=NOON) for _ in range(3 if on else 1)]
    after = [replace(one, due_at=min(one.due_at, NOON)) for one in before] if on else before
    assert (await waiting(store), lots) == (after, [False, False, True] if on else [True])
    assert await store.intents() == []


async def five_failed(store: Store, monkeypatch: pytest.MonkeyPatch, *, on: bool = True) -> Switch:
    """Have five deliveries wait for an hour, and want their webhook switched, two of them at a time."""
    for place in ("watcher.stores.sqlite.FEW", "watcher.stores.postgres.FEW"):
        monkeypatch.setattr(place, 2)
    for number in range(5):
        await failed(store, due_at=NOON + HOUR, id=str(number))
    await store.want(Switch(0, "ops", on))
    (switch,) = await store.intents()
    assert isinstance(switch, Switch)
    return switch


async def test_what_is_known_is_written_with_the_first_lot_and_the_switch_ends_with_the_last(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = await five_failed(store, monkeypatch)
    mended = replace(await store.endpoint("ops", ordered=True), section="mended")
    assert not await store.done(switch, mended, now=NOON)
    assert (await store.endpoint("ops", ordered=True), await store.intents()) == (mended, [switch])
    assert sorted(head.due_at for head in await waiting(store)) == [NOON] * 2 + [NOON + HOUR] * 3
    while not await store.done(switch, None, now=NOON):
        pass
    assert (await store.endpoint("ops", ordered=True), await store.intents()) == (mended, [])


async def test_what_fails_while_a_webhook_is_switched_on_goes_by_its_schedule(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = await five_failed(store, monkeypatch)
    assert not await store.done(switch, None, now=NOON)
    due = await waiting(store, now=NOON)
    await store.settle([settled(head, Decision.RETRY, next_at=NOON + 2 * HOUR) for head in due])
    while not await store.done(switch, None, now=NOON + SECOND):
        pass
    assert sorted(head.due_at for head in await waiting(store)) == [NOON + SECOND] * 3 + [NOON + 2 * HOUR] * 2


async def test_with_a_switch_that_is_done_end_those_before_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    on = await five_failed(store, monkeypatch)
    await store.want(Switch(0, "audit", on=True))
    await store.want(Switch(0, "ops", on=False))
    await store.want(Switch(0, "ops", on=True))
    _, audit, off, last = await store.intents()
    assert not await store.done(on, None, now=NOON)
    assert isinstance(off, Switch)
    assert await store.done(off, None, now=NOON)
    assert await store.intents() == [audit, last]
    before = await waiting(store)
    assert await store.done(on, Endpoint("ops", section="late"), now=NOON)
    assert (await waiting(store), (await store.endpoint("ops", ordered=True)).section) == (before, "")


async def test_who_owns_nothing_hastens_nothing(store: Store) -> None:
    await failed(store, due_at=NOON + HOUR)
    await store.release()
    try:
        await hastened(store)
    except LeaseLostError:
        return
    await store.lease()
    assert (await head_of(store)).due_at == NOON + HOUR
