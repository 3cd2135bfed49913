"""What only the running daemon knows of a watch: when exactly it is asked next, and what it was answered last.

In memory only, and bounded; told to whoever asks for one watch, and never logged: an answer may name recipients.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from watcher.core.gate import Gate
from watcher.core.model import Reason
from watcher.core.outcome import Final
from watcher.core.wire import NoAnswer, Response
from watcher.ports import Clock
from watcher.rota import Rota

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


# When, the word for what it meant, status, why, body; not the outcome, which may be larger than its answer.
_Kept: TypeAlias = tuple[datetime, str, int | None, str | None, bytes, bool]


class Lately:
    """What those watches of one account were answered that were asked last; by uid."""

    def __init__(self) -> None:
        self._answers: dict[str, _Kept] = {}

    def keep(self, uid: str, outcome: Final | None, answer: Response | NoAnswer | None, *, at: datetime) -> None:
        """Keep how a poll ended (None: unchanged); the oldest one is forgotten for it."""
        self._answers.pop(uid, None)
        self._answers[uid] = _kept(outcome, answer, at=at)
        if len(self._answers) > MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]

    def outlook(self, uid: str, *, rota: Rota, gate: Gate, clock: Clock) -> Outlook:
        """Say when a watch is asked next; looks at every watch, so seldom."""
        wall, now = clock.now(), clock.monotonic()

        def later(seconds: float) -> datetime | None:
            return wall + timedelta(seconds=seconds) if seconds > 0 else None

        due, ahead, entry = rota.find(uid)
        return Outlook(
            due_at=None if due is None else wall + timedelta(seconds=due - now),
            in_flight=uid in rota.asking,
            ahead=ahead,
            provider_free_at=later(gate.wait(now=now)),
            paused_until=later(gate.paused(now=now)),
            down=gate.reason,
            failures=entry.trouble.polls if entry and entry.trouble else 0,
            last_answer=LastAnswer(*self._answers[uid]) if uid in self._answers else None,
        )


def _kept(outcome: Final | None, answer: Response | NoAnswer | None, *, at: datetime) -> _Kept:
    word, why = word_for(outcome), getattr(outcome, "detail", None) or None
    if isinstance(answer, Response):
        return at, word, answer.status, why, answer.body[:MOST_BODY], len(answer.body) <= MOST_BODY
    return at, word, getattr(outcome, "http_status", None), why, b"", True


def word_for(outcome: Final | None) -> str:
    """Name an outcome as log and commands do."""
    return "unchanged" if outcome is None else type(outcome).__name__.lower()
