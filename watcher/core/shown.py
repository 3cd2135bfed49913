"""Watches, events and deliveries as programs are shown them: the same keys in `--json` and in the API. Data only."""

from dataclasses import fields

import orjson

from watcher.core.model import State, Watch
from watcher.core.rows import DeliveryRow, EventRow, Hold


def shown_watch(watch: Watch) -> dict[str, object]:
    """Return what is shown of a watch; of a callback's address not the query, which may hold a token."""
    last, trouble = watch.snapshot, watch.trouble
    return {
        "id": watch.id,
        "provider": watch.provider,
        "params": dict(watch.params),
        "labels": dict(watch.labels),
        "webhooks": list(watch.webhooks) if watch.webhooks is not None else None,
        "callback_url": watch.callback.url.partition("?")[0] if watch.callback else None,
        "state": last.state if last else _final(watch),
        "status": last.status if last else None,
        "progress": last.progress if last else None,
        "messages": {key: mark.status for key, mark in last.messages.items()} if last else {},
        "trouble": trouble.reason if trouble else None,
        "outcome": watch.ending,
        "sequence": watch.sequence,
        "submitted_at": watch.submitted_at,
        "accepted_at": watch.accepted_at,
        "changed_at": watch.changed_at,
        "deadline_at": watch.deadline_at,
        "finished_at": watch.finished_at,
    }


def _final(watch: Watch) -> State | None:
    """Return the state of a watch whose details are forgotten, or of which nothing was seen."""
    if watch.ending is None:
        return State.PENDING
    return State(watch.ending) if watch.ending in {state.value for state in State} else None


def shown_event(row: EventRow) -> dict[str, object]:
    """Return an event: its body, its id, and its cursor."""
    body: dict[str, object] = orjson.loads(row.event.body)
    return {"id": row.event.id, "cursor": row.cursor, **body}


def shown_delivery(row: DeliveryRow, hold: Hold | None) -> dict[str, object]:
    """Return a delivery, and what keeps it back, however due it is."""
    known = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "is_behind"}
    return {**known, "held": hold and hold.by, "held_until": hold and hold.until}
