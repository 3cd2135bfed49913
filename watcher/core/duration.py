"""Durations as people write them: `90`, `"250ms"`, `"10m"`, `"3d"`. Only reading and printing them."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST = timedelta(days=3650)
EXPECTED = 'expected a duration: a number of seconds, or a number with a unit: "250ms", "0.5s", "10m", "2h", "3d"'

_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", re.ASCII)


def parse_duration(written: object) -> timedelta:
    """Read one duration; a bare number is seconds.

    Raises:
        ValueError: it is not a duration, is negative, or is longer than ten years.

    """
    if isinstance(written, timedelta):
        return written
    if isinstance(written, bool) or not isinstance(written, int | float | str):
        raise ValueError(EXPECTED)
    found = _WRITTEN.fullmatch(str(written).strip())
    if found is None:
        raise ValueError(EXPECTED)
    seconds = float(found[1]) * UNITS[found[2] or "s"]
    if seconds > LONGEST.total_seconds():
        msg = "expected a duration of at most ten years"
        raise ValueError(msg)
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """Print a duration with the largest unit that keeps it readable: `1.5h`, `42s`, `250ms`."""
    seconds = duration.total_seconds()
    for unit, size in reversed(UNITS.items()):
        if abs(seconds) >= size:
            return f"{seconds / size:.4g}{unit}"
    return "0s"


def _some(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("expected a duration longer than nothing")
    return duration


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
SomeTime = Annotated[Duration, AfterValidator(_some)]
