"""Moments as they are written: RFC 3339 in UTC, to the microsecond."""

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """Write a moment as `2026-11-23T07:30:00.123456Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
