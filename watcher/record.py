"""Recording what happened to a watch: its events are addressed, the step is committed, the log is told. No decision."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import structlog

from watcher import metrics
from watcher.core.callbacks import Callbacks, origin
from watcher.core.errors import StaleWatchError, StoreError
from watcher.core.model import Condition, Event, EventType, Report, Step, Watch
from watcher.core.webhook import addressees
from watcher.core.webhook_section import Webhook
from watcher.store import Store

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Recorder:
    """Commits steps, each a transaction.

    `wake` is called with each webhook that something waits for now, `told` when there is any event.
    """

    def __init__(
        self,
        *,
        store: Store,
        webhooks: Mapping[str, Webhook],
        wake: Callable[[str], None],
        callbacks: Callbacks | None = None,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._webhooks = webhooks
        self._callbacks = callbacks
        self._wake = wake
        self._told = told
        self._is_slow = False

    def address(self, webhooks: Mapping[str, Webhook], *, callbacks: Callbacks | None) -> None:
        """Address what is committed from now on to these."""
        self._webhooks, self._callbacks = webhooks, callbacks

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
        metrics.count_events(events)
        self._wake_all(events)
        tell(before, step, error=error)

    async def report(self, report: Report, *, error: str | None = None) -> None:
        """Commit that a provider as a whole went down or came back; `error` is what the log says of it.

        Raises:
            StoreError: nothing of it was kept.

        """
        event = replace(report.event, to=addressees(report.event, self._webhooks, chosen=None))
        with self._noticing():
            await self._store.report(replace(report, event=event))
        metrics.count_events([event])
        self._wake_all([event])
        if report.condition.reason is None:
            log.info("provider.up", provider=event.provider)
        else:
            log.error("provider.down", provider=event.provider, reason=report.condition.reason, error=error)

    async def pause(self, condition: Condition) -> None:
        """Commit until when nothing is sent to a provider.

        Raises:
            StoreError: nothing of it was kept.

        """
        with self._noticing():
            await self._store.pause(condition)

    def _wake_all(self, events: Iterable[Event]) -> None:
        for webhook in {name for event in events for name in event.to}:
            self._wake(webhook)
        self._told()

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
        to = addressees(event, self._webhooks, chosen=watch.webhooks)
        if watch.callback and self._callbacks and self._callbacks.wants(event.type, provider=event.provider):
            to += (origin(watch.callback.url),)
        return replace(event, to=to)


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
