"""Cutting bytes into lines and lines into requests, in bounded memory. Where the bytes come from is not known here."""

from dataclasses import dataclass

from watcher.core.request import MOST_BYTES
from watcher.ports import Item

MOST_ITEMS = 500
MARK = b"\xef\xbb\xbf"  # with which programs for Windows begin a file
CHUNK = 1024 * 1024  # as much as is looked at in one go; longer than any line that is taken


@dataclass(frozen=True, slots=True)
class Place:
    """How far it was read: bytes and newlines before it. `skipping`: the rest of this line was found too long."""

    offset: int = 0
    line: int = 0
    skipping: bool = False


def cut(
    data: bytes, place: Place, *, name: str, ended: bool = False, most: int = MOST_ITEMS
) -> tuple[list[Item], Place]:
    """Cut at most so many requests from `data`, the bytes behind `place`; return the place behind them.

    A byte order mark at the very beginning belongs to no line. Blank lines are no requests. A line that is too long
    becomes one item a byte longer than allowed, which intake refuses. What follows the last newline is left alone,
    unless no more will come (`ended`).
    """
    items: list[Item] = []
    start, line, skipping = 0, place.line, place.skipping
    if place.offset == 0 and data.startswith(MARK):
        start = len(MARK)
    while start < len(data) and len(items) < most:
        newline = data.find(b"\n", start)
        end = len(data) if newline < 0 else newline
        is_too_long = end - start > MOST_BYTES
        if newline < 0 and not (ended or skipping or is_too_long):
            break
        text = data[start : min(end, start + MOST_BYTES + 1)]
        if not skipping and text.strip():
            items.append(Item(text, f"{name}:{line + 1}"))
        if newline < 0:
            start, skipping = end, skipping or is_too_long
        else:
            start, line, skipping = newline + 1, line + 1, False
    return items, Place(place.offset + start, line, skipping)
