"""Any sequence of calls, checked against a model: one write per sequence, heads first of their lanes, no gap."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from store_values import BACKENDS, LATER, Backend, a_step, a_watch, arrival, cancellation, settled

from watcher.core.delivery import Decision
from watcher.core.errors import LeaseLostError, StaleWatchError
from watcher.core.model import Ending, Step, Watch
from watcher.core.rows import Admission
from watcher.ports import Store

T = TypeVar("T")

IDS = ("a", "b", "c")
WEBHOOKS = ("ops", "audit")

ids = st.sampled_from(IDS)
targets = st.sets(st.sampled_from(WEBHOOKS)).map(lambda names: tuple(sorted(names)))
endings = st.sampled_from([None, None, None, Ending.SUCCEEDED])


@dataclass
class Known:
    """What the store must know of one watch: all its states so far, the last is the current one."""

    history: list[Watch]
    sequences: list[int | None] = field(default_factory=list)
    wanted: bool = False

    @property
    def now(self) -> Watch:
        return self.history[-1]


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
        self.epoch = self.run(self.owner.lease())
        self.watches: dict[str, Known] = {}
        self.lanes: dict[tuple[str, str | None], list[int | None]] = defaultdict(list)

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
        before, self.epoch = self.epoch, self.run(self.owner.lease())
        assert self.epoch > before

    @rule()
    def the_owner_starts_again(self) -> None:
        self.run(self.owner.close())
        self.owner = self.run(self.backend.store())
        self.epoch = self.run(self.owner.lease())

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
        watch = self.run(self.owner.watch(intent.uid))
        assert watch is not None
        step = replace(a_step(watch, ending=Ending.CANCELLED), intent=intent.id)
        assert self.run(self.owner.commit([step])) == [None]
        self.accept(step)

    @rule(webhook=st.sampled_from(WEBHOOKS), decision=st.sampled_from(Decision), limit=st.integers(1, 3))
    def settle(self, webhook: str, decision: Decision, limit: int) -> None:
        heads = self.run(self.owner.heads(webhook, now=LATER, limit=limit))
        again_at = LATER - timedelta(days=1)
        self.run(self.owner.settle([settled(head, decision, next_at=again_at) for head in heads]))
        if decision is not Decision.RETRY:
            for head in heads:
                assert self.lanes[webhook, head.event.watch].pop(0) == head.event.sequence

    def accept(self, step: Step) -> None:
        """Do to the model what the store did."""
        known = self.watches[step.watch.id]
        known.history.append(step.watch)
        known.sequences += [event.sequence for event in step.events]
        known.wanted = known.wanted and step.watch.ending is None
        for event in step.events:
            for webhook in event.to:
                self.lanes[webhook, event.watch].append(event.sequence)

    # --- what always holds ------------------------------------------------------------------------------------

    @invariant()
    def watches_are_what_was_committed_last(self) -> None:
        for known in self.watches.values():
            assert self.run(self.owner.watch(known.now.uid)) == replace(known.now, epoch=self.epoch)
        opened = self.run(self.owner.load(after=0, limit=100))
        assert [one.id for one in opened] == [name for name, known in self.watches.items() if known.now.ending is None]

    @invariant()
    def heads_are_exactly_the_first_of_each_lane(self) -> None:
        for webhook in WEBHOOKS:
            heads = self.run(self.owner.heads(webhook, now=LATER, limit=100))
            assert sorted((head.event.watch, head.event.sequence) for head in heads) == sorted(
                (watch, lane[0]) for (name, watch), lane in self.lanes.items() if name == webhook and lane
            )

    @invariant()
    def sequences_have_no_gap(self) -> None:
        for name, known in self.watches.items():
            rows = self.run(self.ask_events(name))
            assert rows == known.sequences == list(range(1, known.now.sequence + 1))

    async def ask_events(self, watch: str) -> list[int | None]:
        records = await self.backend.records()
        try:
            return [row.event.sequence for row in await records.events(watch=watch)]
        finally:
            await records.close()

    @invariant()
    def intents_are_what_is_wanted_and_not_done(self) -> None:
        wanted = {known.now.uid for known in self.watches.values() if known.wanted}
        intents = self.run(self.owner.intents())
        assert len(intents) == len(wanted)
        assert {intent.uid for intent in intents} == wanted


@pytest.mark.parametrize("make", BACKENDS)
def test_the_store_does_what_its_contract_says_in_any_order(make: str) -> None:
    machine = type("Machine", (StoreMachine,), {"make": make})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))
