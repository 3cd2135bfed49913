"""What only the running daemon knows of a watch: when exactly it is asked next, and what it was answered last.

In memory only, and bounded; told to whoever asks for one watch, and never logged: an answer may name recipients.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from watcher.core.agenda import Agenda, Entry
from watcher.core.gate import Gate
from watcher.core.model import Final, Reason
from watcher.core.wire import NoAnswer, Response
from watcher.ports import Clock

MOST_ANSWERS = 1000
MOST_BODY = 2048  # bytes


@dataclass(frozen=True, slots=True)
class LastAnswer:
    """How a poll ended: the word for its outcome, why if it was not seen, and the beginning of the body as it came."""

    at: datetime
    outcome: str
    http_status: int | None
    detail: str | None
    body: bytes = field(repr=False)
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Outlook:
    """When a watch is asked next: at `due_at` (None while it is `in_flight`), and not before its provider lets it.

    `provider_free_at` is when the provider may be asked again by pause, probe and rate, None if it may now; `ahead`
    are the watches that are due before this one. `failures` counts the polls since the last that was seen.
    """

    due_at: datetime | None = None
    in_flight: bool = False
    ahead: int | None = None
    provider_free_at: datetime | None = None
    paused_until: datetime | None = None
    down: Reason | None = None
    failures: int = 0
    last_answer: LastAnswer | None = None


class Lately:
    """Which watches of one account are asked just now, and what those asked last were answered; by uid."""

    def __init__(self) -> None:
        self._asking: dict[str, Entry] = {}
        self._answers: OrderedDict[str, LastAnswer] = OrderedDict()

    @contextmanager
    def asking(self, entry: Entry) -> Iterator[None]:
        """Know that a watch is off the agenda as it is being asked."""
        self._asking[entry.uid] = entry
        try:
            yield
        finally:
            self._asking.pop(entry.uid, None)

    def keep(self, uid: str, outcome: Final | None, answer: Response | NoAnswer | None, *, at: datetime) -> None:
        """Keep how a poll ended (None: unchanged); the oldest one is forgotten for it."""
        status = answer.status if isinstance(answer, Response) else getattr(outcome, "http_status", None)
        body = answer.body if isinstance(answer, Response) else b""
        detail = getattr(outcome, "detail", None) or None
        self._answers[uid] = LastAnswer(at, word_for(outcome), status, detail, body[:MOST_BODY], len(body) <= MOST_BODY)
        self._answers.move_to_end(uid)
        if len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)

    def outlook(self, uid: str, *, agenda: Agenda, gate: Gate, clock: Clock) -> Outlook:
        """Say when a watch is asked next; looks at all of the agenda."""
        wall, now = clock.now(), clock.monotonic()

        def later(seconds: float) -> datetime | None:
            return wall + timedelta(seconds=seconds) if seconds > 0 else None

        asked = self._asking.get(uid)
        due, ahead, entry = agenda.find(uid) or (None, None, asked)
        return Outlook(
            due_at=None if due is None else wall + timedelta(seconds=due - now),
            in_flight=asked is not None,
            ahead=ahead,
            provider_free_at=later(gate.wait(now=now)),
            paused_until=later(gate.paused(now=now)),
            down=gate.reason,
            failures=entry.trouble.polls if entry and entry.trouble else 0,
            last_answer=self._answers.get(uid),
        )


def word_for(outcome: Final | None) -> str:
    """Name an outcome as log and commands do."""
    return "unchanged" if outcome is None else type(outcome).__name__.lower()
