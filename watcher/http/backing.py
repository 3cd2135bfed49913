"""What stands behind the API: the store, the desk, and what is asked of the daemon around it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from watcher.bell import Bell
from watcher.core.callbacks import ANY_ORIGIN
from watcher.core.model import Watch
from watcher.core.webhook_section import Webhook
from watcher.http.news import News
from watcher.intake import Desk, Down
from watcher.lately import Outlook
from watcher.metrics import Reading
from watcher.ports import Records
from watcher.store import Store


@dataclass(slots=True)
class Backing:
    """One daemon, as its API sees it. A reload puts a new `desk` and new `webhooks` in.

    `feed` is rung when a request was stored; `news` rings when an event was. `metrics` makes Prometheus text.
    `lack` says what there is too little of to take more requests in; None while there is room.
    `outlook` says when a watch is asked next; None where nobody asks. `readings` are what the loops say of themselves.
    `down` says which sources cannot be read.
    `is_well`: do the loops turn? `is_ready`: is everything loaded, and nothing stopping?
    """

    store: Store
    records: Records
    desk: Desk
    webhooks: Mapping[str, Webhook]
    feed: Bell
    metrics: Callable[[], bytes]
    lack: Callable[[], str | None]
    is_well: Callable[[], bool]
    is_ready: Callable[[], bool]
    outlook: Callable[[Watch], Outlook | None]
    news: News = field(default_factory=News)
    readings: Callable[[], Iterable[Reading]] = tuple
    down: Callable[[], Mapping[str, Down]] = dict

    def has_section(self, name: str) -> bool:
        """Does the configuration say how to send to a webhook, or to an origin of callbacks?"""
        return self.desk.callbacks is not None if name.startswith(ANY_ORIGIN) else name in self.webhooks
