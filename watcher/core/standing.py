"""How webhooks stand, what is not well, and what to do about it. Nothing is decided here, only said.

These are the only words for it: `/v1/status`, the page and `watcher status` show them as they are.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from watcher.core.endpoint import Disabled, Endpoint
from watcher.core.model import Condition, Reason
from watcher.core.rows import Overview, RejectedRow
from watcher.core.webhook_section import Webhook

LATE = timedelta(minutes=1)  # a delivery that waits so long has failed at least once
OPEN = ("pending", "in_progress")
LATELY = timedelta(hours=1)  # a request that was refused is worth a look for so long
MOST_REFUSED = 100  # that are looked at
BY_HAND = "command"  # the source of what is typed
ASKED_FOR = "is paused, as it asked for"
BY_ITSELF = "Nothing to do: it goes on by itself"
POLLED_LATE, UNREAD = "is polled late", "cannot be read"  # which only the loops know
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

    A sentence is made of it: about, name, `text`, `since` when, `until` when, and what comes of it (`so`). `remedy` is
    what to do, in a sentence of its own without a full stop; commands stand in it between backticks.
    """

    about: str
    name: str | None
    text: str
    since: datetime | None = None
    so: str | None = None
    until: datetime | None = None
    remedy: str | None = None

    @property
    def is_only_told(self) -> bool:
        """Is it what only the running daemon knows?"""
        return self.about == "daemon" or self.text.startswith((POLLED_LATE, UNREAD))


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
    refused: Iterable[RejectedRow] = (),
    now: datetime,
) -> list[Concern]:
    """Say what is not well; `providers` are those that have a section, `refused` the requests refused last."""
    return [
        *_about_providers(conditions, overview, providers=providers, now=now),
        *(concern for webhook in webhooks for concern in _about_webhook(webhook, now=now)),
        *_about_refused(refused, now=now),
    ]


def unread(source: str, *, error: str, since: datetime) -> Concern:
    """Say that a source cannot be read."""
    remedy = "Mend what the reason names: it is tried again by itself"
    return Concern("source", source, f"{UNREAD} ({error})", since, remedy=remedy)


def polled_late(provider: str, *, since: datetime) -> Concern:
    """Say that polls are late, though the provider answers: it has more watches than its rate lets us ask for."""
    return Concern("provider", provider, POLLED_LATE, since, remedy="Raise its `rate`, as far as its vendor allows")


def hints(overview: Overview, *, providers: Collection[str], is_told: bool) -> list[str]:
    """Say what somebody who has just begun does next; `is_told`: does an event go anywhere?"""
    found = []
    if not is_told:
        found.append("No webhook has a section, so nobody is told: add `[webhooks.NAME]`, then `watcher reload`")
    if not overview.watches:
        add = f"`watcher add {min(providers, default='PROVIDER')} KEY=VALUE`"
        found.append(f"Nothing is watched yet: begin with {add}, `POST /v1/watches`, or a request at a source")
    return found


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
    waiting: Counter[str] = Counter()
    for (provider, state), number in overview.watches.items():
        if state in OPEN:
            waiting[provider] += number
    asked = [condition for condition in conditions if waiting[condition.provider]]
    for each in asked:
        if each.reason is not None:
            text, so = f"is down ({each.reason})", _wait(waiting[each.provider])
            yield Concern("provider", each.provider, text, each.since, so, remedy=_until_up(each.reason))
    for name in sorted(waiting.keys() - set(providers)):
        remedy = f"Put `[providers.{name}]` back and `watcher reload`, or `watcher cancel` its watches"
        yield Concern("provider", name, "has no section any more", so=_wait(waiting[name]), remedy=remedy)
    down = {condition.provider for condition in conditions if condition.reason is not None}
    for name in sorted(overview.troubled.keys() - down):
        text = f"has {amount(overview.troubled[name], 'watch', 'watches')} in trouble"
        yield Concern("provider", name, text, remedy=f"`watcher list --state trouble --provider {name}` names them")
    for each in asked:
        until = each.rests_until(now=now)
        if each.reason is None and until is not None and until - now > LATE:
            so = _wait(waiting[each.provider])
            yield Concern("provider", each.provider, ASKED_FOR, so=so, until=until, remedy=BY_ITSELF)


def _until_up(reason: Reason) -> str:
    if reason is Reason.DENIED:
        return "Renew its credentials, then `watcher reload`; `watcher check --probe` tries them"
    return "See its own status page, and `watcher check --probe`; it is asked again by itself"


def _about_webhook(webhook: Standing, *, now: datetime) -> Iterator[Concern]:
    """Say what is wrong with it, the worst only; and what it will not get unless somebody does something."""
    name = webhook.name
    text, since, until, remedy = "", webhook.since, webhook.until, None
    match webhook.state:
        case "disabled":
            text = f"is disabled ({WHY[webhook.reason]})" if webhook.reason else "is disabled"
            remedy = f"Once it is well: `watcher webhook enable {name}`"
        case "breaker_open":
            text, until = "is paused by its breaker", None
            remedy = f"See whether it is up: `watcher webhook test {name}`; it is tried again by itself"
        case "paused" if webhook.since and webhook.until and webhook.until - webhook.since > LATE:
            text, remedy = ASKED_FOR, f"{BY_ITSELF}; `watcher webhook enable {name}` ends the pause"
        case "no_section" if webhook.waiting:
            text = "has no section any more"
            remedy = f"Put `[webhooks.{name}]` back, then `watcher reload`; what waits longer than `keep` is given up"
        case _ if webhook.oldest_waiting and now - webhook.oldest_waiting > LATE:
            text, since, until = "is behind", webhook.oldest_waiting, None
            remedy = f"`watcher deliveries --webhook {name}` shows what it answers"
    if text:
        number = webhook.waiting
        so = amount(number, "delivery waits", "deliveries wait") if number else None
        yield Concern("webhook", name, text, since, so, until, remedy)
    if webhook.exhausted:
        text = f"has {amount(webhook.exhausted, 'delivery that was', 'deliveries that were')} given up"
        remedy = f"Once it is well: `watcher replay --webhook {name} --since 30d --status exhausted`"
        yield Concern("webhook", name, text, remedy=remedy)


def _about_refused(rows: Iterable[RejectedRow], *, now: datetime) -> Iterator[Concern]:
    """Count them by source; not a command's, which told whoever typed it."""
    lately = [row.source for row in rows if now - row.at < LATELY]
    least = "at least " if len(lately) == MOST_REFUSED else ""
    for name, number in sorted(Counter(source for source in lately if source != BY_HAND).items()):
        text = f"had {least}{amount(number, 'request', 'requests')} refused in the last hour"
        yield Concern(
            "source", name, text, remedy="`watcher rejected` shows each, and why; its sender must send it again"
        )


def _wait(number: int) -> str:
    return amount(number, "watch waits", "watches wait")
