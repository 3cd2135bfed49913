"""The loop: schedule → provider → advance → store. One `Poller` for each account; no decision is made here."""

import random
from dataclasses import replace
from datetime import timedelta

import anyio
import structlog

from watcher.ask import MOST_REQUESTS, Answered, Asker, Unchanged
from watcher.bell import Bell
from watcher.core.agenda import Agenda, Entry
from watcher.core.errors import StaleWatchError, StoreError
from watcher.core.event import provider_changed
from watcher.core.gate import Gate
from watcher.core.lifecycle import Terms, advance
from watcher.core.model import Condition, Final, Seen, Throttled, Watch
from watcher.core.schedule import next_poll
from watcher.ports import Clock, Opened, Provider, Store, Transport
from watcher.record import Recorder

AFTER_A_FAULT = timedelta(seconds=30)
LONGEST_NAP = 2.0
MOST_WORDS = 100
STALL = 30.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Poller:
    """Polls the watches of one account, within its rate and concurrency; a watch is never asked twice at a time."""

    def __init__(  # what a loop is wired to
        self,
        name: str,
        provider: Provider,
        *,
        condition: Condition,
        store: Store,
        recorder: Recorder,
        transport: Transport,
        clock: Clock,
    ) -> None:
        self._name = name
        self._provider = provider
        self._terms = Terms(provider.poll, provider.grace, provider.trouble_after)
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._asker = Asker(provider, transport=transport, clock=clock)
        self._condition = condition
        self._gate = Gate(rate=provider.rate, burst=provider.burst, now=clock.monotonic(), reason=condition.reason)
        self._agenda = Agenda()
        self._turn = anyio.Lock()
        self._telling = anyio.Lock()
        self._bell = Bell()
        self._unknown: set[str] = set()
        self._stopping = False
        self._turned_at = clock.monotonic()

    async def run(self) -> None:
        """Poll until stopped; what is in flight then is finished."""
        async with anyio.create_task_group() as tasks:
            for number in range(self._provider.concurrency):
                tasks.start_soon(self._work, name=f"poll {self._name} {number}")

    @property
    def is_turning(self) -> bool:
        """Has it come round lately, as far as what is in flight lets it?"""
        return (
            self._clock.monotonic() - self._turned_at < STALL + MOST_REQUESTS * self._provider.timeout.total_seconds()
        )

    def stop(self) -> None:
        """Begin no poll any more."""
        self._stopping = True
        self._bell.ring()

    def add(self, opened: Opened) -> None:
        """Put a watch on the schedule: at once if it was never seen, else when its pace says."""
        since = opened.changed_at or opened.accepted_at
        entry = Entry(opened.uid, opened.id, opened.params, since, opened.deadline_at)
        self._schedule(entry, self._pace(entry) if opened.seen else timedelta(0))

    def end(self, uid: str) -> None:
        """Take a watch that was added, and ended elsewhere, off the schedule."""
        self._agenda.drop(uid)

    async def _work(self) -> None:
        while (entry := await self._next()) is not None:
            try:
                await self._poll(entry)
            except StaleWatchError:  # a cancellation was faster: `end` takes it off
                self._schedule(replace(entry, digest=None), self._terms.pace.min)
            except StoreError as error:
                log.warning("store.slow", provider=self._name, watch=entry.id, error=str(error))
                self._schedule(replace(entry, digest=None), self._terms.pace.min)
            except Exception:  # a bug in one watch stays with that watch
                log.exception("daemon.fault", provider=self._name, watch=entry.id)
                self._schedule(replace(entry, digest=None), max(AFTER_A_FAULT, self._terms.pace.max))

    async def _next(self) -> Entry | None:
        """Wait for the turn of the next watch: due, not paused, and within the rate. None to stop."""
        async with self._turn:
            while not self._stopping:
                self._turned_at = now = self._clock.monotonic()
                due = self._agenda.due
                wait = LONGEST_NAP if due is None else due - now
                if wait <= 0 and (wait := self._gate.take(now=now)) <= 0:
                    return self._agenda.pop()
                await self._bell.wait(at_most=min(wait, LONGEST_NAP))
        return None

    async def _poll(self, entry: Entry) -> None:
        """Ask for one watch, do what the answer means, and schedule it again."""
        started = self._clock.monotonic()
        late = self._clock.now() >= entry.deadline_at
        usable = None if late or entry.trouble else entry.digest
        polled = await self._asker.poll(entry.params, digest=usable)
        took = round((self._clock.monotonic() - started) * 1000, 1)
        outcome = None if isinstance(polled, Unchanged) else polled.outcome
        log.debug("poll.done", provider=self._name, watch=entry.id, outcome=_word(outcome), duration_ms=took)
        self._note(entry, outcome)
        with anyio.CancelScope(shield=True):  # what was seen is recorded, also while we stop
            await self._report()
            if isinstance(polled, Answered):
                await self._record(entry, polled)
            else:
                self._schedule(entry, self._pace(entry))

    def _note(self, entry: Entry, outcome: Final | None) -> None:
        """Let the gate know what a poll brought, and the log if the whole account is paused for it."""
        now = self._clock.monotonic()
        paused = self._gate.note(entry.uid, outcome, watches=len(self._agenda) + 1, now=now)
        if paused is not None and isinstance(outcome, Throttled):
            log.warning("provider.throttled", provider=self._name, status=outcome.http_status, wait_s=paused)

    async def _report(self) -> None:
        """Tell, once for all its watches, that the account went down or came back, if that is so and not yet told."""
        if self._gate.reason is self._condition.reason:
            return
        async with self._telling:
            reason, watches = self._gate.reason, len(self._agenda) + 1
            if reason is not self._condition.reason:
                report = provider_changed(self._condition, reason=reason, at=self._clock.now(), watches=watches)
                await self._recorder.report(report)
                self._condition = report.condition

    async def _record(self, entry: Entry, polled: Answered) -> None:
        watch = await self._store.watch(entry.uid)
        if watch is None or watch.ending is not None:
            raise StaleWatchError(f"watch {entry.id} ended while it was polled")
        before = replace(watch, trouble=entry.trouble or watch.trouble)
        step = advance(
            before,
            polled.outcome,
            now=self._clock.now(),
            terms=self._terms,
            dice=random.random(),  # noqa: S311  # spreads polls
            is_alone=self._gate.reason is None,
        )
        if step.writes:
            await self._recorder.commit(before, step)
        if isinstance(polled.outcome, Seen):
            self._name_unknown(polled.outcome.observation.unknown)
        if step.wait is not None:
            self._schedule(_entry(step.watch, polled.digest), step.wait)

    def _schedule(self, entry: Entry, wait: timedelta) -> None:
        if self._agenda.push(entry, due=self._clock.monotonic() + wait.total_seconds()):
            self._bell.ring()

    def _pace(self, entry: Entry) -> timedelta:
        return next_poll(
            self._terms.pace,
            now=self._clock.now(),
            since=entry.since,
            deadline_at=entry.deadline_at,
            dice=random.random(),  # noqa: S311  # spreads polls
            not_before=entry.not_before,
        )

    def _name_unknown(self, words: tuple[str, ...]) -> None:
        for word in set(words) - self._unknown:
            if len(self._unknown) < MOST_WORDS:
                self._unknown.add(word)
                log.warning("status.unknown", provider=self._name, status=word[:100])


def _entry(watch: Watch, digest: bytes | None) -> Entry:
    """Return what the schedule keeps of a watch; the digest only now, when what it stands for is on disk."""
    return Entry(
        uid=watch.uid,
        id=watch.id,
        params=watch.params,
        since=watch.changed_at or watch.accepted_at,
        deadline_at=watch.deadline_at,
        not_before=watch.snapshot.not_before if watch.snapshot else None,
        digest=digest,
        trouble=watch.trouble,
    )


def _word(outcome: Final | None) -> str:
    return "unchanged" if outcome is None else type(outcome).__name__.lower()
