"""How a change becomes an event: its id, its place in the sequence, its exact bytes (SPEC.md, section 6)."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from watcher.core.diff import MessageChange
from watcher.core.model import (
    Condition,
    Ending,
    Event,
    EventType,
    Json,
    Observation,
    Reason,
    Report,
    Snapshot,
    Trouble,
    Watch,
)
from watcher.core.moment import rfc3339

MOST_MESSAGES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it has a number: its type, and what is its own in `data`."""

    type: EventType
    data: Mapping[str, Json]


def event_id(uid: str, sequence: int) -> str:
    """Return `evt_` and 32 of a-z and 2-7: a function of the watch's uid and the sequence, the same for ever."""
    digest = hashlib.sha256(f"{uid}:{sequence}".encode()).digest()[:20]
    return f"evt_{base64.b32encode(digest).decode().lower()}"


def number(watch: Watch, drafts: Iterable[Draft], *, at: datetime) -> tuple[Event, ...]:
    """Give the drafts the next numbers of their watch, in order, and freeze their bytes."""
    return tuple(_freeze(watch, draft, sequence, at) for sequence, draft in enumerate(drafts, watch.sequence + 1))


def _freeze(watch: Watch, draft: Draft, sequence: int, at: datetime) -> Event:
    data: dict[str, Json] = {
        "watch": watch.id,
        "provider": watch.provider,
        "params": dict(watch.params),
        "labels": dict(watch.labels),
        "sequence": sequence,
        **draft.data,
    }
    return Event(
        id=event_id(watch.uid, sequence),
        type=draft.type,
        at=at,
        uid=watch.uid,
        watch=watch.id,
        provider=watch.provider,
        sequence=sequence,
        body=_body(draft.type, data, at=at),
    )


def message_changed(change: MessageChange) -> Draft:
    """Tell that a message has a status, or another one."""
    message, before = change
    return Draft(
        EventType.MESSAGE,
        {
            "message": message.key,
            "from": before.status if before else None,
            "to": message.status,
            "from_state": before.state if before else None,
            "to_state": message.state,
            "detail": dict(message.detail),
        },
    )


def progress_changed(before: Snapshot | None, after: Snapshot) -> Draft:
    """Tell that the percentage is another one."""
    return Draft(EventType.PROGRESS, {"from": before.progress if before else None, "to": after.progress})


def status_changed(before: Snapshot | None, after: Snapshot, observation: Observation) -> Draft:
    """Tell that the watch has a status, or another one."""
    return Draft(
        EventType.STATUS,
        {
            "from": before.status if before else None,
            "to": after.status,
            "from_state": before.state if before else None,
            "to_state": after.state,
            "progress": after.progress,
            "counts": _counts(after),
            "detail": dict(observation.detail),
        },
    )


def trouble_told(kind: EventType, trouble: Trouble) -> Draft:
    """Tell that a spell of trouble is worth knowing, or over."""
    return Draft(
        kind,
        {"reason": trouble.reason, "since": rfc3339(trouble.since), "http_status": trouble.http_status},
    )


def finished(watch: Watch, ending: Ending, *, reason: str | None = None, result: Json = None) -> Draft:
    """Tell how a watch ended; `watch` is as it was last seen."""
    last = watch.snapshot
    messages: dict[str, Json] = {key: mark.status for key, mark in last.messages.items()} if last else {}
    return Draft(
        EventType.FINISHED,
        {
            "outcome": ending,
            "status": last.status if last else None,
            "progress": last.progress if last else None,
            "counts": _counts(last) if last else {},
            "reason": reason,
            "result": result,
            "messages": messages if len(orjson.dumps(messages)) <= MOST_MESSAGES else None,
            "started": rfc3339(watch.submitted_at),
        },
    )


def provider_changed(condition: Condition, *, reason: Reason | None, at: datetime, watches: int) -> Report:
    """Report that a provider is down for `reason`, or up again; `watches` are open there, and wait or go on."""
    kind = EventType.PROVIDER_UP if reason is None else EventType.PROVIDER_DOWN
    since = condition.since if reason is None else at
    sequence = condition.sequence + 1
    data: dict[str, Json] = {
        "watch": None,
        "provider": condition.provider,
        "sequence": None,
        "reason": reason or condition.reason,
        "since": rfc3339(since or at),
        "open": watches,
    }
    event = Event(
        id=event_id(condition.uid, sequence),
        type=kind,
        at=at,
        uid=condition.uid,
        watch=None,
        provider=condition.provider,
        sequence=None,
        body=_body(kind, data, at=at),
    )
    after = None if reason is None else at
    return Report(replace(condition, sequence=sequence, reason=reason, since=after), event)


def _body(kind: EventType, data: Mapping[str, Json], *, at: datetime) -> bytes:
    return orjson.dumps({"type": kind, "timestamp": rfc3339(at), "data": data})


def _counts(snapshot: Snapshot) -> dict[str, Json]:
    return dict(Counter(mark.status for mark in snapshot.messages.values()))
