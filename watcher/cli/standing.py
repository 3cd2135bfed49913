"""How a webhook stands, in words: for `webhook list` and `status`. Nothing is decided, only said."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from watcher.cli.moments import when
from watcher.core.endpoint import Disabled, Endpoint
from watcher.core.rows import Overview
from watcher.core.webhook_section import Webhook

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
    the next probe goes. Keys of JSON.
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
    last_good_at: datetime | None

    @property
    def is_orphan(self) -> bool:
        """Does anything wait for a section that is gone?"""
        return self.state == "no_section" and self.waiting > 0


def standings(
    webhooks: Mapping[str, Webhook], endpoints: list[Endpoint], overview: Overview, *, now: datetime
) -> list[Standing]:
    """Say how each webhook stands that has a section, or for which something waits or was given up."""
    known = {endpoint.name: endpoint for endpoint in endpoints}
    found = []
    for name in sorted({*webhooks, *overview.waiting, *overview.exhausted}):
        section, endpoint = webhooks.get(name), known.get(name, Endpoint(name))
        is_orphan = section is None and not endpoint.is_origin
        state, since, until = ("no_section", None, None) if is_orphan else _state(endpoint, now=now)
        found.append(
            Standing(
                name=name,
                url=section.url.partition("?")[0] if section else None,
                state=state,
                reason=endpoint.disabled,
                since=since,
                until=until,
                waiting=overview.waiting.get(name, 0),
                oldest_waiting=overview.oldest_waiting.get(name),
                exhausted=overview.exhausted.get(name, 0),
                last_good_at=endpoint.last_good.at if endpoint.last_good else None,
            )
        )
    return found


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


def sentence(standing: Standing, *, now: datetime) -> str:
    """Say it to people."""
    since = when(standing.since, now)
    match standing.state:
        case "disabled":
            return f"disabled since {since}" + (f": {WHY[standing.reason]}" if standing.reason else "")
        case "breaker_open":
            return f"breaker open since {since}, next probe {when(standing.until, now)}"
        case "paused":
            return f"paused until {when(standing.until, now)}, as it asked for"
        case "failing":
            return f"failing since {since}"
        case "no_section":
            return "no such section"
        case _:
            return "ok"
