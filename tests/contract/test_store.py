"""The contract of `store.Store`, once, for every store: who owns it, opening and closing."""

import asyncio
from dataclasses import replace

import pytest
from store_values import (
    Backend,
    a_step,
    a_watch,
    added,
    arrival,
    cancellation,
    epoch_of,
    head_of,
    heads_of,
    settled,
    told,
)

from watcher.core.delivery import Decision
from watcher.core.errors import LeaseLostError, StoreError
from watcher.store import Store


async def test_each_lease_has_a_larger_epoch(backend: Backend) -> None:
    store, other = await backend.store(), await backend.store()
    first, again = await store.lease(), await store.lease()
    assert await store.renew() == again
    await store.release()
    assert 0 < epoch_of(first) < epoch_of(again) < epoch_of(await other.lease())


async def test_who_is_alone_holds_everything_and_does_what_concerns_everybody(backend: Backend) -> None:
    lease = await (await backend.store()).lease()
    assert (lease.share, lease.is_steward, lease.wanted) == (1, True, frozenset())


async def test_closing_lets_go(backend: Backend) -> None:
    store, other = await backend.store(), await backend.store()
    await store.lease()
    await store.close()
    assert (await other.lease()).share == 1


async def test_who_owns_nothing_changes_nothing(backend: Backend) -> None:
    store, other = await backend.store(), await backend.store()
    await store.lease()
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=1)
    head = await head_of(store)
    await store.release()
    await other.lease()
    with pytest.raises(LeaseLostError):
        await store.renew()
    with pytest.raises(LeaseLostError):
        await store.commit([a_step(watch)])
    with pytest.raises(LeaseLostError):
        await store.settle([settled(head, Decision.DELIVERED)])
    assert await head_of(other) == head


async def test_letting_go_of_nothing_is_nothing(backend: Backend) -> None:
    store = await backend.store()
    await store.release()
    with pytest.raises(LeaseLostError):
        await store.renew()


async def test_a_closed_store_says_so_and_closes_again_in_peace(backend: Backend) -> None:
    store = await backend.store()
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.add([arrival(a_watch())])


async def test_everything_is_there_after_opening_again(store: Store, backend: Backend) -> None:
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=2)
    await store.add([cancellation("order-42")], source="inbox", position=b"2")
    heads, intents = await heads_of(store), await store.intents()
    await store.close()
    again = await backend.store()
    epoch = epoch_of(await again.lease())
    assert await again.watch(watch.uid) == replace(watch, epoch=epoch)
    assert (await heads_of(again), await again.intents(), await again.position("inbox")) == (heads, intents, b"2")


async def test_a_cancelled_caller_harms_nobody(store: Store) -> None:
    watches = await added(store, *(a_watch(str(number)) for number in range(20)))
    tasks = [asyncio.create_task(store.commit([a_step(watch)])) for watch in watches]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[1::2] == [[None]] * 10
    assert {type(answer) for answer in answers[::2]} == {asyncio.CancelledError}
    for watch in watches:  # written or not, it can be loaded and goes on
        current = await store.watch(watch.uid)
        assert current is not None
        await told(store, current, events=1)
