"""A worker that stood still for longer than its lease, and then writes what it was about to: nothing of it is kept."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from store_values import NOON, PostgresBackend, a_step, a_watch, added, settled, told, waiting
from workers import as_held_by, in_balance

from watcher.core.delivery import Decision, Delivery
from watcher.core.endpoint import Disabled, Endpoint, disabled, enabled
from watcher.core.errors import LeaseLostError, StaleWatchError
from watcher.core.event import provider_changed
from watcher.core.intent import Replay, Switch
from watcher.core.lifecycle import cancel
from watcher.core.model import Condition, Reason, Watch
from watcher.stores.postgres import PostgresStore

CONDITION = Condition("d7", uid="condition of d7")
DOWN = provider_changed(CONDITION, reason=Reason.DENIED, at=NOON, watches=1)
EVERY = (
    "SELECT * FROM watches",
    "SELECT * FROM events",
    "SELECT * FROM deliveries",
    "SELECT * FROM attempts",
    "SELECT * FROM conditions",
    "SELECT name, value FROM endpoints",
    "SELECT * FROM intents",
)


@dataclass(frozen=True, slots=True)
class Before:
    """What the worker knew as it stood still."""

    store: PostgresStore
    watch: Watch
    head: Delivery
    known: Endpoint
    switch: Switch
    replay: Replay


@pytest.fixture
async def backend() -> AsyncIterator[PostgresBackend]:
    one = PostgresBackend()
    yield one
    await one.close()


@pytest.fixture
async def before(backend: PostgresBackend) -> Before:
    store = await backend.store("stale")
    await store.lease()
    known = await store.endpoint("ops", ordered=True)
    watch = await told(store, (await added(store, a_watch()))[0], events=1)
    await store.want(Switch(0, "ops", on=False))
    await store.want(Replay(0, rate=100, webhook="ops", since=NOON - timedelta(days=1)))
    switch, replay = await store.intents()
    assert isinstance(switch, Switch)
    assert isinstance(replay, Replay)
    return Before(store, watch, (await waiting(store))[0], known, switch, replay)


async def commit(known: Before) -> None:
    (failure,) = await known.store.commit([a_step(known.watch)])
    if failure is not None:
        raise failure


async def end(known: Before) -> None:
    (failure,) = await known.store.commit([cancel(known.watch, now=NOON, intent=known.switch.id)])
    if failure is not None:
        raise failure


WRITES: dict[str, Callable[[Before], Awaitable[object]]] = {
    "a poll": commit,
    "a cancellation": end,
    "a POST": lambda known: known.store.settle([settled(known.head, Decision.DELIVERED)]),
    "a POST that said something of the webhook": lambda known: known.store.settle(
        [settled(known.head, Decision.RETRY)],
        endpoint=disabled(known.known, Disabled.GONE, now=NOON),
        before=known.known,
    ),
    "a webhook": lambda known: known.store.endpoint("ops", ordered=False),
    "a switch": lambda known: known.store.done(
        known.switch, disabled(known.known, Disabled.COMMAND, now=NOON), now=NOON
    ),
    "a replay": lambda known: known.store.replay(known.replay, now=NOON, limit=10),
    "an outage": lambda known: known.store.report(DOWN),
    "a pause": lambda known: known.store.pause(replace(CONDITION, paused_until=NOON)),
    "lanes": lambda known: known.store.loosen(now=NOON),
    "what is old": lambda known: known.store.prune(before=NOON + timedelta(days=9), ids_before=NOON, limit=10),
}


async def everything(backend: PostgresBackend) -> list[list[tuple[object, ...]]]:
    return [await backend.ask(f"{each} ORDER BY 1") for each in EVERY]


@pytest.mark.parametrize("is_taken", [True, False], ids=["taken over", "nobody else"])
async def test_what_is_written_after_the_lease_is_refused_whatever_it_is(
    backend: PostgresBackend, before: Before, *, is_taken: bool
) -> None:
    await backend.lapse("stale")
    if is_taken:
        await (await backend.store("other")).lease()
    stored = await everything(backend)
    for write in WRITES.values():
        with pytest.raises(LeaseLostError):
            await write(before)
    assert await everything(backend) == stored


# --- who was waked, and took part again, before it wrote ----------------------------------------------------------


@pytest.fixture
async def other(backend: PostgresBackend, before: Before) -> PostgresStore:
    """Who had everything while the other one stood still."""
    await backend.lapse("stale")
    other = await backend.store("other")
    await other.lease()
    return other


async def come_back(before: Before, other: PostgresStore) -> None:
    """Have everything again."""
    await other.release()
    await before.store.renew()
    await in_balance([before.store])


async def test_a_step_that_was_made_under_an_older_epoch_is_refused(before: Before, other: PostgresStore) -> None:
    await come_back(before, other)
    for write in (commit, end):
        with pytest.raises(StaleWatchError):
            await write(before)


@pytest.mark.parametrize("decision", Decision)
async def test_an_attempt_of_what_others_have_attempted_since_changes_nothing(
    backend: PostgresBackend, before: Before, other: PostgresStore, decision: Decision
) -> None:
    later = NOON + timedelta(hours=9)
    await other.settle([settled(before.head, Decision.RETRY, next_at=later, spared=3)])
    await come_back(before, other)
    stored = await everything(backend)
    await before.store.settle([settled(before.head, decision)])
    assert await everything(backend) == stored


async def test_a_switch_that_others_carried_out_is_not_carried_out_once_more(
    backend: PostgresBackend, before: Before, other: PostgresStore
) -> None:
    off = disabled(before.known, Disabled.COMMAND, now=NOON)
    await other.done(before.switch, off, now=NOON)
    await other.want(Switch(0, "ops", on=True))
    (on,) = [intent for intent in await other.intents() if isinstance(intent, Switch)]
    await other.done(on, enabled(off), now=NOON)
    await come_back(before, other)
    await before.store.done(before.switch, off, now=NOON)
    assert await other.endpoints() == [Endpoint("ops")]


async def test_what_others_told_of_a_provider_is_told_once(before: Before, other: PostgresStore) -> None:
    await other.report(DOWN)
    await come_back(before, other)
    with pytest.raises(StaleWatchError):
        await before.store.report(DOWN)


async def test_who_has_a_part_of_it_again_writes_nothing_in_the_others(before: Before, other: PostgresStore) -> None:
    await before.store.renew()
    await other.release([shard for shard in other._epochs if shard > 200])
    await before.store.renew()
    watch = await as_held_by(other, before.watch)
    with pytest.raises(LeaseLostError):
        await commit(replace(before, watch=watch))
    await before.store.settle([settled(before.head, Decision.DELIVERED)])
    assert await waiting(other) == [before.head]
