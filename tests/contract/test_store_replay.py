"""The contract of `store.Store`, once, for every store: sending again."""

from dataclasses import replace
from datetime import timedelta

import pytest
from store_values import LATER, NOON, Backend, a_watch, added, an_event, head_of, heads_of, sent, settled, told, waiting

from watcher.core.delivery import Decision
from watcher.core.errors import LeaseLostError
from watcher.core.event import provider_changed
from watcher.core.intent import Cancel, Replay
from watcher.core.model import Callback, Condition, EventType, Reason, Step, Watch
from watcher.store import Store

SECOND = timedelta(seconds=1)
CALLBACK = "callback:https://caller.example"


async def wanted(store: Store, replay: Replay) -> Replay:
    """Want a replay, and return it as its owner gets it."""
    await store.want(replay)
    intent = (await store.intents())[-1]
    assert isinstance(intent, Replay)
    return intent


async def replayed(store: Store, replay: Replay, *, limit: int = 100) -> list[int]:
    """Carry out a replay; return how many each call made wait."""
    intent = await wanted(store, replay)
    made: list[int] = []
    while not made or made[-1]:
        made.append(await store.replay(intent, now=NOON, limit=limit))
    return made


async def three_delivered(store: Store, *, to: tuple[str, ...] = ("ops",)) -> Watch:
    """Tell three events and deliver all of them."""
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=3, to=to)
    for webhook in to:
        await sent(store, webhook)
    return watch


EVERYTHING = Replay(
    0,
    rate=2.5,
    events=("evt_1", "evt_2"),
    webhook="ops",
    since=NOON,
    exhausted=True,
    types=(EventType.FINISHED, EventType.MESSAGE),
    providers=("d7", "ukg"),
)


# --- what is wanted ---------------------------------------------------------------------------------------------


async def test_a_replay_is_wanted_as_it_was_said(store: Store, backend: Backend) -> None:
    command = await backend.store()
    await command.want(EVERYTHING)
    await command.want(Replay(0, rate=1.0))
    first, second = await store.intents()
    assert [first, second] == [replace(EVERYTHING, id=first.id), Replay(second.id, rate=1.0)]


async def test_a_cancellation_is_wanted_once_and_only_of_an_open_watch(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    for uid in (watch.uid, watch.uid, "uid-unknown"):
        await store.want(Cancel(0, uid))
    (intent,) = await store.intents()
    assert intent == Cancel(intent.id, watch.uid)


async def test_only_the_owner_replays(store: Store, backend: Backend) -> None:
    intent = await wanted(store, Replay(0, rate=1.0, events=("evt_1",)))
    with pytest.raises(LeaseLostError):
        await (await backend.store()).replay(intent, now=NOON, limit=1)
    assert await store.intents() == [intent]


# --- by event ---------------------------------------------------------------------------------------------------


async def test_events_are_sent_again_to_each_webhook_that_they_were_for(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=1, to=("audit",))
    watch = await told(store, watch, events=2, to=("ops", "audit"))
    first, second, third = (an_event(watch, sequence=number).id for number in (1, 2, 3))
    for webhook in ("ops", "audit"):
        await sent(store, webhook)
    assert await replayed(store, Replay(0, rate=1.0, events=(third, first, "evt_unknown"))) == [3, 0]
    assert await store.intents() == []
    assert await sent(store, "ops") == [("order-42", 3)]
    assert await sent(store, "audit") == [("order-42", 1), ("order-42", 3)]
    assert await replayed(store, Replay(0, rate=1.0, events=(second,), webhook="ops")) == [1, 0]
    assert await store.undelivered() == ["ops"]


async def test_what_is_sent_again_has_a_fresh_schedule_and_the_same_id_and_keeps_its_attempts(
    store: Store, backend: Backend
) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=1)
    head = await head_of(store)
    first = settled(
        head, Decision.RETRY, burnt=1, spared=2, thin=True, refused_since=NOON, loosens_at=LATER, batch="bat_1"
    )
    await store.settle([first])
    last = settled(first.delivery, Decision.EXHAUSTED)
    await store.settle([last])
    await replayed(store, Replay(0, rate=1.0, events=(head.event.id,)))
    assert await store.heads("ops", again=False, now=LATER, limit=9) == []
    assert await store.heads("ops", again=True, now=LATER, limit=9) == [replace(head, attempts=2, due_at=NOON)]
    assert await (await backend.records()).attempts(delivery=head.id) == [first.attempt, last.attempt]


