"""All that one worker writes, through one connection: what waits at the same time goes in one transaction.

No task of its own: the first of those who wait carries out the jobs of all, and the next group's first goes on. No
worker deadlocks with another, because all take their locks in one order: shards, then the turn, then rows.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice
from typing import Protocol, TypeAlias, TypeVar

import anyio

from watcher.core.errors import LeaseLostError, StoreError
from watcher.core.lease import shard_of
from watcher.core.model import Step
from watcher.stores.postgres_connection import FAILURES, Database, PostgresConnection, is_broken, savepoint, translated

MOST_ROWS = 500
LINGER = 0.002

T = TypeVar("T")

Held: TypeAlias = Mapping[int, int]  # the shards that a job may write in, and their epochs


# One worker at a time writes what several may, so that rows of watches and cursors of events are in order of commits.
TURN = "SELECT pg_advisory_xact_lock(8480, 1)"


class Reach(Enum):
    """How far a job reaches, and so what must be locked for it."""

    LANES = auto()  # deliveries in shards that are held, and nothing else
    COMMON = auto()  # also what other workers may write, or wait for: watches, events, endpoints, conditions, intents …
    EVERYTHING = auto()  # also deliveries in shards that are not held; no other owner writes meanwhile


class Guard(Protocol):
    """Says what the worker holds, and sees to it that nobody takes it before the transaction ends."""

    async def __call__(self, db: Database, *, shards: Collection[int], alone: bool) -> Held | None:
        """Lock what is held of these shards; `alone`: all shards, so that no other owner writes anything.

        None: the worker owns nothing any more.
        """


class StepWriter(Protocol):
    """Writes steps into a transaction."""

    async def __call__(self, db: Database, steps: Sequence[Step], *, held: Held) -> list[Exception | None]:
        """Write each step whole, or say why nothing of it was written."""


@dataclass(eq=False, slots=True)
class _Job:
    """What one caller wants written: work, or steps. `shards` is None if the caller need not be an owner."""

    rows: int
    shards: frozenset[int] | None
    reach: Reach = Reach.COMMON
    work: Callable[[Database, Held], Awaitable[None]] | None = None
    steps: Sequence[Step] = ()
    answers: list[Exception | None] = field(default_factory=list)
    failure: Exception | None = None
    asked: float = field(default_factory=anyio.current_time)
    woken: anyio.Event = field(default_factory=anyio.Event)


class PostgresWriter:
    """Carries out jobs in the order in which they came, each in a savepoint of its group's transaction.

    A job is all or nothing, and its failure is its own; when the group's transaction fails, all its jobs have failed.
    A caller that is cancelled no longer learns what became of its job, which may have been carried out.
    """

    def __init__(
        self,
        connection: PostgresConnection,
        *,
        guard: Guard,
        write: StepWriter,
        observe: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Write through `connection`; `observe` is told how many seconds each transaction took."""
        self._connection = connection
        self._guard = guard
        self._write = write
        self._observe = observe
        self._waiting: dict[_Job, None] = {}
        self._leader: _Job | None = None

    async def run(self, work: Callable[[Database], Awaitable[T]], *, rows: int = 1) -> T:
        """Carry out `work`, which writes about so many rows, and return what it returned, once that is on disk.

        Raises:
            StoreError: nothing of it was kept, unless the connection broke just as it was committed; or whatever
                `work` raised.

        """

        async def of_nobody(db: Database, _: Held) -> T:
            return await work(db)

        return await self._run(of_nobody, rows=rows, shards=None)

    async def own(
        self,
        work: Callable[[Database, Held], Awaitable[T]],
        *,
        shards: Collection[int],
        rows: int = 1,
        reach: Reach = Reach.COMMON,
    ) -> T:
        """Carry out `work` as `run` does, as an owner: it is told which of `shards` are held, and under which epochs.

        Raises:
            StoreError: as `run`.
            LeaseLostError: we own nothing any more.

        """
        return await self._run(work, rows=rows, shards=frozenset(shards), reach=reach)

    async def commit(self, steps: Sequence[Step]) -> list[Exception | None]:
        """Write steps, and answer for each; those of all callers in a group are as few statements as one caller's.

        Raises:
            StoreError: as `run`.
            LeaseLostError: we own nothing any more.

        """
        job = _Job(len(steps), frozenset(shard_of(step.watch.uid) for step in steps), steps=steps)
        await self._queue(job)
        return job.answers

    async def close(self) -> None:
        """Finish the group that was begun, then disconnect; idempotent. What waits behind it fails."""
        await self._connection.close()

    async def _run(
        self,
        work: Callable[[Database, Held], Awaitable[T]],
        *,
        rows: int,
        shards: frozenset[int] | None,
        reach: Reach = Reach.COMMON,
    ) -> T:
        result: list[T] = []

        async def keeping(db: Database, held: Held) -> None:
            result.append(await work(db, held))

        await self._queue(_Job(rows, shards, reach, work=keeping))
        return result[0]

    async def _queue(self, job: _Job) -> None:
        """Wait until a job was carried out, by its own caller if nobody else does it."""
        self._waiting[job] = None
        try:
            if self._leader is None:
                self._appoint_next()
            await job.woken.wait()
            if self._leader is job:
                await anyio.sleep(max(0.0, job.asked + LINGER - anyio.current_time()))
                with anyio.CancelScope(shield=True):
                    await self._carry_out(self._next_group())
        finally:
            self._waiting.pop(job, None)
            if self._leader is job:
                self._appoint_next()
        if job.failure is not None:
            raise job.failure

    def _appoint_next(self) -> None:
        """Have the one who waits for longest carry out what waits."""
        self._leader = next(iter(self._waiting), None)
        if self._leader is not None:
            self._leader.woken.set()

    def _next_group(self) -> list[_Job]:
        """Take those that wait, in order; one that reaches everything goes alone."""
        group: list[_Job] = []
        rows = 0
        for job in self._waiting:
            if group and (rows >= MOST_ROWS or Reach.EVERYTHING in {job.reach, group[0].reach}):
                break
            group.append(job)
            rows += job.rows
        for job in group:
            del self._waiting[job]
        return group

    async def _carry_out(self, group: list[_Job]) -> None:
        began = time.monotonic()
        lost: str | None = "the store was interrupted as it wrote"
        try:
            async with self._connection.transaction() as db:
                await self._write_group(db, group)
            lost = None
        except StoreError as error:
            lost = str(error)
        finally:
            for job in group:
                job.failure = StoreError(lost) if lost else job.failure
                job.woken.set()
            self._observe(time.monotonic() - began)

    async def _write_group(self, db: Database, group: list[_Job]) -> None:
        """Carry out what needs shards only; then wait for our turn, write all steps together, and do the rest."""
        held = await self._hold(db, group)
        near = [job for job in group if job.reach is Reach.LANES and not job.failure]
        far = [job for job in group if job.reach is not Reach.LANES and not job.failure]
        for job in near:
            job.failure = await _attempt(db, job, held=held)
        if far:
            await db.execute(TURN)
        if steps := [step for job in far for step in job.steps]:
            answers = iter(await self._write(db, steps, held=held))
            for job in far:
                job.answers = list(islice(answers, len(job.steps)))
        for job in far:
            job.failure = await _attempt(db, job, held=held)

    async def _hold(self, db: Database, group: list[_Job]) -> Held:
        """Lock the shards that the jobs write in; where we own nothing, those that need an owner have failed."""
        owned = [job for job in group if job.shards is not None]
        if not owned:
            return {}
        shards = frozenset[int]().union(*(job.shards for job in owned if job.shards is not None))
        held = await self._guard(db, shards=shards, alone=group[0].reach is Reach.EVERYTHING)
        if held is None:
            for job in owned:
                job.failure = LeaseLostError("the store belongs to other workers")
        return held or {}


async def _attempt(db: Database, job: _Job, *, held: Held) -> Exception | None:
    if job.work is None:
        return None
    try:
        async with savepoint(db):
            await job.work(db, held)
    except Exception as error:  # the border of the group: whatever it is, its caller learns it
        if is_broken(db, error):
            raise
        return translated(error) if isinstance(error, FAILURES) else error
    return None
