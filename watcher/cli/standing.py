"""How a webhook stands, and when a delivery goes next, in words. Nothing is decided, only said."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from watcher.cli.moments import when
from watcher.cli.text import harmless
from watcher.core.callbacks import ANY_ORIGIN
from watcher.core.explain import held, kept_back
from watcher.core.rows import DeliveryRow, Held, Hold
from watcher.core.standing import WHY, Standing
from watcher.ports import Records

if TYPE_CHECKING:
    from watcher.config import Config


def has_section(config: "Config", name: str) -> bool:
    """Does the configuration say how to send to it?"""
    return config.callbacks is not None if name.startswith(ANY_ORIGIN) else name in config.webhooks


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


async def holding(config: "Config", store: Records) -> Callable[[DeliveryRow], Hold | None]:
    """Return what says of a delivery what keeps it back, as the webhooks stand now."""
    endpoints = {endpoint.name: endpoint for endpoint in await store.endpoints()}
    return partial(held, endpoints=endpoints, has_section=partial(has_section, config), now=datetime.now(UTC))


async def resting(names: list[str], store: Records) -> dict[str, str]:
    """Say of those webhooks to which nothing is sent now why not."""
    now, known = datetime.now(UTC), {endpoint.name: endpoint for endpoint in await store.endpoints()}
    holds = {name: kept_back(known[name], now=now) for name in names if name in known}
    return {name: goes_next(None, hold) for name, hold in holds.items() if hold}


def goes_next(due_at: datetime | None, hold: Hold | None) -> str:
    """Say when a delivery goes next, and why not by its schedule; "-" where it does not."""
    if hold is None:
        return harmless(due_at)
    match hold.by:
        case Held.NO_SECTION:
            return "no such section"
        case Held.DISABLED:
            return "disabled"
        case Held.BREAKER:
            return f"breaker, probe at {harmless(hold.until)}"
        case Held.PAUSED:
            return f"paused until {harmless(hold.until)}"
        case Held.ORDER:
            return "after an earlier one"
