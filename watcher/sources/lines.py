"""Cutting bytes into lines and lines into requests, in bounded memory. Where the bytes come from is not known here."""

from dataclasses import dataclass

from watcher.core.request import MOST_BYTES
from watcher.ports import Item

MOST_ITEMS = 500
CHUNK = 1024 * 1024  # as much as is looked at in one go; longer than any line that is taken


@dataclass(frozen=True, slots=True)
class Place:
    """How far it was read: bytes and newlines before it. `skipping`: the rest of this line was found too long."""

    offset: int = 0
    line: int = 0
    skipping: bool = False


def cut(data: bytes, place: Place, *, name: str, ended: bool = False) -> tuple[list[Item], Place]:
    """Cut at most 500 requests from `data`, the bytes behind `place`; return the place behind them.

    Blank lines are none. A line that is too long becomes one item a byte longer than allowed, which intake refuses.
    What follows the last newline is left alone, unless no more will come (`ended`).
    """
    items: list[Item] = []
    start, line, skipping = 0, place.line, place.skipping
    while start < len(data) and len(items) < MOST_ITEMS:
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
