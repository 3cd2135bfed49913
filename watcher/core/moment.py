"""Moments as they are written: RFC 3339 in UTC, to the microsecond."""

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """Write a moment as `2026-11-23T07:30:00.123456Z`."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
