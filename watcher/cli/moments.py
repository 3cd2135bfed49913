"""How moments and durations are shown to people, and read. Programs get RFC 3339 and seconds, from `text.json`."""

from datetime import UTC, datetime, timedelta

import typer


def ago(written: str | None) -> datetime | None:
    """Return the moment that lies so far back, as `--since 1h` says."""
    from watcher.core.duration import parse_duration

    try:
        return None if written is None else datetime.now(UTC) - parse_duration(written)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None


def when(moment: datetime | None, now: datetime) -> str:
    """Show a moment, and how far it is."""
    if moment is None:
        return "-"
    away = f"in {span(moment - now)}" if moment > now else f"{span(now - moment)} ago"
    return f"{clock(moment, now)} ({away})"


def clock(moment: datetime | None, now: datetime) -> str:
    """Show the time of day in UTC, and the day unless it is today."""
    if moment is None:
        return "-"
    return f"{moment:%H:%M:%S}Z" if moment.date() == now.date() else f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def span(duration: timedelta) -> str:
    """Show a duration in its two largest units: `2d 23h`, `4m 56s`, `0.2s`."""
    seconds = round(duration.total_seconds())
    for unit, size, lesser, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size}{unit}" + (f" {rest}{lesser}" if rest else "")
    return f"{round(duration.total_seconds(), 1):g}s"


def quick(seconds: float | None) -> str:
    """Show what took less than a minute, in milliseconds where that says more: `12 ms`, `1.5 s`."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
