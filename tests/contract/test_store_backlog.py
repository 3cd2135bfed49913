"""What a store counts of deliveries that wait."""

from datetime import timedelta

from store_values import LATER, NOON, a_watch, added, head_of, settled, told

from watcher.core.delivery import Decision
from watcher.core.intent import Replay
from watcher.core.rows import Backlog
from watcher.store import Store


async def test_nothing_waits_in_a_fresh_store(store: Store) -> None:
    assert await store.backlog() == {}


async def test_what_waits_is_counted_for_each_webhook_from_its_first_event_on(store: Store) -> None:
    a, b = await added(store, a_watch("a"), a_watch("b"))
    a = await told(store, a, events=2, to=("ops", "audit"))
    await told(store, b, events=3)
    await store.settle([settled(await head_of(store, "audit"), Decision.DELIVERED)])
    await store.settle([settled(await head_of(store, "ops", watch="b"), Decision.RETRY, next_at=LATER)])
    assert await store.backlog() == {
        "audit": Backlog(1, NOON + timedelta(seconds=2)),
        "ops": Backlog(5, NOON + timedelta(seconds=1)),
    }


async def test_what_is_delivered_or_given_up_waits_no_more(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    for decision in (Decision.DELIVERED, Decision.EXHAUSTED):
        await store.settle([settled(await head_of(store), decision)])
    assert await store.backlog() == {}


async def test_a_replay_where_nothing_happens_any_more_waits_since_it_was_made(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=1)
    await store.settle([settled(await head_of(store), Decision.DELIVERED)])
    await store.want(Replay(0, rate=1.0, webhook="ops"))
    (intent,) = await store.intents()
    assert isinstance(intent, Replay)
    assert await store.replay(intent, now=LATER, limit=1) == 1
    assert await store.backlog() == {"ops": Backlog(1, LATER)}


async def test_a_replay_waits_since_the_latest_event_and_not_since_its_own(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=1)
    await store.settle([settled(await head_of(store), Decision.DELIVERED)])
    await told(store, watch, events=1, to=())
    await store.want(Replay(0, rate=1.0, webhook="ops"))
    (intent,) = await store.intents()
    assert isinstance(intent, Replay)
    assert await store.replay(intent, now=NOON, limit=1) == 1
    assert await store.backlog() == {"ops": Backlog(1, NOON + timedelta(seconds=2))}
