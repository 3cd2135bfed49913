"""How things stand, as models: what `/v1/status` and `/v1/webhooks` answer. Their keys are a contract."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from watcher.core import standing
from watcher.core.endpoint import Disabled
from watcher.core.model import Reason
from watcher.http.models import Stamp


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class Concern(_Shown):
    """One thing that is not well; a sentence is made of it: about, name, text, since, until, and what comes of it.

    `remedy` is what to do about it, with commands between backticks.
    """

    about: Literal["daemon", "source", "provider", "webhook"]
    name: str | None
    text: str
    since: Stamp | None
    so: str | None
    until: Stamp | None = None
    remedy: str | None = None

    @property
    def is_only_told(self) -> bool:
        """Is it what only the running daemon knows?"""
        return standing.Concern(self.about, self.name, self.text).is_only_told


class ProviderStanding(_Shown):
    """One provider: does it answer, how late is the poll that waits longest (seconds), and what is watched there.

    `watches` are numbers by state, or by outcome of those that are finished. `polls` and `changes` count since this
    daemon started.
    """

    name: str
    state: Literal["ok", "down", "paused", "no_section"]
    reason: Reason | None
    since: Stamp | None
    until: Stamp | None
    watches: dict[str, int]
    trouble: int
    late: float | None
    polls: int
    changes: int


class LastError(_Shown):
    """How the last attempt ended of the delivery that is sent again next."""

    at: Stamp
    status: int | None
    error: str | None


class WebhookStanding(_Shown):
    """One webhook: is it sent to, and if not, why, since when, and until when or its next probe; and what waits.

    `why` is `reason` in words.
    """

    name: str
    url: str | None
    state: Literal["ok", "failing", "breaker_open", "paused", "disabled", "no_section"]
    reason: Disabled | None
    why: str | None = None
    since: Stamp | None
    until: Stamp | None
    waiting: int
    oldest_waiting: Stamp | None
    exhausted: int
    last_good_at: Stamp | None
    last_error: LastError | None


class Webhooks(_Shown):
    """All webhooks that have a section; and those without, and origins of callbacks, that most waits for."""

    webhooks: list[WebhookStanding]


class Status(_Shown):
    """Is all well, what is not, and what a beginner does next; the numbers behind it. `cursor` is of the newest event.

    What the store must count, it counts for a small share of its time at most: `counted_at` is when it last did.
    """

    at: Stamp
    counted_at: Stamp
    version: str
    is_well: bool
    concerns: list[Concern]
    hints: list[str] = []
    open: int
    waiting: int
    rejected: int
    cursor: int
    providers: list[ProviderStanding]
    webhooks: list[WebhookStanding]


class Switched(_Shown):
    """What will be done within a second."""

    webhook: str
    wanted: Literal["enabled", "disabled"]
