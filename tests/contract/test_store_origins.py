"""What is known of the origins that callbacks go to is forgotten when nobody calls them any more."""

from dataclasses import replace
from datetime import timedelta

import pytest
from store_values import NOON, Backend, a_watch, added, head_of, settled, told

from watcher.core.delivery import Attempt, Decision
from watcher.core.endpoint import Disabled, Endpoint, opened
from watcher.store import Store

DAY = timedelta(days=1)
ORIGIN = "callback:https://a.example:443"
GOOD, BAD = Attempt(1, NOON, 0.25, 204, "192.0.2.1"), NOON + timedelta(seconds=1)


async def owned(backend: Backend, *endpoints: Endpoint) -> Store:
    store = await backend.store()
    await store.lease()
    for endpoint in endpoints:
        await store.settle([], endpoint=endpoint)
    return store


async def left(backend: Backend, store: Store, *, days: float, limit: int = 100) -> set[str]:
    """Forget what is older than so many days after noon; return whose names are left."""
    while (await store.prune(before=NOON + days * DAY, ids_before=NOON - DAY, limit=limit)).rows:
        pass
    return {endpoint.name for endpoint in await (await backend.records()).endpoints()}


KNOWN = {
    "good": Endpoint(ORIGIN, last_good=GOOD),
    "failing": opened(Endpoint(ORIGIN, failing_since=NOON, failed_at=BAD), now=BAD),
    "paused": Endpoint(ORIGIN, last_good=GOOD, paused_at=NOON, paused_until=BAD),
    "never called": Endpoint(ORIGIN),
}


@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
async def test_an_origin_that_was_not_called_for_long_is_forgotten_however_it_was(
    backend: Backend, known: Endpoint
) -> None:
    store = await owned(backend, known, replace(known, name="ops"))
    assert await left(backend, store, days=1) == {"ops"}


@pytest.mark.parametrize(
    "known",
    [KNOWN["good"], KNOWN["failing"], replace(KNOWN["good"], paused_until=NOON + DAY)],
    ids=["good", "failing", "paused"],
)
async def test_an_origin_that_was_called_since_then_is_not(backend: Backend, known: Endpoint) -> None:
    store = await owned(backend, known)
    assert await left(backend, store, days=-1) == {ORIGIN}


async def test_one_that_somebody_disabled_stays_so(backend: Backend) -> None:
    store = await owned(backend, replace(KNOWN["good"], disabled=Disabled.COMMAND, disabled_at=NOON))
    assert await left(backend, store, days=1) == {ORIGIN}


async def test_one_for_which_something_waits_stays_until_that_is_delivered(backend: Backend) -> None:
    store = await owned(backend, Endpoint(ORIGIN, last_good=replace(GOOD, at=NOON - 9 * DAY)))
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=1, to=(ORIGIN,))
    assert (await store.prune(before=NOON - DAY, ids_before=NOON - DAY, limit=9)).rows == 0
    await store.settle([settled(await head_of(store, ORIGIN), Decision.DELIVERED)])
    assert (await store.prune(before=NOON - DAY, ids_before=NOON - DAY, limit=9)).rows == 1


async def test_many_go_a_few_at_a_time(backend: Backend) -> None:
    store = await owned(backend, *(Endpoint(f"callback:https://{number}.example:443") for number in range(25)))
    steps = [(await store.prune(before=NOON, ids_before=NOON, limit=10)).rows for _ in range(2)]
    assert steps == [10, 10]
    assert await left(backend, store, days=0, limit=10) == set()
