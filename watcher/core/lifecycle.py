"""The rules of a watch's life: what one answered poll, or a cancellation, does to it. They stand nowhere else."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from watcher.core import event
from watcher.core.diff import changed_messages, merge
from watcher.core.event import Draft
from watcher.core.model import (
    Callback,
    Ending,
    EventType,
    Json,
    Observation,
    Reason,
    Snapshot,
    State,
    Step,
    Trouble,
    Watch,
)
from watcher.core.outcome import Broken, Denied, Final, Missing, Refused, Seen, Throttled, Unseen
from watcher.core.request import WatchRequest
from watcher.core.schedule import Pace, back_off, next_poll, pace, until

POLLS_TO_TROUBLE = 3
MISSING_UNSEEN = 3
MISSING_SEEN = 2


@dataclass(frozen=True, slots=True)
class Terms:
    """What a provider's section says about time."""

    pace: Pace
    grace: timedelta
    trouble_after: timedelta


def begin(
    request: WatchRequest, *, uid: str, now: datetime, deadline: timedelta, callback: Callback | None = None
) -> Watch:
    """Make a watch of a request; `deadline` is the provider's, where the request has none."""
    return Watch(
        uid=uid,
        id=request.watch_id,
        provider=request.provider,
        params=request.params,
        submitted_at=request.submitted_at or now,
        accepted_at=now,
        deadline=deadline if request.deadline is None else request.deadline,
        labels=request.labels,
        webhooks=None if request.webhooks is None else tuple(request.webhooks),
        callback=callback,
    )


def recall(watch: Watch, spell: Trouble | None) -> Watch:
    """Return a watch as it is on disk, with what is remembered of its spell of trouble.

    What was told is what the store says: by a commit whose answer was lost, or by another worker, it may know of a
    spell that is remembered as not told yet, or as not over. Memory only adds the polls since; without it nobody knows
    whether the 404s that the store counted are still the last.
    """
    if watch.trouble is None:
        return watch if spell is None or spell.told else replace(watch, trouble=spell)
    if spell is not None and spell.told and spell.since == watch.trouble.since:
        return replace(watch, trouble=spell)
    return replace(watch, trouble=replace(watch.trouble, missing=0))


def advance(  # each is one of the things that decide it
    watch: Watch,
    outcome: Final,
    *,
    now: datetime,
    terms: Terms,
    dice: float,
    is_alone: bool = True,
    sure: datetime | None = None,
) -> Step:
    """Return all that one answered poll does to an open watch: its new state, its events, when to ask again.

    Pure: `now` is the wall clock, `dice` in [0, 1) spreads the waits. A watch's times never go back with the clock.
    What ends a watch, or is trouble for having lasted, goes by `sure`, which may be earlier, if the clock is doubted.
    Trouble that is not the watch's alone, as the whole provider is down, is not told for each watch.
    """
    at = _never_back(watch, now)
    sure = at if sure is None else min(at, sure)
    if isinstance(outcome, Seen):
        return _seen(watch, outcome, at, sure, terms, dice)
    return _unseen(watch, outcome, at, sure, terms, dice, is_alone=is_alone)


def expire(watch: Watch, *, now: datetime) -> Step:
    """Return what passing its deadline does to an open watch that cannot be asked any more."""
    return _finish(watch, [], _never_back(watch, now), Ending.EXPIRED)


def cancel(watch: Watch, *, now: datetime, intent: int) -> Step:
    """Return what carrying out a cancellation does to an open watch."""
    return replace(_finish(watch, [], _never_back(watch, now), Ending.CANCELLED), intent=intent)


def _never_back(watch: Watch, now: datetime) -> datetime:
    """Return `now`, or the last moment that the watch's events have told where the clock was put back since."""
    return max(now, watch.changed_at or watch.accepted_at, watch.trouble.since if watch.trouble else now)


def _seen(  # private: as `advance`
    watch: Watch, seen: Seen, at: datetime, sure: datetime, terms: Terms, dice: float
) -> Step:
    observation = seen.observation
    after = merge(watch.snapshot, observation)
    changes = list(_changes(watch.snapshot, after, observation))
    told = watch.trouble is not None and watch.trouble.told
    moved = bool(changes) or watch.snapshot is None or after.not_before != watch.snapshot.not_before
    now_watch = replace(watch, snapshot=after, trouble=None, changed_at=at if changes or told else watch.changed_at)
    if after.state.is_final:
        return _finish(now_watch, changes, at, _ending(after.state), result=observation.result, before=watch)
    if sure >= now_watch.deadline_at:
        return _finish(now_watch, changes, at, Ending.EXPIRED, before=watch)
    if watch.trouble is not None and told:
        changes.insert(0, event.trouble_told(EventType.RECOVERED, watch.trouble))
    wait = next_poll(
        terms.pace,
        now=at,
        since=now_watch.changed_at or now_watch.accepted_at,
        deadline_at=now_watch.deadline_at,
        dice=dice,
        not_before=after.not_before,
        retry_after=seen.retry_after or timedelta(0),
    )
    return _step(now_watch, changes, at, wait=wait, before=watch, writes=moved or told)


