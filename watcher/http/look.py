"""Looking at how things stand: what the store counts, what it knows, and what the running loops say, put together."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from watcher import __version__, metrics
from watcher.core.endpoint import Endpoint
from watcher.core.model import END_OF_TIME, Condition
from watcher.core.rows import Overview, RejectedRow
from watcher.core.standing import (
    LATE,
    MOST_REFUSED,
    OPEN,
    WHY,
    Concern,
    Standing,
    concerns,
    hints,
    polled_late,
    standings,
    unread,
)
from watcher.http import standing as shown
from watcher.http.backing import Backing
from watcher.http.remembered import Remembered
from watcher.http.standing import LastError, ProviderStanding, Status, WebhookStanding

MOST_BESIDES = 50  # webhooks without a section: callers choose how many origins of callbacks there are


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of webhooks, of providers, and of the requests refused last, without those themselves."""

    endpoints: Sequence[Endpoint]
    conditions: Sequence[Condition]
    refused: Sequence[RejectedRow]


class Look:
    """Looks at one daemon."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._counted = Remembered(self._count)
        self._known = Remembered(self._learn)
        self._last_errors = Remembered(self._errors)

    async def webhooks(self) -> list[WebhookStanding]:
        """Say how each webhook stands."""
        standing, errors = await self._standings(), await self._last_errors.get()
        return [
            WebhookStanding.model_validate(
                {
                    **asdict(each),
                    "why": WHY[each.reason] if each.reason else None,
                    "last_error": errors.get(each.name),
                }
            )
            for each in standing
        ]

    async def status(self) -> Status:
        """Say whether all is well, and what is not."""
        webhooks, standing, known = await self.webhooks(), await self._standings(), await self._known.get()
        counted_at, overview = await self._counted.get()
        sections, now = self._backing.desk.providers.keys(), self._now()
        providers = _providers(overview, known, late=self._late(), sections=sections, now=now)
        wrong = [
            *self._about_daemon(),
            *concerns(standing, known.conditions, overview, providers=sections, refused=known.refused, now=now),
            *_about_lateness(providers, now=now),
        ]
        return Status(
            at=now,
            counted_at=counted_at,
            version=__version__,
            is_well=not wrong,
            concerns=[shown.Concern.model_validate(concern) for concern in wrong],
            hints=hints(overview, providers=sections, is_told=self._is_told),
            open=sum(number for (_, state), number in overview.watches.items() if state in OPEN),
            waiting=sum(overview.waiting.values()),
            rejected=overview.rejected,
            cursor=overview.cursor,
            providers=providers,
            webhooks=webhooks,
        )

    @property
    def _is_told(self) -> bool:
        return bool(self._backing.webhooks) or self._backing.desk.callbacks is not None

    # --- what the store is asked --------------------------------------------------------------------------------

    async def _count(self) -> tuple[datetime, Overview]:
        return self._now(), await self._backing.records.overview()

    async def _learn(self) -> Known:
        records = self._backing.records
        refused = [replace(row, raw=b"") for row in await records.rejected(limit=MOST_REFUSED)]
        return Known(await records.endpoints(), await records.conditions(), refused)

    async def _errors(self) -> Mapping[str, LastError]:
        return {each.name: error for each in await self._standings() if (error := await self._last_error(each))}

    async def _standings(self) -> list[Standing]:
        """Say how all webhooks stand that have a section, and of others those that most waits for."""
        (_, overview), known, sections = await self._counted.get(), await self._known.get(), self._backing.webhooks
        found = standings(sections, known.endpoints, overview, now=self._now())
        besides = (each for each in found if each.name not in sections)
        most = sorted(besides, key=lambda each: each.waiting, reverse=True)[:MOST_BESIDES]
        return [*(each for each in found if each.name in sections), *most]

    async def _last_error(self, webhook: Standing) -> LastError | None:
        if not webhook.waiting:
            return None
        heads = await self._backing.store.heads(webhook.name, again=True, now=END_OF_TIME, limit=1)
        for row in await self._backing.records.deliveries(event=heads[0].event.id, limit=100) if heads else ():
            if row.webhook == webhook.name and row.last_at:
                return LastError(at=row.last_at, status=row.last_status, error=row.last_error)
        return None

    # --- what the loops say -------------------------------------------------------------------------------------

    def _late(self) -> dict[str, float]:
        """Return by how many seconds each provider's polls are late."""
        return {each.labels[0]: each.value for each in self._backing.readings() if each.of is metrics.OLDEST_DUE}

    def _about_daemon(self) -> Iterator[Concern]:
        if not self._backing.is_ready():
            yield Concern("daemon", None, "is starting or stopping")
        if not self._backing.is_well():
            remedy = "The watchdog starts it again; `journalctl -u watcher` names the loop"
            yield Concern("daemon", None, "has a loop that does not turn", remedy=remedy)
        if lack := self._backing.lack():
            remedy = "Make room; what is known already is polled and delivered all the same"
            yield Concern("daemon", None, f"takes no more requests: {lack}", remedy=remedy)
        for name, down in self._backing.down().items():
            yield unread(name, error=down.error, since=down.since)

    def _now(self) -> datetime:
        return self._backing.desk.clock.now()


def _providers(
    overview: Overview, known: Known, *, late: Mapping[str, float], sections: Collection[str], now: datetime
) -> list[ProviderStanding]:
    """Say how each provider stands that has a section, or watches."""
    conditions = {condition.provider: condition for condition in known.conditions}
    watches: dict[str, dict[str, int]] = {name: {} for name in sections}
    for (name, state), number in overview.watches.items():
        watches.setdefault(name, {})[state] = number
    polls, changes = _polls()
    return [
        ProviderStanding(
            name=name,
            state=_word(condition, has_section=name in sections, now=now),
            reason=condition.reason,
            since=condition.since,
            until=condition.rests_until(now=now),
            watches=watches[name],
            trouble=overview.troubled.get(name, 0),
            late=late.get(name),
            polls=polls[name],
            changes=changes[name],
        )
        for name in sorted(watches)
        for condition in [conditions.get(name, Condition(name, uid=""))]
    ]


def _word(condition: Condition, *, has_section: bool, now: datetime) -> Literal["ok", "down", "paused", "no_section"]:
    if not has_section:
        return "no_section"
    if condition.reason is not None:
        return "down"
    return "paused" if condition.rests_until(now=now) else "ok"


def _polls() -> tuple[Counter[str], Counter[str]]:
    """Count, by provider, the polls that came back up to now, and those that brought a change."""
    polls, changes = Counter[str](), Counter[str]()
    for sample in (sample for metric in metrics.POLLS.collect() for sample in metric.samples):
        name, number = sample.labels["provider"], int(sample.value)
        polls[name] += number
        changes[name] += number if sample.labels["outcome"] == "changed" else 0
    return polls, changes


def _about_lateness(providers: Iterable[ProviderStanding], *, now: datetime) -> Iterator[Concern]:
    """Say whose polls are late, and not because it is down: it has more watches than its rate lets us ask for."""
    for provider in providers:
        if provider.late is not None and provider.late > LATE.total_seconds() and provider.state != "down":
            yield polled_late(provider.name, since=now - timedelta(seconds=provider.late))
