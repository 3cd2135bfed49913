"""The contract of `store.Store`, once, for every store: `order` of much that waits is changed a little at a time."""

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from store_values import LATER, NOON, Backend, a_step, a_watch, added, heads_of, settled, told, waiting

from watcher.core.delivery import Decision, Delivery
from watcher.core.errors import LeaseLostError
from watcher.core.intent import Replay
from watcher.core.model import Watch
from watcher.store import Store
from watcher.stores import postgres, sqlite

MANY = 4  # times what is changed at once
FEW = 500
AFTER_ALL = LATER + timedelta(days=365)


async def filled(store: Store) -> list[Watch]:
    """Let much wait: of 20 watches, in turns."""
    watches = await added(store, *(a_watch(f"w{number}") for number in range(20)))
    for _ in range(MANY):
        assert await store.commit([a_step(watch, events=FEW // 20) for watch in watches]) == [None] * 20
        watches = [replace(watch, sequence=watch.sequence + FEW // 20) for watch in watches]
    return watches


async def heads(store: Store) -> int:
    return len(await waiting(store, limit=9999))


async def arranged(store: Store) -> int:
    """Change the order of all that waits; return in how many parts."""
    parts = 0
    while await store.arrange():
        parts += 1
    return parts


async def test_much_that_waits_is_let_go_of_and_lined_up_a_few_at_a_time(store: Store) -> None:
    await filled(store)
    assert (await heads(store), await store.arrange()) == (20, False)
    await store.endpoint("ops", ordered=False)
    assert await heads(store) == FEW + 20
    assert await store.arrange()
    assert await heads(store) == 2 * FEW + 20
    assert (await arranged(store), await heads(store)) == (MANY - 1, MANY * FEW)
    await store.endpoint("ops", ordered=True)
    assert await heads(store) == (MANY - 1) * FEW + 20
    assert (await arranged(store), await heads(store)) == (MANY, 20)
    assert {sequence for _, sequence in await heads_of(store)} == {1}


async def test_order_is_changed_however_many_events_there_were_before(store: Store) -> None:
    (watch,) = await added(store, a_watch("before"))
    await told(store, watch, events=4100, to=())
    await filled(store)
    await store.endpoint("ops", ordered=False)
    assert (await arranged(store), await heads(store)) == (MANY, MANY * FEW)


async def test_what_comes_meanwhile_stands_as_it_should_from_the_first_moment(store: Store) -> None:
    watches = await filled(store)
    (new,) = await added(store, a_watch("new"))
    await store.endpoint("ops", ordered=False)
    new = await told(store, new, events=3)
    assert [one for one in await heads_of(store) if one[0] == "new"] == [("new", 1), ("new", 2), ("new", 3)]
    await arranged(store)
    await store.endpoint("ops", ordered=True)
    await told(store, replace(watches[0], sequence=MANY * FEW // 20), events=2)
    newest = max(one[1] or 0 for one in await heads_of(store) if one[0] == "w0")
    assert newest <= MANY * FEW // 20
    await arranged(store)
    assert await heads(store) == 21


async def test_what_was_begun_by_one_process_is_ended_by_the_next(store: Store, backend: Backend) -> None:
    await filled(store)
    await store.endpoint("ops", ordered=False)
    await store.close()
    again = await backend.store()
    await again.lease()
    await again.endpoint("ops", ordered=False)
    assert await heads(again) == FEW + 20
    assert (await arranged(again), await heads(again)) == (MANY, MANY * FEW)


async def test_order_that_is_changed_back_before_all_has_followed_is_as_it_was(store: Store) -> None:
    await filled(store)
    await store.endpoint("ops", ordered=False)
    await store.arrange()
    await store.endpoint("ops", ordered=True)
    await arranged(store)
    assert await heads(store) == 20
    assert {sequence for _, sequence in await heads_of(store)} == {1}


async def test_several_webhooks_are_changed_one_after_the_other_and_no_other_is(store: Store) -> None:
    watches = await added(store, a_watch("a"), a_watch("b"))
    for watch in watches:
        await told(store, watch, events=FEW, to=("ops", "audit", "third"))
    await store.endpoint("ops", ordered=False)
    await store.endpoint("audit", ordered=False)
    await arranged(store)
    counts = [len(await waiting(store, webhook, limit=9999)) for webhook in ("ops", "audit", "third")]
    assert counts == [2 * FEW, 2 * FEW, 2]


async def test_who_owns_nothing_changes_no_order(store: Store, backend: Backend) -> None:
    await filled(store)
    await store.endpoint("ops", ordered=False)
    other = await backend.store()
    with pytest.raises(LeaseLostError):
        await other.arrange()
    assert await heads(store) == FEW + 20


class Draining:
    """Events that are told, sent and sent again while the order changes, two deliveries at a time."""

    def __init__(self, store: Store, watches: list[Watch], *, seed: int) -> None:
        self.store = store
        self.watches = {watch.id: watch for watch in watches}
        self.dice = random.Random(seed)  # the same each time
        self.told: set[tuple[str | None, int | None]] = set()
        self.delivered = Counter[tuple[str | None, int | None]]()

    async def tell(self) -> None:
        name = self.dice.choice(sorted(self.watches))
        before = self.watches[name]
        self.watches[name] = await told(self.store, before, events=2)
        self.told |= {(name, before.sequence + 1), (name, before.sequence + 2)}

    async def settle(self) -> None:
        some = await waiting(self.store, now=AFTER_ALL, limit=3)
        decision = self.dice.choice([Decision.DELIVERED, Decision.DELIVERED, Decision.RETRY])
        loosens_at = self.dice.choice([None, NOON, AFTER_ALL])
        await self.store.settle([settled(one, decision, next_at=NOON, loosens_at=loosens_at) for one in some])
        if decision is Decision.DELIVERED:
            self.note(some)

    def note(self, some: list[Delivery]) -> None:
        self.delivered.update((one.event.watch, one.event.sequence) for one in some)

    async def turn(self) -> None:
        await self.store.endpoint("ops", ordered=self.dice.random() < 0.5)

    async def arrange(self) -> None:
        await self.store.arrange()

    async def loosen(self) -> None:
        await self.store.loosen(now=LATER)

    async def replay(self) -> None:
        await self.store.want(Replay(0, rate=1.0, webhook="ops", since=NOON))
        (intent,) = await self.store.intents()
        assert isinstance(intent, Replay)
        while await self.store.replay(intent, now=NOON, limit=3):
            pass

    async def is_all_sent(self) -> bool:
        """Send all that may be sent: was that everything?"""
        while some := await waiting(self.store, now=AFTER_ALL, limit=99):
            await self.store.settle([settled(one, Decision.DELIVERED) for one in some])
            self.note(some)
        return await self.store.undelivered() == [] and self.told == self.delivered.keys()


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_while_the_order_changes_nothing_is_stuck(
    store: Store, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(sqlite, "FEW", 2)
    monkeypatch.setattr(postgres, "FEW", 2)
    draining = Draining(store, await added(store, a_watch("a"), a_watch("b"), a_watch("c")), seed=seed)
    acts = [draining.tell, draining.settle, draining.turn, draining.arrange, draining.loosen]
    for _ in range(60):
        await draining.dice.choice(acts)()
        if draining.dice.random() < 0.03:
            await draining.replay()
    if seed % 2:  # else it is sent half arranged
        await store.endpoint("ops", ordered=True)
        await arranged(store)
        assert not await store.arrange()
    assert await draining.is_all_sent()
