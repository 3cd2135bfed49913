"""The loop: schedule → provider → advance → store. One `Poller` for each account; no decision is made here."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import anyio
import orjson
import structlog

from watcher import metrics
from watcher.ask import MOST_REQUESTS, Answered, Asker, Polled, Unchanged
from watcher.bell import Bell
from watcher.clock import DoubtfulClock
from watcher.core.agenda import Entry
from watcher.core.errors import StaleWatchError, StoreError
from watcher.core.gate import Gate
from watcher.core.lifecycle import Terms, advance, expire, recall
from watcher.core.model import Condition, State, Watch
from watcher.core.outcome import Final, Seen, Throttled
from watcher.core.rows import Opened
from watcher.core.schedule import Rhythm
from watcher.hold import Hold
from watcher.lately import Lately, Outlook
from watcher.notices import Notices, left
from watcher.poll_log import PollLog, detail
from watcher.ports import Clock, Provider, Transport
from watcher.record import Recorder
from watcher.rota import Rota
from watcher.store import Store

AFTER_A_FAULT = timedelta(seconds=30)
IN_ORDER = 1e-6  # seconds between new watches that come together
LONGEST_NAP = 2.0
STALL = 30.0
SOME = 250  # watches that are ended together

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Poller:
    """Polls the watches of one account, within its rate and concurrency; a watch is never asked twice at a time."""

    def __init__(  # noqa: PLR0913  # what a loop is wired to
        self,
        name: str,
        provider: Provider,
        *,
        condition: Condition,
        store: Store,
        recorder: Recorder,
        transport: Transport,
        clock: Clock,
        hold: Hold | None = None,
    ) -> None:
        self._name = name
        self._provider = provider
        self._terms = Terms(provider.poll, provider.grace, provider.trouble_after)
        self._rhythm = Rhythm.of(provider.poll)
        self._store, self._recorder = store, recorder
        self._clock, self._sure = clock, DoubtfulClock(clock)
        self._hold = hold or Hold(clock)
        self._share = self._hold.share
        self._asker = Asker(provider, transport=transport, clock=clock)
        self._gate = Gate(
            rate=provider.rate,
            burst=provider.burst,
            now=clock.monotonic(),
            reason=condition.reason,
            paused=left(condition, now=clock.now()),
        )
        self._notices = Notices(condition, gate=self._gate, recorder=recorder, clock=clock)
        self._rota = Rota(self._hold)
        self._lately = Lately()
        self._meter, self._log = metrics.ProviderMeter(name), PollLog(name)
        self._turn, self._bell = anyio.Lock(), Bell()
        self._stopping, self._newest_due, self._turned_at = False, 0.0, clock.monotonic()

    async def run(self) -> None:
        """Poll until stopped; what is in flight then is finished."""
        async with anyio.create_task_group() as tasks:
            for number in range(self._provider.concurrency):
                tasks.start_soon(self._work, name=f"poll {self._name} {number}")

    @property
    def open(self) -> Counter[State]:
        """How many open watches there are, by state."""
        return self._rota.open

    @property
    def is_turning(self) -> bool:
        """Has it come round lately, as far as what is in flight lets it, and does no poll last far too long?"""
        patience = STALL + MOST_REQUESTS * self._provider.timeout.total_seconds()  # logins take their time, too
        return self._clock.monotonic() - min(self._turned_at, self._rota.asking_since) < patience

    def stop(self) -> None:
        """Begin no poll any more."""
        self._stopping = True
        self._bell.ring()

    def follow(self) -> None:
        """Go by what is held now: forget others' watches, and use our part of the account's limits."""
        self._rota.follow()
        before, self._share, now = self._share, self._hold.share, self._clock.monotonic()
        if self._share and not before:
            self._gate.empty(now=now)
        if self._share:
            rate, burst = self._provider.rate * self._share, self._hold.burst(self._provider.burst)
            self._gate.divide(rate=rate, burst=burst, now=now)
        self._bell.ring()

    @property
    def leaving(self) -> set[str]:
        """Which watches are being asked that are not ours any more? By uid."""
        return self._rota.leaving

    def learn(self, condition: Condition) -> None:
        """Go by what another worker found out about the account."""
        if not self._notices.knows_pause(condition):
            self._gate.pause(left(condition, now=self._clock.now()), now=self._clock.monotonic())
        if self._notices.learn(condition):
            self._gate.believe(condition.reason)
        self._bell.ring()

    def add(self, opened: Opened) -> None:
        """Put a watch on the schedule: at once if it was never seen, else somewhere within its pace."""
        if (entry := self._rota.enter(opened)) is None:
            return
        now = self._clock.monotonic()
        if opened.state is None:
            self._newest_due = max(now, self._newest_due + IN_ORDER)
            self._push(entry, due=self._newest_due)
            return
        # Of a pace somewhere in its middle: whole paces would never end where a daemon is restarted often.
        self._push(entry, due=now + max(self._rhythm.min, self._pace(entry) * random.random()))  # noqa: S311  # spreads

    def end(self, watch: Watch) -> None:
        """Take a watch that was added, and ended elsewhere, off the schedule; as it was before it ended."""
        self._rota.end(watch)

    def readings(self) -> Iterator[metrics.Reading]:
        """Say how many watches are open, and how late the poll is that waits longest."""
        for state, number in self.open.items():
            yield metrics.Reading(metrics.WATCHES, (self._name, state), number)
        now, due = self._clock.monotonic(), self._rota.due
        yield metrics.Reading(metrics.OLDEST_DUE, (self._name,), 0.0 if due is None else max(now - due, 0.0))

    def outlook(self, uid: str) -> Outlook:
        """Say when a watch is asked next, and what it was answered last; looks at every watch, so seldom."""
        return self._lately.outlook(uid, rota=self._rota, gate=self._gate, clock=self._clock)

    async def _work(self) -> None:
        while isinstance(entry := self._take(), Entry) or (entry := await self._next()) is not None:
            await self._see_to(entry, self._poll)

    async def _see_to(self, entry: Entry, work: Callable[[Entry], Awaitable[None]]) -> None:
        try:
            await work(entry)
        except StoreError:  # or a cancellation was faster: then `end` takes it off
            self._schedule(replace(entry, digest=None), self._terms.pace.min)
        except Exception:  # a bug in one watch stays with that watch
            log.exception("daemon.fault", provider=self._name, watch=entry.id)
            self._schedule(replace(entry, digest=None), max(AFTER_A_FAULT, self._terms.pace.max))
        finally:
            self._rota.finish(entry)

    async def _next(self) -> Entry | None:
        """Wait for the turn of the next watch: due, not paused, and within the rate. None to stop."""
        async with self._turn:  # one of them waits for all
            while isinstance(taken := self._take(), float):
                if not await self._expire_some(self._turned_at):
                    await self._bell.wait(at_most=taken)
            return taken

    def _take(self) -> Entry | float | None:
        """Take the watch whose turn it is, or say in how many seconds there may be one; None to stop."""
        if self._stopping:
            return None
        self._turned_at = now = self._clock.monotonic()
        due = self._rota.due if self._hold.is_valid else None
        late = -LONGEST_NAP if due is None else now - due
        if (wait := -late) <= 0 and (wait := self._gate.take(now=now)) <= 0:
            self._meter.begun(late=late)
            return self._rota.take(now=now)
        return min(wait, LONGEST_NAP)

    async def _expire_some(self, now: float) -> bool:
        """End some of those that pass their deadline while nobody may ask; False if it is not the time for that."""
        if not (self._gate.is_closed(now=now) and self._rota.must_sweep(at=now)):
            return False
        before, late = self.open.total(), self._rota.take_late(now=self._sure.now(), at=now, limit=SOME)
        async with anyio.create_task_group() as ending:  # together, so that they share disk writes
            for entry in late:
                ending.start_soon(self._see_to, entry, self._expire)
        if late and self.open.total() >= before:  # the store refuses, and would be asked without a pause
            self._rota.sweep_later(at=now)
        return True

    async def _expire(self, entry: Entry) -> None:
        watch = await self._store.watch(entry.uid)
        if watch is None or watch.ending is not None:
            self._let_go(entry)
            return
        await self._recorder.commit(watch, expire(watch, now=self._clock.now()))
        self._rota.close(entry)

    async def _poll(self, entry: Entry) -> None:
        """Ask for one watch, do what the answer means, and schedule it again."""
        started, asked_at = self._clock.monotonic(), self._clock.now()
        epoch = self._hold.epoch(entry.uid)
        usable = None if entry.trouble or self._sure.now().timestamp() >= entry.deadline else entry.digest
        polled = await self._asker.poll(orjson.loads(entry.params), digest=usable)
        now = self._clock.monotonic()
        outcome = None if isinstance(polled, Unchanged) else polled.outcome
        self._log.done(entry.id, outcome, seconds=now - started)
        self._lately.keep(entry.uid, outcome, polled.answer, at=asked_at + timedelta(seconds=now - started))
        self._note(entry, outcome, asked_at=started, now=now)
        is_change = False
        if isinstance(outcome, Seen):
            entry.trouble = None  # it is over, also if that cannot be written; whether it was told the store knows
        try:
            if isinstance(polled, Answered) or not self._notices.are_told:
                is_change = await self._keep(entry, polled, epoch=epoch)
            else:
                self._push(entry, due=now + self._pace(entry))
        finally:
            self._meter.polled(outcome, is_change=is_change, seconds=now - started)

    async def _keep(self, entry: Entry, polled: Polled, *, epoch: int | None) -> bool:
        """Record what is new, also while we stop; say whether a watch changed."""
        with anyio.CancelScope(shield=True):
            outcome = polled.outcome if isinstance(polled, Answered) else None
            await self._notices.tell(watches=self.open.total(), error=detail(outcome))
            if isinstance(polled, Answered):
                return await self._record(entry, polled, epoch=epoch)
        self._push(entry, due=self._clock.monotonic() + self._pace(entry))
        return False

    def _note(self, entry: Entry, outcome: Final | None, *, asked_at: float, now: float) -> None:
        """Let the gate know what a poll brought, and the log if the whole account is paused for it."""
        paused = self._gate.note(entry.uid, outcome, watches=self.open.total(), asked_at=asked_at, now=now)
        if paused is not None and isinstance(outcome, Throttled):
            self._log.throttled(outcome, seconds=paused)

    async def _record(self, entry: Entry, polled: Answered, *, epoch: int | None) -> bool:
        """Store what a poll brought, if anything is new, and schedule the next; say whether anything was.

        `epoch` is the one under which it was asked: under another one others may have seen what is newer.
        """
        watch = await self._store.watch(entry.uid)
        if watch is None or watch.ending is not None:
            self._let_go(entry)
            return False
        if epoch not in {watch.epoch, None}:
            raise StaleWatchError(f"watch {watch.id} was others' since it was asked")
        before = recall(watch, entry.trouble)
        step = advance(
            before,
            polled.outcome,
            now=self._clock.now(),
            terms=self._terms,
            dice=random.random(),  # noqa: S311  # spreads polls
            is_alone=self._gate.reason is None,
            sure=self._sure.now(),
        )
        if step.writes:
            await self._recorder.commit(before, step, error=detail(polled.outcome))
        if isinstance(polled.outcome, Seen):
            self._log.unknown(polled.outcome.observation.unknown)
        self._rota.close(entry)
        if step.wait is not None:
            state = step.watch.state if step.writes else watch.state
            after = self._rota.count(entry.after(step.watch, digest=polled.digest, state=state))
            self._schedule(after, step.wait)
        return bool(step.events)

    def _let_go(self, entry: Entry) -> None:
        """Forget a watch that has ended: by a cancellation, which `end` tells, or a commit that only seemed to fail."""
        if entry.ended:
            self._rota.close(entry)
        else:
            self._schedule(replace(entry, ended=True), self._terms.pace.min)

    def _schedule(self, entry: Entry, wait: timedelta) -> None:
        self._push(entry, due=self._clock.monotonic() + wait.total_seconds())

    def _push(self, entry: Entry, *, due: float) -> None:
        if self._rota.put(entry, due=due):
            self._bell.ring()

    def _pace(self, entry: Entry) -> float:
        return self._rhythm.wait(
            now=self._clock.now().timestamp(),
            since=entry.since,
            deadline=entry.deadline,
            dice=random.random(),  # noqa: S311  # spreads polls
            not_before=entry.not_before,
        )
