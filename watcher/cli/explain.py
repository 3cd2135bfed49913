"""`watcher explain`: when one watch is asked next, and why: from the store, and exactly where the daemon answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import typer

from watcher.cli.asking import answered, next_of
from watcher.cli.moments import clock, span, when
from watcher.cli.open import configuration, in_loop, records
from watcher.cli.watches import Id, Json

if TYPE_CHECKING:
    from watcher.config import Config
    from watcher.core.explain import Account, Answer
    from watcher.core.model import Condition, Trouble, Watch
    from watcher.core.rows import Overview
    from watcher.http.models import LastAnswer, Next

ONLY_THE_DAEMON = ["failures since the last success", "the last answer as it came"]


@dataclass(frozen=True, slots=True)
class Known:
    """All that the explanation of one watch stands on; `next` is what the daemon says, or why it says nothing."""

    watch: "Watch"
    account: "Account | None"
    daemon: str | None
    now: datetime
    answer: "Answer"
    next: "Next | str | None" = None

    @property
    def told(self) -> "Next | None":
        """What the daemon says, if it was asked and answers."""
        return None if isinstance(self.next, str) else self.next


@in_loop
async def explain(context: typer.Context, id: Id, as_json: Json = False) -> None:
    """Say when a watch is asked next, and why. All that it stands on follows."""
    from watcher.cli import text
    from watcher.core.errors import WatcherError
    from watcher.core.explain import next_asked

    config = configuration(context)
    async with records(context) as store:
        watch = await store.find(id)
        if watch is None:
            raise WatcherError(f"there is no watch {id!r}")
        overview, conditions = await store.overview(), await store.conditions()
    now = datetime.now(UTC)
    account = _account(watch.provider, config=config, overview=overview, conditions=conditions)
    answer = next_asked(watch, account, is_running=overview.owner is not None, now=now)
    is_asked = watch.ending is None and overview.owner is not None
    known = Known(watch, account, overview.owner, now, answer, await next_of(context, config, id) if is_asked else None)
    if as_json:
        text.json(_as_json(known))
        return
    for line in screen(known):
        typer.echo(line)


def _account(
    provider: str, *, config: "Config", overview: "Overview", conditions: list["Condition"]
) -> "Account | None":
    from watcher.core.explain import Account
    from watcher.core.model import Ending

    section = config.providers.get(provider)
    if section is None:
        return None
    endings = {ending.value for ending in Ending}
    watches = sum(n for (name, word), n in overview.watches.items() if name == provider and word not in endings)
    condition = next((each for each in conditions if each.provider == provider), None)
    return Account(section.poll, section.rate, watches, condition)


def screen(known: Known) -> Iterator[str]:
    """Yield the lines for people: the answer, then what it stands on, then what cannot be known here."""
    from watcher.cli.text import harmless

    yield harmless(f"{known.watch.id} is {_sentence(known)}.")
    yield ""
    for name, fact in _facts(known):
        yield f"{name + ':':<11}{harmless(fact)}"
    if known.told is not None:
        yield from _answered(known.told.last_answer)
    elif known.watch.ending is None:
        yield ""
        yield "Only the running daemon knows what else can delay it (failures since a success),"
        yield "and the last answer as it came."
        if isinstance(known.next, str):
            yield harmless(f"It did not say: {known.next}.")


def _sentence(known: Known) -> str:
    """Say the answer, from behind "is"."""
    from watcher.core.explain import Why

    watch, answer, now = known.watch, known.answer, known.now
    match answer.why:
        case Why.FINISHED:
            return f"not asked again: it ended as {watch.ending} {when(watch.finished_at, now)}"
        case Why.NO_SECTION:
            return f"not asked: the configuration has no [providers.{watch.provider}]"
        case Why.NO_DAEMON:
            return "not asked: no daemon is running"
        case Why.DOWN:
            return f"asked again when {watch.provider} is back: {_down(known)}"
        case _ if exactly := _exactly(known):
            return exactly
        case _:
            between = f"{clock(answer.earliest, now)} and {clock(answer.latest, now)}"
            return f"asked again between {between}, {_because(known)}"


def _exactly(known: Known) -> str | None:
    """Say it from behind "is", as the daemon knows it; None where it does not."""
    told, now = known.told, known.now
    if told is None or (told.due_at is None and not told.in_flight):
        return None
    if told.due_at is None:
        return "being asked just now"
    if told.due_at <= now and told.ahead:
        others = "1 other is" if told.ahead == 1 else f"{told.ahead:,} others are"
        return f"due since {clock(told.due_at, now)} and waits its turn, as {others} due before it"
    at = max(told.due_at, told.provider_free_at or told.due_at)
    return f"asked again {when(at, now) if at > now else 'at once'}, {_because(known)}"


def _answered(last: "LastAnswer | None") -> Iterator[str]:
    """Yield the beginning of the last answer as it came."""
    from watcher.cli.text import harmless

    if last is not None and last.body:
        yield ""
        yield harmless(last.body.rstrip()) + ("" if last.is_whole else "…")


def _because(known: Known) -> str:
    """Say why in this time."""
    from watcher.core.explain import Why

    watch, now = known.watch, known.now
    match known.answer.why:
        case Why.PAUSED:
            return f"as {watch.provider} said to be left alone until {_rests(known)}"
        case Why.DEADLINE if watch.deadline_at <= now:
            return f"for the last time, as its deadline passed {when(watch.deadline_at, now)}"
        case Why.DEADLINE:
            return f"as its deadline is {when(watch.deadline_at, now)}"
        case Why.RATE:
            return "as it waits its turn within the provider's rate"
        case Why.TROUBLE if watch.trouble is not None:
            return f"as it is in trouble: {_trouble(watch.trouble, now)}"
        case Why.SCHEDULED:
            return f"slowly, as it is scheduled to start {_start(known)}"
        case Why.NEW:
            return f"as nothing was seen of it yet, {span(now - watch.accepted_at)} after it was accepted"
        case _:
            return f"as nothing changed for {span(now - (watch.changed_at or watch.accepted_at))}"


def _facts(known: Known) -> Iterator[tuple[str, str]]:
    watch, account, now = known.watch, known.account, known.now
    last = watch.snapshot
    seen = f"{last.state}, {last.status}" if last else "nothing yet"
    yield "last seen", seen + (f", {last.progress:g} %" if last and last.progress is not None else "")
    yield "changed", when(watch.changed_at, now) if watch.changed_at else "never"
    yield "accepted", when(watch.accepted_at, now)
    if watch.ending is not None:
        yield "ended", f"{watch.ending}, {when(watch.finished_at, now)}"
        return
    if last and last.not_before:
        yield "scheduled", f"starts {when(last.not_before, now)}"
    if watch.trouble:
        yield "trouble", _trouble(watch.trouble, now)
    yield "deadline", f"ends as expired {when(watch.deadline_at, now)}"
    if account is not None:
        yield "pace", _pace(account)
        yield "rate", _rate(account)
    yield "provider", f"{watch.provider}, {_down(known)}"
    yield "daemon", known.daemon or "none is running"
    if known.told is not None:
        yield "failures", f"{known.told.failures} since the last success"
        yield "answered", answered(known.told.last_answer, now)


def _pace(account: "Account") -> str:
    least, most = span(account.pace.min), span(account.pace.max)
    if account.pace.mode == "fixed":
        return f"fixed: every {least}, in trouble up to {most}"
    return f"backoff: {least} and half of the time since the last change, up to {most}, with 10 % of jitter either way"


def _rate(account: "Account") -> str:
    return f"{account.rate:g} a second for {_open(account.watches)}: at best one poll each in {span(account.turn)}"


def _open(number: int) -> str:
    return f"{number:,} open watch" + ("es" if number != 1 else "")


def _down(known: Known) -> str:
    from watcher.core.health import FIRST_PROBE, LONGEST_PROBE

    condition = known.account.condition if known.account else None
    if known.account is None:
        return "not in the configuration"
    if condition is None or condition.reason is None:
        rests = known.account.rests_until(now=known.now)
        return f"paused until {_rests(known)}" if rests else "not known to be down"
    probes = f"{span(timedelta(seconds=FIRST_PROBE))} to {span(timedelta(seconds=LONGEST_PROBE))}"
    since = when(condition.since, known.now)
    return f"down, {condition.reason}, since {since}; one of its watches asks every {probes}"


def _rests(known: Known) -> str:
    return clock(known.account.rests_until(now=known.now) if known.account else None, known.now)


def _trouble(trouble: "Trouble", now: datetime) -> str:
    answered = f" (HTTP {trouble.http_status})" if trouble.http_status else ""
    return f"{trouble.reason}{answered} since {when(trouble.since, now)}"


def _start(known: Known) -> str:
    return when(known.watch.snapshot.not_before if known.watch.snapshot else None, known.now)


def _as_json(known: Known) -> dict[str, object]:
    watch, account, answer = known.watch, known.account, known.answer
    last, condition = watch.snapshot, account.condition if account else None
    return {
        "id": watch.id,
        "provider": watch.provider,
        "why": answer.why,
        "earliest": answer.earliest,
        "latest": answer.latest,
        "state": last.state if last else None,
        "status": last.status if last else None,
        "progress": last.progress if last else None,
        "accepted_at": watch.accepted_at,
        "changed_at": watch.changed_at,
        "scheduled_at": last.not_before if last else None,
        "deadline_at": watch.deadline_at,
        "trouble": watch.trouble.reason if watch.trouble else None,
        "trouble_since": watch.trouble.since if watch.trouble else None,
        "outcome": watch.ending,
        "finished_at": watch.finished_at,
        "down": condition.reason if condition else None,
        "down_since": condition.since if condition else None,
        "paused_until": condition.paused_until if condition else None,
        "poll": account.pace.model_dump() if account else None,
        "rate": account.rate if account else None,
        "watches": account.watches if account else None,
        "turn": account.turn if account else None,
        "daemon": known.daemon,
        "only_the_daemon_knows": [] if watch.ending or known.told else ONLY_THE_DAEMON,
        **_from_daemon(known.told),
    }


def _from_daemon(told: "Next | None") -> dict[str, object]:
    keys = ("due_at", "in_flight", "ahead", "provider_free_at", "failures", "last_answer")
    return dict.fromkeys(keys) if told is None else told.model_dump(include=set(keys))
