"""Reading UKG Talk's bodies, whose schema is published nowhere: a word, a percentage, a list, wherever they stand.

What is not found is not guessed. Which HTTP status means what is `ukg.py`'s.
"""

import re
from collections.abc import Mapping

from watcher.core.model import Json, Message, State
from watcher.providers.answers import folded

# The four of the list operation's `state` filter, and what sibling APIs say while they work.
# https://developer.ukg.com/talk/reference/retrieve-paginated-list-of-bulk-chat-asynchronous-requests
STATES = {
    "PENDING": State.PENDING,
    "IN_PROGRESS": State.IN_PROGRESS,
    "RUNNING": State.IN_PROGRESS,
    "SUCCESSFUL": State.SUCCEEDED,
    "PARTIAL_SUCCESS": State.PARTIALLY_SUCCEEDED,
    "FAILED": State.FAILED,
}
OVER = "COMPLETED"  # how it ended is the result's to say

# By folded word.
MESSAGE_STATES = {
    "pending": State.PENDING,
    "inprogress": State.IN_PROGRESS,
    "success": State.SUCCEEDED,
    "successful": State.SUCCEEDED,
    "succeeded": State.SUCCEEDED,
    "delivered": State.SUCCEEDED,
    "failure": State.FAILED,
    "failed": State.FAILED,
    "error": State.FAILED,
}

WORDS = ("state", "status", "requestState", "jobStatus")
PERCENTAGES = ("progress", "percentComplete", "percentageComplete", "percent")
LISTS = ("results", "messages", "responses", "recipients", "items")
MESSAGE_WORDS = ("status", "state")
PEOPLE = ("personNumber", "personId")


def status_word(body: Mapping[str, Json]) -> str | None:
    """Return the job's status: a word that we know wherever it stands, else the first word at all."""
    words = [word for key in WORDS if isinstance(word := body.get(key), str) and word]
    known = (word for word in words if word.upper() in STATES or word.upper() == OVER)
    return next(known, words[0] if words else None)


def progress(body: Mapping[str, Json]) -> float | None:
    """Return the percentage that is stated; what would have to be computed from counts is none."""
    inner = body.get("progress")
    places = (body, inner) if isinstance(inner, dict) else (body,)
    stated = (_percentage(place.get(key)) for place in places for key in PERCENTAGES)
    return next((number for number in stated if number is not None), None)


def _percentage(value: Json) -> float | None:
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}(\.\d{1,9})?\s?%", value, re.ASCII):
        number = float(value.rstrip("% "))
    elif isinstance(value, float) and value <= 1:
        number = round(value * 100, 6)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = value
    else:
        return None
    return number if 0 <= number <= 100 else None  # noqa: PLR2004  # a percentage


def messages(body: Json) -> tuple[Message, ...]:
    """Return each person's message of a result, in its order; what has no status is none.

    The key is `personNumber`, else `personId`, else the place in the list; who is listed again has the place added.
    """
    found: dict[str, Message] = {}
    for place, word, entry in _entries(body):
        key = _person(entry) or str(place)
        key = f"{key}|{place}" if key in found else key
        detail = {name: value for name, value in entry.items() if name not in MESSAGE_WORDS}
        found[key] = Message(key, word, MESSAGE_STATES.get(folded(word), State.IN_PROGRESS), detail)
    return tuple(found.values())


def _entries(body: Json) -> list[tuple[int, str, dict[str, Json]]]:
    lists = [body.get(key) for key in LISTS] if isinstance(body, dict) else [body]
    found = (
        [
            (place, word, entry)
            for place, entry in enumerate(candidate)
            if isinstance(entry, dict) and (word := _message_word(entry))
        ]
        for candidate in lists
        if isinstance(candidate, list)
    )
    return next(filter(None, found), [])


def _message_word(entry: Mapping[str, Json]) -> str | None:
    return next((word for key in MESSAGE_WORDS if isinstance(word := entry.get(key), str) and word), None)


def _person(entry: Mapping[str, Json]) -> str | None:
    numbers = (entry.get(key) for key in PEOPLE)
    return next((str(number) for number in numbers if isinstance(number, str | int) and number), None)