async def test_it_goes_behind_what_waits_in_the_order_in_which_things_happened(store: Store) -> None:
    watch = await three_delivered(store)
    watch = await told(store, watch, events=2)
    events = tuple(an_event(watch, sequence=number).id for number in (3, 1))
    await replayed(store, Replay(0, rate=1.0, events=events), limit=1)
    await told(store, watch, events=1)
    assert [sequence for _, sequence in await sent(store)] == [4, 5, 1, 3, 6]


async def test_what_is_wanted_later_goes_behind_what_was_wanted_before_though_nothing_happened_meanwhile(
    store: Store,
) -> None:
    watch = await three_delivered(store)
    for number in (3, 2, 1):
        event = an_event(watch, sequence=number).id
        assert await replayed(store, Replay(0, rate=1.0, events=(event,))) == [1, 0]
    assert [sequence for _, sequence in await sent(store)] == [3, 2, 1]


async def test_what_waits_is_left_alone(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    next_at = NOON + timedelta(minutes=5)
    await store.settle([settled(await head_of(store), Decision.RETRY, next_at=next_at, burnt=1)])
    before = await waiting(store)
    assert await replayed(store, Replay(0, rate=1.0, events=(before[0].event.id,))) == [0]
    assert await waiting(store) == before


async def test_without_order_it_stands_by_itself(store: Store) -> None:
    await store.endpoint("ops", ordered=False)
    await three_delivered(store)
    assert await replayed(store, Replay(0, rate=1.0, webhook="ops", since=NOON)) == [3, 0]
    assert len(await heads_of(store)) == 3


# --- by webhook and time ------------------------------------------------------------------------------------------


async def test_a_webhook_is_sent_all_since_then_also_what_never_went_there(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=2, to=("ops",))
    watch = await told(store, watch, events=2, to=("ops", "audit"))
    for webhook in ("ops", "audit"):
        await sent(store, webhook)
    assert await replayed(store, Replay(0, rate=1.0, webhook="audit", since=NOON + 2 * SECOND)) == [3, 0]
    assert [sequence for _, sequence in await sent(store, "audit")] == [2, 3, 4]
    assert await store.undelivered() == []


async def test_only_types_and_providers_that_are_wanted_are_sent_again(store: Store) -> None:
    d7, ukg = await added(store, a_watch("a"), a_watch("b", provider="ukg"))
    for watch in (d7, ukg):
        finished = replace(an_event(watch, sequence=2, to=()), type=EventType.FINISHED)
        events = (an_event(watch, sequence=1, to=()), finished)
        assert await store.commit([Step(replace(watch, sequence=2), before=0, events=events, writes=True)]) == [None]
    down = provider_changed(Condition("ukg", "condition"), reason=Reason.UNREACHABLE, at=NOON + SECOND, watches=1)
    await store.report(down)

    async def again(webhook: str, **narrowed: object) -> list[tuple[str | None, int | None]]:
        wish = replace(Replay(0, rate=1.0, webhook=webhook, since=NOON), **narrowed)  # type: ignore[arg-type]
        await replayed(store, wish)
        return await sent(store, webhook)

    assert await again("one", providers=("ukg",)) == [("b", 1), (None, None), ("b", 2)]
    assert await again("two", types=(EventType.FINISHED, EventType.PROVIDER_DOWN)) == [
        ("a", 2),
        ("b", 2),
        (None, None),
    ]
    assert await again("three", types=(EventType.FINISHED,), providers=("d7",)) == [("a", 2)]
    assert await again("four", providers=()) == []


async def test_only_what_was_given_up_is_sent_again_if_that_is_wanted(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=4, to=("ops", "audit"))
    for decision in (Decision.EXHAUSTED, Decision.DELIVERED, Decision.EXHAUSTED):
        for webhook in ("ops", "audit"):
            await store.settle([settled(await head_of(store, webhook), decision)])
    wish = Replay(0, rate=1.0, webhook="ops", since=NOON + 2 * SECOND, exhausted=True)
    assert await replayed(store, wish) == [1, 0]
    assert [sequence for _, sequence in await sent(store)] == [4, 3]


async def test_what_happens_meanwhile_is_not_sent_twice(store: Store) -> None:
    watch = await three_delivered(store)
    intent = await wanted(store, Replay(0, rate=1.0, webhook="ops", since=NOON))
    assert await store.replay(intent, now=NOON, limit=2) == 2
    await told(store, watch, events=1)
    assert [await store.replay(intent, now=NOON, limit=2) for _ in range(2)] == [1, 0]
    assert sorted(await sent(store)) == [("order-42", number) for number in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "nothing", [Replay(0, rate=1.0), Replay(0, rate=1.0, webhook="ops", since=LATER)], ids=["unnamed", "too late"]
)
async def test_where_there_is_nothing_to_send_again_the_intent_ends(store: Store, nothing: Replay) -> None:
    await three_delivered(store)
    assert await replayed(store, nothing) == [0]
    assert (await store.intents(), await store.undelivered()) == ([], [])


# --- bit by bit ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 4, 7])
async def test_a_replay_goes_bit_by_bit_and_makes_each_wait_once_however_fast_it_is_delivered(
    store: Store, limit: int
) -> None:
    watch = await three_delivered(store, to=("ops", "audit"))
    events = tuple(an_event(watch, sequence=number).id for number in (1, 2, 3))
    intent = await wanted(store, Replay(0, rate=1.0, events=events))
    seen = []
    while made := await store.replay(intent, now=NOON, limit=limit):
        assert made <= limit
        seen += [(webhook, *one) for webhook in ("ops", "audit") for one in await sent(store, webhook)]
    assert sorted(seen) == [(webhook, "order-42", number) for webhook in ("audit", "ops") for number in (1, 2, 3)]
    assert await store.intents() == []


async def test_a_replay_goes_on_where_it_was_when_the_process_died(store: Store, backend: Backend) -> None:
    await three_delivered(store)
    intent = await wanted(store, Replay(0, rate=1.0, webhook="ops", since=NOON))
    assert await store.replay(intent, now=NOON, limit=2) == 2
    await store.close()
    again = await backend.store()
    await again.lease()
    assert [sequence for _, sequence in await sent(again)] == [1, 2]
    (rest,) = await again.intents()
    assert rest == replace(intent, after=2)
    assert isinstance(rest, Replay)
    assert [await again.replay(rest, now=NOON, limit=2) for _ in range(2)] == [1, 0]
    assert [sequence for _, sequence in await sent(again)] == [3]
    assert await again.replay(rest, now=NOON, limit=2) == 0


async def test_what_is_passed_over_does_not_end_a_replay(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    watch = await told(store, watch, events=2500, to=())
    finished = replace(an_event(watch, sequence=2501, to=()), type=EventType.FINISHED)
    step = Step(replace(watch, sequence=2501), before=2500, events=(finished,), writes=True)
    assert await store.commit([step]) == [None]
    wish = Replay(0, rate=1.0, webhook="ops", since=NOON, types=(EventType.FINISHED,))
    assert await replayed(store, wish) == [1, 0]
    assert await sent(store) == [("order-42", 2501)]


# --- callbacks ----------------------------------------------------------------------------------------------------


async def test_a_callback_is_sent_again_only_what_was_meant_for_it(store: Store) -> None:
    callback = Callback("https://caller.example/done")
    a, b = await added(store, replace(a_watch("a"), callback=callback), replace(a_watch("b"), callback=callback))
    c = (await added(store, a_watch("c")))[0]
    for watch in (a, b):
        await told(store, watch, events=1, to=(CALLBACK,))
    await told(store, c, events=1)
    await store.settle([settled(await head_of(store, CALLBACK, watch="a"), Decision.DELIVERED)])
    await store.settle([settled(await head_of(store, CALLBACK, watch="b"), Decision.ENDED)])
    assert await replayed(store, Replay(0, rate=1.0, webhook=CALLBACK, since=NOON)) == [1, 0]
    assert await sent(store, CALLBACK) == [("a", 1)]
    gone = an_event(b, sequence=1).id
    assert await replayed(store, Replay(0, rate=1.0, events=(gone,))) == [0]
