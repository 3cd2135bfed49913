"""Carries out what others want of the store's owner: a watch ends, a webhook is switched, events are sent again."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import anyio

from watcher.core.errors import LeaseLostError, StaleWatchError, StoreError
from watcher.core.intent import Cancel, Intent, Replay, Switch
from watcher.core.lifecycle import cancel
from watcher.core.model import Watch
from watcher.outbox import Outbox
from watcher.ports import Clock
from watcher.record import Recorder
from watcher.store import Store

FIRST_REPLAY = 0.5  # seconds, whose events are sent at once
LONGEST_GAP = 2.0  # seconds between two parts of a replay that are made up for


class Wanted:
    """What is not done is still wanted, and comes again at the next look.

    `ending` is told of a watch that is about to be cancelled, and returns what is to be called once it is on disk.
    """

    def __init__(
        self,
        *,
        store: Store,
        recorder: Recorder,
        outbox: Outbox,
        clock: Clock,
        ending: Callable[[Watch], Callable[[], None]] = lambda _: lambda: None,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._outbox = outbox
        self._clock = clock
        self._ending = ending
        self._zero = clock.now() - timedelta(seconds=clock.monotonic())
        self._replayed_at: dict[int, float] = {}

    async def carry_out_all(self, intents: Sequence[Intent]) -> bool:
        """Carry out all together, so that they share disk writes; False if any must be looked at anew, at once.

        Raises:
            StoreError: the first of those that met one.

        """
        failures: list[StoreError] = []
        done: list[bool] = []

        async def attempt(intent: Intent) -> None:
            try:
                done.append(await self.carry_out(intent))
            except StoreError as error:
                failures.append(error)

        # Of what is wanted of one webhook the last word holds, also while the first one is being carried out.
        switches = {intent.webhook: intent for intent in intents if isinstance(intent, Switch)}
        async with anyio.create_task_group() as tasks:
            for intent in intents:
                if not isinstance(intent, Switch) or intent is switches[intent.webhook]:
                    tasks.start_soon(attempt, intent)
        if failures:
            raise failures[0]
        return all(done)

    async def carry_out(self, intent: Intent) -> bool:
        """Do what is wanted, or the next part of it; False if it must be looked at anew, at once.

        Raises:
            StoreError: it is not done, and still wanted.

        """
        match intent:
            case Cancel():
                return await self._cancel(intent)
            case Switch():
                return await self._outbox.switch(intent)
            case Replay():
                await self._replay(intent)
        return True

    async def _cancel(self, intent: Cancel) -> bool:
        """End a watch, unless it moved meanwhile."""
        watch = await self._store.watch(intent.uid)
        if watch is None or watch.ending is not None:
            return True
        forget = self._ending(watch)
        try:
            await self._recorder.commit(watch, cancel(watch, now=self._clock.now(), intent=intent.id))
        except LeaseLostError:  # it is others' to end
            return True
        except StaleWatchError:
            return False
        forget()
        return True

    async def _replay(self, intent: Replay) -> None:
        """Send as many events again as are due since the last part."""
        now = self._clock.monotonic()
        since = self._replayed_at.setdefault(intent.id, now - FIRST_REPLAY)
        number = int(intent.rate * min(now - since, max(LONGEST_GAP, 2 / intent.rate)))
        if number < 1:
            return
        self._replayed_at[intent.id] = now
        due_at = min(self._clock.now(), self._zero + timedelta(seconds=now))  # pumps do not follow a clock that leaps
        if await self._store.replay(intent, now=due_at, limit=number):
            self._outbox.wake_all()
        else:
            self._replayed_at.pop(intent.id)