def _changes(before: Snapshot | None, after: Snapshot, observation: Observation) -> Iterator[Draft]:
    """Yield what is new in an observation: messages, then progress, then status."""
    for change in changed_messages(before, observation):
        yield event.message_changed(change)
    if after.progress is not None and (before is None or after.progress != before.progress):
        yield event.progress_changed(before, after)
    if before is None or after.status != before.status:
        yield event.status_changed(before, after, observation)


def _unseen(  # private: as `advance`
    watch: Watch, outcome: Unseen, at: datetime, sure: datetime, terms: Terms, dice: float, *, is_alone: bool
) -> Step:
    trouble = _worse(watch.trouble, outcome, at)
    now_watch = replace(watch, trouble=trouble)
    if isinstance(outcome, Missing) and _is_gone(watch, trouble, sure, terms):
        existed = watch.snapshot is not None or trouble.existed
        ending, reason = (outcome.ending, trouble.cause) if existed else (Ending.GONE, None)
        return _finish(now_watch, [], at, ending, reason=reason)
    if sure >= watch.deadline_at:
        return _finish(now_watch, [], at, Ending.EXPIRED)
    wait = until(_wait(watch, outcome, trouble, at, terms, dice), terms.pace, now=at, deadline_at=watch.deadline_at)
    if isinstance(outcome, Throttled) and outcome.retry_after is not None:
        wait = max(wait, outcome.retry_after)
    if trouble.told or not is_alone or not _is_worth_telling(outcome, trouble, sure, terms):
        return _step(now_watch, [], at, wait=wait, before=watch)
    told = replace(trouble, told=True)
    drafts = [event.trouble_told(EventType.TROUBLE, told)]
    return _step(replace(watch, trouble=told, changed_at=at), drafts, at, wait=wait, before=watch, writes=True)


def _worse(before: Trouble | None, outcome: Unseen, at: datetime) -> Trouble:
    """Count one more poll that was not seen; what was told already stays as it was told."""
    reason, http_status = _reason(outcome), outcome.http_status
    counted = replace(before, polls=before.polls + 1) if before else Trouble(reason, at, http_status)
    if isinstance(outcome, Missing):
        existed, cause = counted.existed or outcome.existed, outcome.reason or counted.cause
        counted = replace(counted, missing=counted.missing + 1, existed=existed, cause=cause)
    else:
        counted = replace(counted, missing=0)
    return counted if counted.told else replace(counted, reason=reason, http_status=http_status)


def _is_gone(watch: Watch, trouble: Trouble, sure: datetime, terms: Terms) -> bool:
    if watch.snapshot is not None or trouble.existed:
        return trouble.missing >= MISSING_SEEN
    return trouble.missing >= MISSING_UNSEEN and sure - watch.submitted_at >= terms.grace


def _is_worth_telling(outcome: Unseen, trouble: Trouble, sure: datetime, terms: Terms) -> bool:
    if isinstance(outcome, Denied | Refused):
        return True
    if isinstance(outcome, Throttled):
        return False
    return trouble.polls >= POLLS_TO_TROUBLE and sure - trouble.since >= terms.trouble_after


def _wait(  # private, and each is needed by one of the cases
    watch: Watch, outcome: Unseen, trouble: Trouble, at: datetime, terms: Terms, dice: float
) -> timedelta:
    match outcome:
        case Missing():
            soon = watch.snapshot is not None or outcome.existed
            return terms.pace.min if soon else pace(terms.pace, quiet=at - watch.accepted_at, dice=dice)
        case Throttled() | Broken():
            return back_off(terms.pace, failures=trouble.polls, dice=dice)
        case Denied() | Refused():
            return terms.pace.max
        case _:
            assert_never(outcome)


def _reason(outcome: Unseen) -> Reason:
    match outcome:
        case Missing():
            return Reason.MISSING
        case Throttled():
            return Reason.THROTTLED
        case Denied():
            return Reason.DENIED
        case Refused():
            return Reason.REFUSED
        case Broken():
            return outcome.reason
        case _:
            assert_never(outcome)


def _ending(state: State) -> Ending:
    return Ending(state.value)


def _finish(  # private: what an ending may bring
    watch: Watch,
    changes: list[Draft],
    at: datetime,
    ending: Ending,
    *,
    reason: str | None = None,
    result: Json = None,
    before: Watch | None = None,
) -> Step:
    drafts = [*changes, event.finished(watch, ending, reason=reason, result=result)]
    ended = replace(watch, trouble=None, ending=ending, finished_at=at, changed_at=at)
    return _step(ended, drafts, at, wait=None, before=before or watch, writes=True)


def _step(  # private: the parts of a step
    watch: Watch, drafts: list[Draft], at: datetime, *, wait: timedelta | None, before: Watch, writes: bool = False
) -> Step:
    events = event.number(before, drafts, at=at)
    after = replace(watch, sequence=before.sequence + len(events))
    return Step(watch=after, before=before.sequence, events=events, wait=wait, writes=writes)
