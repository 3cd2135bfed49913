"""Looking at how things stand: what the store counts, what it knows, and what the running loops say, put together."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal

from watcher import __version__, metrics
from watcher.core.model import END_OF_TIME, Condition
from watcher.core.rows import Overview
from watcher.core.standing import LATE, OPEN, POLLED_LATE, Concern, Standing, concerns, standings
from watcher.http import standing as shown
from watcher.http.backing import Backing
from watcher.http.remembered import Remembered
from watcher.http.standing import LastError, ProviderStanding, Status, WebhookStanding

MOST_BESIDES = 50  # webhooks without a section: callers choose how many origins of callbacks there are


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of webhooks and providers; cheap to ask."""

    webhooks: Sequence[Standing]
    errors: Mapping[str, LastError]
    conditions: Sequence[Condition]


class Look:
    """Looks at one daemon."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._counted = Remembered(self._count)
        self._known = Remembered(self._learn)

    async def webhooks(self) -> list[WebhookStanding]:
        """Say how each webhook stands."""
        known = await self._known.get()
        return [
            WebhookStanding.model_validate({**asdict(each), "last_error": known.errors.get(each.name)})
            for each in known.webhooks
        ]

    async def status(self) -> Status:
        """Say whether all is well, and what is not."""
        webhooks, known = await self.webhooks(), await self._known.get()
        counted_at, overview = await self._counted.get()
        sections, now = self._backing.desk.providers.keys(), self._now()
        providers = _providers(overview, known, late=self._late(), sections=sections, now=now)
        wrong = [
            *self._about_daemon(),
            *concerns(known.webhooks, known.conditions, overview, providers=sections, now=now),
            *_about_lateness(providers, now=now),
        ]
        return Status(
            at=now,
            counted_at=counted_at,
            version=__version__,
            is_well=not wrong,
            concerns=[shown.Concern.model_validate(concern) for concern in wrong],
            open=sum(number for (_, state), number in overview.watches.items() if state in OPEN),
            waiting=sum(overview.waiting.values()),
            rejected=overview.rejected,
            cursor=overview.cursor,
            providers=providers,
            webhooks=webhooks,
        )

    # --- what the store is asked --------------------------------------------------------------------------------

    async def _count(self) -> tuple[datetime, Overview]:
        return self._now(), await self._backing.records.overview()

    async def _learn(self) -> Known:
        records = self._backing.records
        _, overview = await self._counted.get()
        sections = self._backing.webhooks
        found = standings(sections, await records.endpoints(), overview, now=self._now())
        besides = (each for each in found if each.name not in sections)
        most = sorted(besides, key=lambda each: each.waiting, reverse=True)[:MOST_BESIDES]
        webhooks = [*(each for each in found if each.name in sections), *most]
        errors = {each.name: error for each in webhooks if (error := await self._last_error(each))}
        return Known(webhooks, errors, await records.conditions())

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
            yield Concern("daemon", None, "has a loop that does not turn")
        if lack := self._backing.lack():
            yield Concern("daemon", None, f"takes no more requests: {lack}")
        for name, down in self._backing.down().items():
            yield Concern("source", name, f"cannot be read ({down.error})", down.since)

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
            until=condition.paused_until if condition.paused_until and condition.paused_until > now else None,
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
    return "paused" if condition.paused_until and condition.paused_until > now else "ok"


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
            yield Concern("provider", provider.name, POLLED_LATE, now - timedelta(seconds=provider.late))
