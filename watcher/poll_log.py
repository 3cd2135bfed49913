"""What the log says of one account's polls: each at debug, each pause, and each word that nobody knows, once."""

import logging
from collections.abc import Iterable

import structlog

from watcher.core.outcome import Final, Throttled
from watcher.lately import word_for

MOST_WORDS = 100

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
records = logging.getLogger()  # has the level that ours has, and knows it at once


class PollLog:
    """Writes the lines of one section."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._unknown: set[str] = set()

    def done(self, watch: str, outcome: Final | None, *, seconds: float) -> None:
        """Tell of one poll (None: unchanged), for who wants to know that much."""
        if records.isEnabledFor(logging.DEBUG):
            took, word, error = round(seconds * 1000, 1), word_for(outcome), detail(outcome)
            log.debug("poll.done", provider=self._provider, watch=watch, outcome=word, duration_ms=took, error=error)

    def throttled(self, outcome: Throttled, *, seconds: float) -> None:
        """Tell of a pause of the whole account."""
        log.warning("provider.throttled", provider=self._provider, status=outcome.http_status, wait_s=seconds)

    def unknown(self, words: Iterable[str]) -> None:
        """Tell of statuses that have no state of their own, each once."""
        for word in set(words) - self._unknown:
            if len(self._unknown) < MOST_WORDS:
                self._unknown.add(word)
                log.warning("status.unknown", provider=self._provider, status=word[:100])


def detail(outcome: Final | None) -> str | None:
    """Return what an outcome says of itself beside its kind, if anything."""
    return getattr(outcome, "detail", None) or None
