"""Any sequence of calls, checked against a model: one write per sequence, heads first of their lanes, no gap."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from outbox_model import OutboxModel, Waiting
from scale import scaled
from store_values import (
    BACKENDS,
    LATER,
    NOON,
    Backend,
    a_step,
    a_watch,
    arrival,
    cancellation,
    epoch_of,
    settled,
    waiting,
)
from watch_model import Known

from watcher.core.delivery import Decision, Delivery
from watcher.core.errors import LeaseLostError, StaleWatchError
from watcher.core.intent import Cancel, Replay
from watcher.core.model import Ending, Step
from watcher.core.rows import Admission
from watcher.ports import Records
from watcher.store import Store
from watcher.stores import postgres, sqlite

T = TypeVar("T")

IDS = ("a", "b", "c")
WEBHOOKS = ("ops", "audit")

ids = st.sampled_from(IDS)
targets = st.sets(st.sampled_from(WEBHOOKS)).map(lambda names: tuple(sorted(names)))
endings = st.sampled_from([None, None, None, Ending.SUCCEEDED])
webhooks = st.sampled_from(WEBHOOKS)

PATIENCE = LATER  # when a refused delivery loosens; attempts are due, and made, before
AFTER_ALL = LATER + timedelta(days=365)


class StoreMachine(RuleBasedStateMachine):
    """Two stores on one database, of which at most one is the owner, and the model of what they were told."""

    make: str

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.backend: Backend = BACKENDS[self.make](Path(self.folder.name))
        self.owner: Store = self.run(self.backend.store())
        self.other: Store = self.run(self.backend.store())
        self.records: Records = self.run(self.backend.records())
        self.epoch = epoch_of(self.run(self.owner.lease()))
        self.watches: dict[str, Known] = {}
        self.outbox = OutboxModel()
        self.events: dict[tuple[str | None, int | None], int] = {}
        self.batches = 0

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.run(self.backend.close())
        self.runner.close()
        self.folder.cleanup()

    # --- what happens -----------------------------------------------------------------------------------------

    @rule(id=ids, operation=st.sampled_from(["one", "two"]))
    def add(self, id: str, operation: str) -> None:
        watch = a_watch(id, operation=operation)
        known = self.watches.get(id)
        if known is None:
            self.watches[id] = Known([watch])
            expected = Admission.NEW
        else:
            expected = Admission.KNOWN if known.now.params == watch.params else Admission.CONFLICT
        assert self.run(self.other.add([arrival(watch)])) == [expected]

    @rule(id=ids)
    def cancel(self, id: str) -> None:
        known = self.watches.get(id)
        if known is None:
            expected = Admission.UNKNOWN
        elif known.now.ending:
            expected = Admission.KNOWN
        else:
            expected, known.wanted = Admission.CANCELLING, True
        assert self.run(self.other.add([cancellation(id)])) == [expected]

    @rule()
    def another_owner_takes_over(self) -> None:
        self.run(self.owner.release())
        self.owner, self.other = self.other, self.owner
        before, self.epoch = self.epoch, epoch_of(self.run(self.owner.lease()))
        assert self.epoch > before

    @rule()
    def the_owner_starts_again(self) -> None:
        self.run(self.owner.close())
        self.owner = self.run(self.backend.store())
        self.epoch = epoch_of(self.run(self.owner.lease()))

    @precondition(lambda self: self.watches)
    @rule(data=st.data(), events=st.integers(0, 3), to=targets, ending=endings)
    def commit(self, data: st.DataObject, events: int, to: tuple[str, ...], ending: Ending | None) -> None:
        known = self.watches[data.draw(st.sampled_from(sorted(self.watches)))]
        watch = replace(data.draw(st.sampled_from(known.history)), epoch=self.epoch)
        step = a_step(watch, events=events, to=to, ending=ending)
        is_current = watch.sequence == known.now.sequence and known.now.ending is None
        (answer,) = self.run(self.owner.commit([step]))
        assert (answer is None) if is_current else isinstance(answer, StaleWatchError)
        if is_current:
            self.accept(step)

    @precondition(lambda self: any(known.now.ending is None for known in self.watches.values()))
    @rule(data=st.data(), rivals=st.integers(2, 4), to=targets)
    def commit_at_once(self, data: st.DataObject, rivals: int, to: tuple[str, ...]) -> None:
        is_open = [name for name, known in self.watches.items() if known.now.ending is None]
        watch = replace(self.watches[data.draw(st.sampled_from(is_open))].now, epoch=self.epoch)
        steps = [a_step(watch, status=f"rival-{number}", to=to) for number in range(rivals)]

        async def race() -> list[list[Exception | None]]:
            return await asyncio.gather(*(self.owner.commit([step]) for step in steps))

        answers = [answer for (answer,) in self.run(race())]
        assert [type(answer) for answer in answers if answer is not None] == [StaleWatchError] * (rivals - 1)
        self.accept(steps[answers.index(None)])

    @precondition(lambda self: self.watches)
    @rule(id=st.data())
    def who_owns_nothing_commits_nothing(self, id: st.DataObject) -> None:
        known = self.watches[id.draw(st.sampled_from(sorted(self.watches)))]
        with pytest.raises(LeaseLostError):
            self.run(self.other.commit([a_step(replace(known.now, epoch=self.epoch))]))

    @precondition(lambda self: any(known.wanted for known in self.watches.values()))
    @rule()
    def carry_out_the_oldest_intent(self) -> None:
        intent = self.run(self.owner.intents())[0]
        assert isinstance(intent, Cancel)
        watch = self.run(self.owner.watch(intent.uid))
        assert watch is not None
        step = replace(a_step(watch, ending=Ending.CANCELLED), intent=intent.id)
        assert self.run(self.owner.commit([step])) == [None]
        self.accept(step)

    # --- what becomes of deliveries ---------------------------------------------------------------------------

    @rule(webhook=webhooks, decision=st.sampled_from(Decision), limit=st.integers(1, 3), refused=st.booleans())
    def settle(self, *, webhook: str, decision: Decision, limit: int, refused: bool) -> None:
        """Settle some heads in one transaction; those that are refused loosen one day, those that are late at once."""
        heads = self.run(waiting(self.owner, webhook, now=AFTER_ALL, limit=limit))
        self.settle_all(webhook, heads, decision, refused=refused)

    @rule(webhook=webhooks, decision=st.sampled_from(Decision), limit=st.integers(2, 4), refused=st.booleans())
    def settle_a_batch(self, *, webhook: str, decision: Decision, limit: int, refused: bool) -> None:
        for head in self.run(waiting(self.owner, webhook, now=AFTER_ALL, limit=1)):
            known = self.outbox.find(webhook, head.event.watch, head.event.sequence)
            members = self.run(self.owner.members(head, limit=limit))
            expected = self.outbox.members(webhook, known, limit=limit)
            assert [(each.event.watch, each.event.sequence) for each in members] == [each.name for each in expected]
            self.batches += 1
            self.settle_all(webhook, members, decision, refused=refused, batch=f"bat_{self.batches}")

    def settle_all(
        self, webhook: str, some: list[Delivery], decision: Decision, *, refused: bool, batch: str | None = None
    ) -> None:
        known = [self.outbox.find(webhook, one.event.watch, one.event.sequence) for one in some]
        next_at, loosens_at = LATER - timedelta(days=1), PATIENCE if refused else None
        done = [settled(one, decision, next_at=next_at, loosens_at=loosens_at, batch=batch) for one in some]
        self.run(self.owner.settle(done))
        for one in known:
            if decision is Decision.RETRY:
                one.again, one.loosens, one.batch = True, refused, batch
            elif one in self.outbox.waits[webhook]:
                status = "delivered" if decision is Decision.DELIVERED else "exhausted"
                self.outbox.end(webhook, one, status=status)
            if decision is Decision.ENDED:
                self.outbox.give_up_lane(webhook, one.watch)
        self.loosen_what_is_late(webhook, some, known, refused=refused and decision is Decision.RETRY)

    def loosen_what_is_late(self, webhook: str, some: list[Delivery], known: list[Waiting], *, refused: bool) -> None:
        for one, model in zip(some, known, strict=True):
            ended_at = one.due_at + timedelta(seconds=0.25)
            if refused and ended_at >= PATIENCE and model in self.outbox.heads(webhook) and not model.loose:
                self.outbox.loosen(webhook, model)

    @rule()
    def loosen(self) -> None:
        expected = self.outbox.loosen_all()
        assert self.run(self.owner.loosen(now=PATIENCE)) == expected

    @rule(webhook=webhooks, ordered=st.booleans())
    def order(self, *, webhook: str, ordered: bool) -> None:
        self.run(self.owner.endpoint(webhook, ordered=ordered))
        while self.run(self.owner.arrange()):
            pass
        self.outbox.order(webhook, ordered=ordered)

    @rule(webhook=webhooks, exhausted=st.booleans(), limit=st.integers(1, 5))
    def replay(self, *, webhook: str, exhausted: bool, limit: int) -> None:
        self.run(self.other.want(Replay(0, rate=1.0, webhook=webhook, since=NOON, exhausted=exhausted)))
        intent = self.run(self.owner.intents())[-1]
        assert isinstance(intent, Replay)
        made = 0
        while some := self.run(self.owner.replay(intent, now=NOON, limit=limit)):
            assert some <= limit
            made += some
        assert made == self.outbox.replay(webhook, exhausted=exhausted, everything=self.events)

    @rule()
    def prune(self) -> None:
        """Time has passed for everything: what waits is given up, finished watches are forgotten but for their ids."""
        pruned = [self.run(self.owner.prune(before=AFTER_ALL, ids_before=NOON, limit=7))]
        while pruned[-1].rows:
            pruned.append(self.run(self.owner.prune(before=AFTER_ALL, ids_before=NOON, limit=7)))
        for webhook in WEBHOOKS:
            waits = list(self.outbox.waits[webhook])
            assert sum(step.given_up.get(webhook, 0) for step in pruned) == len(waits)
            for one in waits:
                self.outbox.end(webhook, one, status="exhausted")
        for known in self.watches.values():
            known.forget_what_ended()
        gone = {name for name, known in self.watches.items() if known.forgotten}
        self.events = {name: event for name, event in self.events.items() if name[0] not in gone}

    def accept(self, step: Step) -> None:
        """Do to the model what the store did."""
        known = self.watches[step.watch.id]
        known.accept(step)
        for event in step.events:
            self.outbox.tell(event.watch, event.sequence, to=event.to)
            self.events[event.watch, event.sequence] = self.outbox.events

    # --- what always holds ------------------------------------------------------------------------------------

    @invariant()
    def watches_are_what_was_committed_last(self) -> None:
        for known in self.watches.values():
            now = replace(known.now, epoch=self.epoch)
            if known.forgotten:
                now = replace(now, labels={}, webhooks=None, snapshot=None)
            assert self.run(self.owner.watch(known.now.uid)) == now
        opened = self.run(self.owner.load(after=0, limit=100))
        assert [one.id for one in opened] == [name for name, known in self.watches.items() if known.now.ending is None]

    @invariant()
    def heads_are_exactly_the_first_of_each_lane_and_what_stands_in_none(self) -> None:
        for webhook in WEBHOOKS:
            for again in (False, True):
                heads = self.run(self.owner.heads(webhook, again=again, now=AFTER_ALL, limit=100))
                expected = [one.name for one in self.outbox.heads(webhook) if one.again is again]
                assert sorted((head.event.watch, head.event.sequence) for head in heads) == sorted(expected)

    @invariant()
    def webhooks_are_undelivered_while_anything_waits(self) -> None:
        waits = sorted(webhook for webhook in WEBHOOKS if self.outbox.waits[webhook])
        assert sorted(self.run(self.owner.undelivered())) == waits

    @invariant()
    def sequences_have_no_gap(self) -> None:
        for name, known in self.watches.items():
            rows = self.run(self.ask_events(name))
            assert rows == known.sequences
            assert known.forgotten or rows == list(range(1, known.now.sequence + 1))

    async def ask_events(self, watch: str) -> list[int | None]:
        return [row.event.sequence for row in await self.records.events(watch=watch)]

    @invariant()
    def intents_are_what_is_wanted_and_not_done(self) -> None:
        wanted = sorted(known.now.uid for known in self.watches.values() if known.wanted)
        intents = self.run(self.owner.intents())
        assert sorted(intent.uid for intent in intents if isinstance(intent, Cancel)) == wanted
        assert len(intents) == len(wanted)


@pytest.mark.parametrize("make", BACKENDS)
def test_the_store_does_what_its_contract_says_in_any_order(make: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "FEW", 2)  # whatever is done bit by bit takes more than one
    monkeypatch.setattr(sqlite, "FEW", 2)
    machine = type("Machine", (StoreMachine,), {"make": make})
    examples = scaled(20, long=200) if make == "sqlite" else scaled(10, long=100)  # each call to a server and back
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=25, deadline=None))
