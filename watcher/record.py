"""Recording what happened to a watch: its events are addressed, the step is committed, the log is told. No decision."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog

from watcher.bell import Bell
from watcher.core.errors import StaleWatchError, StoreError
from watcher.core.model import Event, EventType, Report, Step, Watch
from watcher.core.webhook import Webhook, addressees
from watcher.ports import Store

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Recorder:
    """Commits steps, each a transaction, and wakes the deliveries."""

    def __init__(self, *, store: Store, webhooks: Mapping[str, Webhook], outbox: Sequence[Bell]) -> None:
        self._store = store
        self._webhooks = webhooks
        self._outbox = outbox
        self._is_slow = False

    async def commit(self, before: Watch, step: Step, *, error: str | None = None) -> None:
        """Commit a step that was made from `before`; which webhooks its events go to is decided here and now.

        `error` is what the log says of trouble.

        Raises:
            StoreError: nothing of it was kept.

        """
        events = tuple(self._addressed(event, before) for event in step.events)
        with self._noticing():
            (failure,) = await self._store.commit([replace(step, events=events)])
            if failure is not None:
                raise failure
        for bell in self._outbox:
            bell.ring()
        tell(before, step, error=error)

    async def report(self, report: Report, *, error: str | None = None) -> None:
        """Commit that a provider as a whole went down or came back; `error` is what the log says of it.

        Raises:
            StoreError: nothing of it was kept.

        """
        event = replace(report.event, to=addressees(report.event, self._webhooks, chosen=None))
        with self._noticing():
            await self._store.report(replace(report, event=event))
        for bell in self._outbox:
            bell.ring()
        if report.condition.reason is None:
            log.info("provider.up", provider=event.provider)
        else:
            log.error("provider.down", provider=event.provider, reason=report.condition.reason, error=error)

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        """Log that nothing can be written, once until something can."""
        try:
            yield
        except StaleWatchError:
            raise
        except StoreError as error:
            if not self._is_slow:
                self._is_slow = True
                log.error("store.slow", error=str(error))  # noqa: TRY400  # no bug of ours
            raise
        self._is_slow = False

    def _addressed(self, event: Event, watch: Watch) -> Event:
        return replace(event, to=addressees(event, self._webhooks, chosen=watch.webhooks))


def tell(before: Watch, step: Step, *, error: str | None = None) -> None:
    """Log what a committed step changed: a line for the change, one for each edge of a condition."""
    after, bound = step.watch, log.bind(watch=before.id, provider=before.provider)
    kinds = [event.type for event in step.events]
    if EventType.RECOVERED in kinds:
        bound.info("watch.recovered")
    if after.snapshot is not None and {EventType.MESSAGE, EventType.PROGRESS, EventType.STATUS}.intersection(kinds):
        bound.info(
            "watch.changed",
            status=after.snapshot.status,
            state=after.snapshot.state,
            progress=after.snapshot.progress,
            events=len(kinds),
            sequence=after.sequence,
        )
    if EventType.TROUBLE in kinds and after.trouble is not None:
        bound.warning("watch.trouble", reason=after.trouble.reason, status=after.trouble.http_status, error=error)
    if EventType.FINISHED in kinds:
        bound.info("watch.finished", outcome=after.ending, sequence=after.sequence)
