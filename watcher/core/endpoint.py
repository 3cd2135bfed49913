"""Whether a webhook may be sent to: its pause, its breaker, its being disabled. Values that are told the time."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from watcher.core.delivery import Attempt

FIRST_PROBE = timedelta(seconds=30)
LONGEST_PROBE = timedelta(minutes=10)
PATIENCE = timedelta(days=5)
REST = timedelta(hours=30)  # longer than any wait of a schedule: then nobody tried


class Disabled(StrEnum):
    """Why a webhook is disabled."""

    GONE = "gone"  # 410
    ASKED = "asked"  # `webhook-delivery: disable`
    SILENT = "silent"  # no 2xx in five days
    COMMAND = "command"  # `watcher webhook disable`


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is known of one webhook, kept over a restart.

    `section` is the fingerprint of the section that it was made from. `opened_at` is set while the breaker is open:
    then one probe is sent at `probe_at`. `failing_since` is the first failure
    after the last 2xx, `failed_at` the latest one. `last_good` is the last attempt that was answered 2xx.
    """

    name: str
    section: str = ""
    disabled: Disabled | None = None
    disabled_at: datetime | None = None
    paused_at: datetime | None = None
    paused_until: datetime | None = None
    opened_at: datetime | None = None
    probe_at: datetime | None = None
    probe_wait: timedelta = FIRST_PROBE
    failing_since: datetime | None = None
    failed_at: datetime | None = None
    last_good: Attempt | None = None
    version: int = field(default=0, compare=False)  # grows when other workers must look again, where there are any

    @property
    def is_origin(self) -> bool:
        """Is it where callbacks of many watches go? What one of them is told is then not meant for all."""
        return ":" in self.name  # which no section's name holds

    @property
    def is_open(self) -> bool:
        """Is the breaker open: nothing is sent but probes?"""
        return self.opened_at is not None


def succeeded(endpoint: Endpoint, attempt: Attempt) -> Endpoint:
    """A POST was answered 2xx: the breaker closes, and the days of failing are over."""
    return replace(_closed(endpoint), failing_since=None, failed_at=None, last_good=attempt)


def alive(endpoint: Endpoint) -> Endpoint:
    """A POST was answered, and not with what a dead webhook answers: the breaker closes."""
    return _closed(endpoint)


def failed(endpoint: Endpoint, *, now: datetime) -> Endpoint:
    """A POST failed, however; five days of that without a 2xx, with attempts all the while, disable it.

    Not an origin: one caller's wrong address must not end the callbacks of all.
    """
    is_first = endpoint.failed_at is None or now - endpoint.failed_at > REST
    since = now if is_first or endpoint.failing_since is None else endpoint.failing_since
    after = replace(endpoint, failing_since=since, failed_at=now)
    is_silent = now - since >= PATIENCE and not endpoint.is_origin
    return disabled(after, Disabled.SILENT, now=now) if is_silent else after


def opened(endpoint: Endpoint, *, now: datetime) -> Endpoint:
    """Open the breaker; the first probe follows soon."""
    return replace(endpoint, opened_at=now, probe_at=now + FIRST_PROBE, probe_wait=FIRST_PROBE)


def probed(endpoint: Endpoint, *, now: datetime) -> Endpoint:
    """A probe failed: the next one comes later."""
    wait = min(2 * endpoint.probe_wait, LONGEST_PROBE)
    return replace(endpoint, probe_wait=wait, probe_at=now + wait)


def paused(endpoint: Endpoint, *, until: datetime, now: datetime) -> Endpoint:
    """Rest until then; what several POSTs are told is one pause."""
    if endpoint.paused_until is None or endpoint.paused_until <= now:
        return replace(endpoint, paused_at=now, paused_until=until)
    return replace(endpoint, paused_until=max(until, endpoint.paused_until))


def disabled(endpoint: Endpoint, why: Disabled, *, now: datetime) -> Endpoint:
    """Send nothing any more, until somebody enables it."""
    return endpoint if endpoint.disabled else replace(endpoint, disabled=why, disabled_at=now)


def enabled(endpoint: Endpoint) -> Endpoint:
    """Send again, at once: no pause, no breaker, and the days of failing count from now."""
    after = replace(_closed(endpoint), disabled=None, disabled_at=None, paused_at=None, paused_until=None)
    return replace(after, failing_since=None, failed_at=None)


def rewound(endpoint: Endpoint, *, now: datetime) -> Endpoint:
    """Let each wait that began in the future begin now: the clock was ahead when that was written."""
    after = endpoint
    if after.paused_at is not None and after.paused_until is not None and after.paused_at > now:
        after = replace(after, paused_at=now, paused_until=now + (after.paused_until - after.paused_at))
    if after.opened_at is not None and after.opened_at > now:
        after = replace(after, opened_at=now)
    if after.probe_at is not None and after.probe_at - after.probe_wait > now:
        after = replace(after, probe_at=now + after.probe_wait)
    if after.failed_at is not None and after.failed_at > now:
        after = replace(after, failed_at=now, failing_since=min(after.failing_since or now, now))
    return after


def merged(ours: Endpoint, *, since: Endpoint, theirs: Endpoint) -> Endpoint:
    """Put on top of what others have written meanwhile what changed here since then; what belongs together stays so."""
    changed = [name for group in TOGETHER for name in group if _of(group, ours) != _of(group, since)]
    return replace(theirs, **{name: getattr(ours, name) for name in changed})


def _of(names: tuple[str, ...], endpoint: Endpoint) -> list[object]:
    return [getattr(endpoint, name) for name in names]


TOGETHER = (
    ("section",),
    ("disabled", "disabled_at"),
    ("paused_at", "paused_until"),
    ("opened_at", "probe_at", "probe_wait"),
    ("failing_since", "failed_at"),
    ("last_good",),
)


def _closed(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, opened_at=None, probe_at=None, probe_wait=FIRST_PROBE) if endpoint.is_open else endpoint
