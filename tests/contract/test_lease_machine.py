"""Any sequence of leasing, renewing, lapsing and writing: never do two owners write the same, whatever they believe."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from store_values import BACKENDS, Backend, a_step, a_watch, arrival

from watcher.core.errors import LeaseLostError, StaleWatchError, StoreBusyError
from watcher.core.lease import Lease, shard_of
from watcher.core.model import Watch
from watcher.store import Store

T = TypeVar("T")

NAMES = ("a", "b", "c")
WATCHES = tuple(f"watch-{number}" for number in range(3))

workers = st.sampled_from(NAMES)
watches = st.sampled_from(WATCHES)


@dataclass
class Process:
    """One worker: what it was told that it holds, and the watches as it loaded them."""

    store: Store
    lease: Lease = field(default_factory=lambda: Lease({}))
    loaded: dict[str, Watch] = field(default_factory=dict)


class LeaseMachine(RuleBasedStateMachine):
    """Three workers on one database. What a worker does with what it was told long ago is tried on purpose."""

    make: str

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.backend: Backend = BACKENDS[self.make](Path(self.folder.name))
        self.processes = {name: Process(self.run(self.backend.store(name))) for name in NAMES}
        self.ghosts: list[Process] = []  # that were replaced, and live on
        self.sequences = dict.fromkeys(WATCHES, 0)
        self.written: dict[tuple[int, int], Process] = {}  # who wrote in a shard under an epoch
        self.epochs: dict[int, int] = {}  # the latest epoch under which a shard was written in

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.run(self.backend.close())
        self.runner.close()
        self.folder.cleanup()

    @initialize()
    def add(self) -> None:
        self.run(self.processes["a"].store.add([arrival(a_watch(one)) for one in WATCHES]))

    # --- who holds what ---------------------------------------------------------------------------------------

    @rule(name=workers)
    def lease(self, name: str) -> None:
        process = self.processes[name]
        try:
            process.lease = self.run(process.store.lease())
        except StoreBusyError:
            assert any(other.lease.share for other in self.processes.values() if other is not process)

    @rule(name=workers)
    def start_again(self, name: str) -> None:
        """The process is another one now; the one before is dead, or where leases end it is only silent for now."""
        before, self.processes[name] = self.processes[name], Process(self.run(self.backend.store(name)))
        if before.lease.lasts is None:
            self.run(before.store.close())
        else:
            self.ghosts = [before]
        self.lease(name)

    @rule(name=workers)
    def renew(self, name: str) -> None:
        process = self.processes[name]
        try:
            process.lease = self.run(process.store.renew())
        except LeaseLostError:
            process.lease = Lease({})

    @rule(name=workers)
    def hand_over(self, name: str) -> None:
        process = self.processes[name]
        left = {shard: epoch for shard, epoch in process.lease.epochs.items() if shard not in process.lease.wanted}
        self.run(process.store.release(process.lease.wanted))
        process.lease = replace(process.lease, epochs=left, wanted=frozenset())

    @rule(name=workers)
    def leave(self, name: str) -> None:
        process = self.processes[name]
        self.run(process.store.release())
        process.lease = Lease({})

    @rule(name=workers)
    def lapse(self, name: str) -> None:
        """The worker is silent for longer than its lease, and stops by itself; its memory is still what it was."""
        if self.processes[name].lease.lasts is not None:
            self.run(self.backend.lapse(name))
            self.processes[name].lease = Lease({})

    # --- who writes what --------------------------------------------------------------------------------------

    @rule(name=workers)
    def load(self, name: str) -> None:
        process = self.processes[name]
        process.loaded = {one: self.run(self.ask(process.store, one)) for one in WATCHES}

    async def ask(self, store: Store, one: str) -> Watch:
        watch = await store.watch(f"uid-{one}")
        assert watch is not None
        return watch

    @rule(name=workers, id=watches)
    def write(self, name: str, id: str) -> None:
        self.load(name)
        self.commit([self.processes[name]], id)

    @rule(id=watches)
    def write_what_was_loaded_some_time_ago(self, id: str) -> None:
        self.commit([*self.processes.values(), *self.ghosts], id)

    def commit(self, processes: list[Process], id: str) -> None:
        """Have some write to one watch, at once, each from what it has loaded; of one sequence one is accepted."""
        writing = [process for process in processes if id in process.loaded]

        async def race() -> list[Exception | None]:
            return await asyncio.gather(*(attempt(process.store, process.loaded[id]) for process in writing))

        for process, answer in zip(writing, self.run(race()), strict=True):
            if answer is None:
                self.accept(process, process.loaded[id])
            else:
                assert isinstance(answer, LeaseLostError | StaleWatchError)

    def accept(self, process: Process, watch: Watch) -> None:
        """Take note of a write that was accepted: the next sequence, by whoever has the shard under its epoch alone."""
        assert watch.sequence == self.sequences[watch.id]
        self.sequences[watch.id] += 1
        shard = shard_of(watch.uid)
        assert self.epochs.get(shard, 0) <= watch.epoch
        self.epochs[shard] = watch.epoch
        assert self.written.setdefault((shard, watch.epoch), process) is process

    # --- what always holds ------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_held_twice(self) -> None:
        assert sum(process.lease.share for process in self.processes.values()) <= 1

    @invariant()
    def what_is_stored_is_what_was_accepted(self) -> None:
        stored = {one: self.run(self.ask(self.processes["a"].store, one)).sequence for one in WATCHES}
        assert stored == self.sequences


async def attempt(store: Store, watch: Watch) -> Exception | None:
    try:
        (answer,) = await store.commit([a_step(watch)])
    except LeaseLostError as error:
        return error
    return answer


@pytest.mark.parametrize("make", BACKENDS)
def test_never_do_two_owners_write_the_same(make: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.stores.sqlite_lock.TRIES", 1)
    machine = type("Machine", (LeaseMachine,), {"make": make})
    run_state_machine_as_test(machine, settings=settings(max_examples=20, stateful_step_count=25, deadline=None))
