"""The contract of `ports.Records`, once, for every store: lists of deliveries that have an end, and numbers of them."""

from dataclasses import replace

import pytest
from store_values import NOON, Backend, a_watch, added, an_event, head_of, sent, settled, told

from watcher.core.delivery import Decision
from watcher.core.intent import Replay
from watcher.core.model import Callback, EventType, Watch
from watcher.core.rows import DeliveryRow
from watcher.ports import Records
from watcher.store import Store

CALLBACK = "callback:https://caller.example"


@pytest.fixture
async def records(backend: Backend, store: Store) -> Records:
    """Read what the owner has written."""
    return await backend.records()


async def replay(store: Store, wish: Replay) -> int:
    """Carry a replay out and return how many deliveries wait again."""
    await store.want(wish)
    intent = (await store.intents())[-1]
    assert isinstance(intent, Replay)
    number = 0
    while made := await store.replay(intent, now=NOON, limit=100):
        number += made
    return number


async def pages(records: Records, *, watch: str, limit: int) -> list[DeliveryRow]:
    """Read all deliveries of a watch, a page behind the last id of the one before."""
    found: list[DeliveryRow] = []
    while page := await records.deliveries(watch=watch, after=found[-1].id if found else 0, limit=limit):
        found += page
    return found


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
async def test_no_delivery_of_a_watch_is_missing_or_comes_twice_whatever_the_page(
    store: Store, records: Records, limit: int
) -> None:
    """A replay makes deliveries of early events late, so their ids and the sequence do not go together."""
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=50, to=("ops",))
    await sent(store, "ops")
    watch = await told(store, watch, events=75, to=("ops", "audit"))
    assert await replay(store, Replay(0, rate=1.0, webhook="audit", since=NOON)) == 50
    assert await replay(store, Replay(0, rate=1.0, webhook="ops", since=NOON)) == 50
    rows = await pages(records, watch="order-42", limit=limit)
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    everything = [(name, number) for name in ("audit", "ops") for number in range(1, 126)]
    assert sorted((row.webhook, row.sequence) for row in rows) == everything


# --- how many a replay would send -------------------------------------------------------------------------------


async def three_events(store: Store) -> tuple[Watch, list[str]]:
    """Tell three events to `ops`, the last to `audit` too; the first is delivered, the second is given up."""
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=2, to=("ops",))
    watch = await told(store, watch, events=1, to=("ops", "audit"))
    for decision in (Decision.DELIVERED, Decision.EXHAUSTED):
        await store.settle([settled(await head_of(store, "ops"), decision)])
    return watch, [an_event(watch, sequence=number).id for number in (1, 2, 3)]


async def test_a_replay_is_counted_before_it_is_wanted(store: Store, records: Records) -> None:
    watch, (first, second, third) = await three_events(store)
    await sent(store, "audit")
    for wish, number in [
        (Replay(0, 1.0, events=(first, second)), 2),
        (Replay(0, 1.0, events=(first, third, "evt_unknown")), 2),  # its delivery to `ops` waits already
        (Replay(0, 1.0, webhook="ops", since=NOON), 2),
        (Replay(0, 1.0, webhook="ops", since=NOON, exhausted=True), 1),
        (Replay(0, 1.0, webhook="audit", since=NOON), 3),
        (Replay(0, 1.0, webhook="new", since=NOON, providers=("ukg",)), 0),
        (Replay(0, 1.0, webhook="new", since=NOON, types=(EventType.FINISHED,)), 0),
        (Replay(0, 1.0, webhook="new", since=an_event(watch, sequence=2).at), 2),
    ]:
        assert await records.replayable(wish) == number, wish
        assert await store.intents() == []


async def test_as_many_wait_again_as_were_counted(store: Store, records: Records) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=1500, to=("ops",))
    wish = Replay(0, 1.0, webhook="audit", since=NOON)
    assert await records.replayable(wish) == 1500
    assert await replay(store, wish) == 1500
    assert await records.replayable(wish) == 0


# --- what a caller ended ----------------------------------------------------------------------------------------


async def test_the_overview_tells_callbacks_that_were_ended_from_what_was_given_up(
    store: Store, records: Records
) -> None:
    callback = Callback("https://caller.example/done")
    gone, failing = await added(store, *(replace(a_watch(name), callback=callback) for name in ("gone", "failing")))
    for watch in (gone, failing):
        await told(store, watch, events=2, to=("ops", CALLBACK))
    await store.settle([settled(await head_of(store, "ops", watch="gone"), Decision.EXHAUSTED)])
    await store.settle([settled(await head_of(store, CALLBACK, watch="failing"), Decision.EXHAUSTED)])
    await store.settle([settled(await head_of(store, CALLBACK, watch="gone"), Decision.ENDED)])
    overview = await records.overview()
    assert (overview.exhausted, overview.ended) == ({CALLBACK: 3, "ops": 1}, {CALLBACK: 2})
