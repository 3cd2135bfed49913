"""How webhooks stand, and what is not well, from what the store knows. Nothing is decided here, only said."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from watcher.core.endpoint import Disabled, Endpoint
from watcher.core.model import Condition
from watcher.core.rows import Overview
from watcher.core.webhook_section import Webhook

LATE = timedelta(minutes=1)  # a delivery that waits so long has failed at least once
OPEN = ("pending", "in_progress")
POLLED_LATE = "is polled late"  # which only the loops know
WHY = {
    Disabled.GONE: "it answered 410",
    Disabled.ASKED: "it asked for it, by webhook-delivery: disable",
    Disabled.SILENT: "no 2xx in 5 days",
    Disabled.COMMAND: "by command",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """One webhook: is it sent to, and if not, why, since when and until when; and what waits for it.

    `state` is ok, failing, breaker_open, paused, disabled or no_section; `until` is the end of the pause, or when
    the next probe goes. `exhausted` are the deliveries that were given up, `ended` those whose callback was ended.
    """

    name: str
    url: str | None
    state: str
    reason: Disabled | None
    since: datetime | None
    until: datetime | None
    waiting: int
    oldest_waiting: datetime | None
    exhausted: int
    ended: int
    last_good_at: datetime | None


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing that is not well: `about` a source, a provider, a webhook, or the daemon, which has no `name`.

    A sentence is made of it: about, name, `text`, `since` when, and what comes of it (`so`).
    """

    about: str
    name: str | None
    text: str
    since: datetime | None = None
    so: str | None = None


def standings(
    webhooks: Mapping[str, Webhook], endpoints: Iterable[Endpoint], overview: Overview, *, now: datetime
) -> list[Standing]:
    """Say how each webhook stands that has a section, or for which something waits or was given up."""
    known = {endpoint.name: endpoint for endpoint in endpoints}
    names = sorted({*webhooks, *overview.waiting, *overview.exhausted})
    return [
        _standing(webhooks.get(name), known.get(name, Endpoint(name)), overview=overview, now=now) for name in names
    ]


def concerns(
    webhooks: Iterable[Standing],
    conditions: Collection[Condition],
    overview: Overview,
    *,
    providers: Collection[str],
    now: datetime,
) -> list[Concern]:
    """Say what is not well; `providers` are those that have a section."""
    return [
        *_about_providers(conditions, overview, providers=providers, now=now),
        *(concern for webhook in webhooks for concern in _about_webhook(webhook, now=now)),
    ]


def amount(number: int, thing: str, things: str) -> str:
    """Write `1 watch`, `1,204 watches`."""
    return f"{number:,} {thing if number == 1 else things}"


def _standing(section: Webhook | None, endpoint: Endpoint, *, overview: Overview, now: datetime) -> Standing:
    name = endpoint.name
    is_orphan = section is None and not endpoint.is_origin
    state, since, until = ("no_section", None, None) if is_orphan else _state(endpoint, now=now)
    return Standing(
        name=name,
        url=section.url.partition("?")[0] if section else None,
        state=state,
        reason=endpoint.disabled,
        since=since,
        until=until,
        waiting=overview.waiting.get(name, 0),
        oldest_waiting=overview.oldest_waiting.get(name),
        exhausted=overview.exhausted.get(name, 0) - overview.ended.get(name, 0),
        ended=overview.ended.get(name, 0),
        last_good_at=endpoint.last_good.at if endpoint.last_good else None,
    )


def _state(endpoint: Endpoint, *, now: datetime) -> tuple[str, datetime | None, datetime | None]:
    """Return the word for it, since when, and until when; the worst that holds."""
    if endpoint.disabled:
        return "disabled", endpoint.disabled_at, None
    if endpoint.is_open:
        return "breaker_open", endpoint.opened_at, endpoint.probe_at
    if endpoint.paused_until and endpoint.paused_until > now:
        return "paused", endpoint.paused_at, endpoint.paused_until
    if endpoint.failing_since:
        return "failing", endpoint.failing_since, None
    return "ok", None, None


def _about_providers(
    conditions: Collection[Condition], overview: Overview, *, providers: Collection[str], now: datetime
) -> Iterator[Concern]:
    """Say what is wrong with those that watches wait for: of others nobody knows, as nobody asks them."""
    waiting: dict[str, int] = {}
    for (provider, state), number in overview.watches.items():
        if state in OPEN:
            waiting[provider] = waiting.get(provider, 0) + number
    for condition in conditions:
        name, so = condition.provider, _wait(waiting.get(condition.provider))
        if so and condition.reason is not None:
            yield Concern("provider", name, f"is down ({condition.reason})", condition.since, so)
        elif so and condition.paused_until and condition.paused_until - now > LATE:
            yield Concern("provider", name, f"is paused until {condition.paused_until:%H:%M}Z, as it asked for", so=so)
    down = {condition.provider for condition in conditions if condition.reason is not None}
    for name in sorted(overview.troubled.keys() - down):
        yield Concern("provider", name, f"has {amount(overview.troubled[name], 'watch', 'watches')} in trouble")
    for name in sorted(waiting.keys() - set(providers)):
        yield Concern("provider", name, "has no section any more", so=_wait(waiting[name]))


def _about_webhook(webhook: Standing, *, now: datetime) -> Iterator[Concern]:
    """Say what is wrong with it, the worst only; and what it will not get unless somebody does something."""
    text, since = "", webhook.since
    match webhook.state:
        case "disabled":
            text = f"is disabled ({WHY[webhook.reason]})" if webhook.reason else "is disabled"
        case "breaker_open":
            text = "is paused by its breaker"
        case "paused" if webhook.since and webhook.until and webhook.until - webhook.since > LATE:
            text = "is paused, as it asked for"
        case "no_section" if webhook.waiting:
            text = "has no section any more"
        case _ if webhook.oldest_waiting and now - webhook.oldest_waiting > LATE:
            text, since = "is behind", webhook.oldest_waiting
    number = webhook.waiting
    if text:
        so = f"{amount(number, 'delivery waits', 'deliveries wait')}" if number else None
        yield Concern("webhook", webhook.name, text, since, so)
    if webhook.exhausted:
        lost = amount(webhook.exhausted, "delivery that was", "deliveries that were")
        yield Concern("webhook", webhook.name, f"has {lost} given up")


def _wait(number: int | None) -> str | None:
    return amount(number, "watch waits", "watches wait") if number else None
