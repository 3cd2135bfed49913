"""What happens in the demo: each provider's answers, and beside them, by hand, the events that must come of them.

The events are not computed: the demo would otherwise agree with whatever the daemon does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from watcher.core.model import Json, Params
from watcher.demo.chime import Chime
from watcher.demo.kore import Kore
from watcher.demo.pretend import Reply, Stage
from watcher.demo.vendors import Vendors


class Change(NamedTuple):
    """One expected event: its type, which message, from, to (or how the watch ended)."""

    type: str
    message: str | None
    before: Json
    after: Json


@dataclass(frozen=True, slots=True)
class Plot:
    """One watch: `operation` is the provider's name for it, `stages` the answers, `expected` the events in order."""

    provider: str
    watch: str
    operation: str
    params: Params
    stages: Sequence[Stage]
    expected: Sequence[Change]
    results: Sequence[Stage] = ()


def _message(key: str, before: str | None, after: str) -> Change:
    return Change("message.status.changed", key, before, after)


def _status(before: str | None, after: str) -> Change:
    return Change("watch.status.changed", None, before, after)


def _progress(before: int | None, after: int) -> Change:
    return Change("watch.progress.changed", None, before, after)


def _finished(outcome: str) -> Change:
    return Change("watch.finished", None, None, outcome)


# --- D7: no status of its own, so the state is the status; no progress ------------------------------------------


def _sms(request: str, *statuses: str) -> Json:
    return {
        "request_id": request,
        "total_recipients": len(statuses),
        "channel": "sms",
        "messages": [
            {
                "msg_id": f"sms-{place}",
                "country": "AE",
                "recipient": f"+97150975265{place}",
                "status": status,
                "number_of_sms": 1,
                "sms_cost": 0.0004,
                "schedule_time": None,
            }
            for place, status in enumerate(statuses, start=1)
        ],
    }


ORDER = "9d056a09-0fc4-4f68-9058-3846d58aa244"
ORDER_42 = Plot(
    "d7",
    "order-42",
    ORDER,
    {"request_id": ORDER},
    stages=[
        (0.0, _sms(ORDER, "scheduled", "scheduled")),
        (1.5, _sms(ORDER, "sent", "sent")),
        (3.0, _sms(ORDER, "delivered", "sent")),
        (4.5, _sms(ORDER, "delivered", "un_delivered")),
    ],
    expected=[
        _message("sms-1", None, "scheduled"),
        _message("sms-2", None, "scheduled"),
        _status(None, "pending"),
        _message("sms-1", "scheduled", "sent"),
        _message("sms-2", "scheduled", "sent"),
        _status("pending", "in_progress"),
        _message("sms-1", "sent", "delivered"),
        _message("sms-2", "sent", "un_delivered"),
        _status("in_progress", "partially_succeeded"),
        _finished("partially_succeeded"),
    ],
)

# --- Kore: progress, and log lines that appear one by one -------------------------------------------------------


def _job(status: str, progress: int, *logs: tuple[str, str]) -> Json:
    return {
        "_id": "ds-7",
        "status": status,
        "percentageComplete": progress,
        "streamId": Kore.bot_id,
        "jobType": "PROACTIVE_NOTIFICATIONS_API",
        "action": "PROACTIVE_NOTIFICATIONS",
        "statusLogs": [
            {
                "_id": f"nl-{place}",
                "requestId": "ds-7",
                "originalId": who,
                "status": word,
                "comments": "",
                "streamId": Kore.bot_id,
                "channel": "msteams",
                "createdOn": "2026-11-23T07:30:00.000Z",
            }
            for place, (who, word) in enumerate(logs, start=1)
        ],
        "count": len(logs),
    }


ANN, BOB = ("ann@example.com", "SUCCESS"), ("bob@example.com", "FAILURE")
CAMPAIGN_7 = Plot(
    "kore",
    "campaign-7",
    "ds-7",
    {"request_id": "ds-7"},
    stages=[
        (0.0, _job("IN_PROGRESS", 0)),
        (1.5, _job("IN_PROGRESS", 50, ANN)),
        (3.75, _job("PARTIAL_SUCCESS", 100, ANN, BOB)),
    ],
    expected=[
        _progress(None, 0),
        _status(None, "IN_PROGRESS"),
        _message("nl-1|msteams|ann@example.com", None, "SUCCESS"),
        _progress(0, 50),
        _message("nl-2|msteams|bob@example.com", None, "FAILURE"),
        _progress(50, 100),
        _status("IN_PROGRESS", "PARTIAL_SUCCESS"),
        _finished("partially_succeeded"),
    ],
)

# --- Chime: one message, nothing but its status -----------------------------------------------------------------


def _chat(value: str, detail: str = "") -> Json:
    return {"Status": {"Value": value, "Detail": detail}}


CHAT_1 = Plot(
    "chime",
    "chat-1",
    "msg-0001_abc",
    {"channel_arn": Chime.channel_arn, "message_id": "msg-0001_abc"},
    stages=[(0.0, _chat("PENDING", "in the channel flow")), (2.25, _chat("SENT"))],
    expected=[_status(None, "PENDING"), _status("PENDING", "SENT"), _finished("succeeded")],
)
CHAT_2 = Plot(
    "chime",
    "chat-2",
    "msg-0002_def",
    {"channel_arn": Chime.channel_arn, "message_id": "msg-0002_def"},
    stages=[(0.0, _chat("PENDING")), (3.0, _chat("FAILED", "the processor did not answer"))],
    expected=[_status(None, "PENDING"), _status("PENDING", "FAILED"), _finished("failed")],
)

# --- UKG: progress, then a 303 whose result says the outcome by its HTTP status ---------------------------------

SHIFT_9 = Plot(
    "ukg",
    "shift-9",
    "6b0f-9",
    {"id": "6b0f-9"},
    stages=[
        (0.0, {"id": "6b0f-9", "state": "PENDING", "progress": 0}),
        (1.5, {"id": "6b0f-9", "state": "PENDING", "progress": 60}),
        (3.0, Reply(303)),
    ],
    results=[
        (
            0.0,
            Reply(
                207,
                {
                    "results": [
                        {"personNumber": "1001", "status": "SUCCESS"},
                        {
                            "personNumber": "1002",
                            "status": "FAILURE",
                            "error": {"errorCode": "TALK-1", "message": "off"},
                        },
                    ]
                },
            ),
        )
    ],
    expected=[
        _progress(None, 0),
        _status(None, "PENDING"),
        _progress(0, 60),
        _message("1001", None, "SUCCESS"),
        _message("1002", None, "FAILURE"),
        _status("PENDING", "PARTIAL_SUCCESS"),
        _finished("partially_succeeded"),
    ],
)

PLOTS = (ORDER_42, CAMPAIGN_7, CHAT_1, CHAT_2, SHIFT_9)


def stage(vendors: Vendors, plot: Plot) -> None:
    """Teach the pretend provider its part."""
    match plot.provider:
        case "d7":
            vendors.d7.script(plot.operation, plot.stages)
        case "kore":
            vendors.kore.script(plot.operation, plot.stages)
        case "chime":
            vendors.chime.script(plot.operation, plot.stages)
        case _:
            vendors.ukg.script(plot.operation, plot.stages, results=plot.results)
