"""The contract of a store about clocks: what was put off by one that was ahead is not put off for as long as that."""

from dataclasses import replace
from datetime import datetime, timedelta

from store_values import NOON, Backend, a_watch, added, head_of, settled, told, waiting

from watcher.core.delivery import Decision
from watcher.core.endpoint import Endpoint, opened, paused
from watcher.core.intent import Replay
from watcher.core.model import Condition
from watcher.ports import Store

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
FINE = Condition("d7", uid="condition")


async def failed(
    store: Store,
    *,
    at: datetime,
    next_at: datetime,
    refused_since: datetime | None = None,
    loosens_at: datetime | None = None,
) -> None:
    """Have one delivery that goes again, as the clock said when that was, and one behind it."""
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    head = await head_of(store)
    one = settled(head, Decision.RETRY, next_at=next_at, refused_since=refused_since, loosens_at=loosens_at)
    await store.settle([replace(one, attempt=replace(one.attempt, at=at))])


async def test_a_retry_waits_as_long_as_it_was_meant_to(store: Store) -> None:
    await failed(store, at=NOON + HOUR, next_at=NOON + HOUR + 10 * SECOND)
    await store.rewind(now=NOON)
    assert (await head_of(store)).due_at == NOON + 10 * SECOND
    await store.rewind(now=NOON + 5 * SECOND)  # a restart more puts nothing off
    assert (await head_of(store)).due_at == NOON + 10 * SECOND


async def test_a_retry_that_was_due_before_its_attempt_by_a_clock_that_jumped_is_due(store: Store) -> None:
    await failed(store, at=NOON + 2 * HOUR, next_at=NOON + HOUR)
    await store.rewind(now=NOON)
    assert (await head_of(store)).due_at == NOON


async def test_a_retry_that_was_put_off_by_a_clock_that_was_right_waits_until_then(store: Store) -> None:
    since, until = NOON - SECOND, NOON + HOUR
    await failed(store, at=NOON, next_at=until, refused_since=since, loosens_at=until)
    before = await waiting(store)
    await store.rewind(now=NOON)
    assert await waiting(store) == before


async def test_a_lane_is_held_back_by_what_is_refused_as_long_as_it_was_meant_to(store: Store) -> None:
    since, due = NOON + HOUR, NOON + HOUR + SECOND
    await failed(store, at=since, next_at=due, refused_since=since, loosens_at=since + 60 * SECOND)
    await store.rewind(now=NOON)
    head = await head_of(store)
    assert (head.refused_since, head.loosens_at) == (NOON, NOON + 60 * SECOND)
    assert await store.loosen(now=NOON + 59 * SECOND) == 0
    assert await store.loosen(now=NOON + 60 * SECOND) == 1


async def test_a_replay_of_what_is_still_to_happen_is_due(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=1)
    await store.settle([settled(await head_of(store), Decision.DELIVERED)])
    await store.want(Replay(0, 100, webhook="ops", since=NOON - HOUR))
    (intent,) = await store.intents()
    assert isinstance(intent, Replay)
    await store.replay(intent, limit=10)
    assert [head.due_at > NOON for head in await waiting(store)] == [True]
    await store.rewind(now=NOON)
    assert [head.due_at for head in await waiting(store)] == [NOON]


async def test_a_provider_is_left_alone_as_long_as_it_said(store: Store) -> None:
    ahead = replace(FINE, paused_at=NOON + HOUR, paused_until=NOON + HOUR + 30 * SECOND)
    right = Condition("ukg", "other", paused_at=NOON - SECOND, paused_until=NOON + HOUR)
    for condition in (ahead, right):
        await store.pause(condition)
    await store.rewind(now=NOON)
    shortened = replace(FINE, paused_at=NOON, paused_until=NOON + 30 * SECOND)
    assert await store.conditions() == [shortened, right]


async def test_a_webhook_is_left_alone_as_long_as_it_said_and_probed_as_soon_as_was_meant(
    store: Store, backend: Backend
) -> None:
    ahead = Endpoint("ops")
    for webhook, at in (("ops", NOON + HOUR), ("right", NOON - SECOND)):
        known = paused(opened(replace(ahead, name=webhook), now=at), until=at + 60 * SECOND, now=at)
        await store.settle([], endpoint=known)
    await store.rewind(now=NOON)
    ops, right = await (await backend.records()).endpoints()
    assert ops == paused(opened(ahead, now=NOON), until=NOON + 60 * SECOND, now=NOON)
    assert right == known
