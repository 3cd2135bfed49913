"""`watcher status` says what is not well, also what nobody would see in the log any more."""

import re
from datetime import UTC, datetime, timedelta

from watcher.cli.log import _problems
from watcher.cli.standing import standings
from watcher.config import Config
from watcher.core.endpoint import Disabled, Endpoint
from watcher.core.rows import Overview

CONFIG = Config.model_validate(
    {"providers": {"d7": {"type": "d7", "token": "t"}}, "webhooks": {"ops": {"url": "https://x.y/", "unsigned": True}}}
)
LONG_AGO = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)


def overview(
    *,
    watches: dict[tuple[str, str], int] | None = None,
    waiting: dict[str, datetime] | None = None,
    down: dict[str, str] | None = None,
    owner: str | None = "process 7",
) -> Overview:
    oldest = waiting or {}
    return Overview(
        watches=watches or {},
        troubled={},
        waiting=dict.fromkeys(oldest, 3),
        oldest_waiting=oldest,
        exhausted={},
        rejected=0,
        intents=0,
        down=down or {},
        owner=owner,
    )


def problems(now: Overview, *endpoints: Endpoint) -> list[str]:
    at = datetime.now(UTC)
    return _problems(now, CONFIG, standings(CONFIG.webhooks, list(endpoints), now, now=at), at=at)


def test_all_is_well() -> None:
    fresh = datetime.now(UTC) - timedelta(seconds=5)
    watches = {("d7", "pending"): 9, ("old", "succeeded"): 9}
    assert problems(overview(watches=watches, waiting={"ops": fresh}), Endpoint("ops", failing_since=fresh)) == []


def test_a_webhook_that_takes_nothing_is_named_long_before_anything_is_given_up() -> None:
    assert problems(overview(waiting={"ops": LONG_AGO})) == ["webhook ops: deliveries wait since 07:30Z"]


def test_what_waits_for_a_section_that_is_gone_is_named() -> None:
    waiting = overview(watches={("old", "pending"): 1}, waiting={"gone": datetime.now(UTC)})
    assert problems(waiting) == [
        "provider old: watches wait for its section",
        "webhook gone: deliveries wait for its section",
    ]


def test_a_provider_that_is_down_and_a_daemon_that_does_not_run_are_named() -> None:
    assert problems(overview(down={"d7": "denied"}, owner=None)) == [
        "provider d7: down, denied",
        "no daemon is running",
    ]


def test_a_webhook_that_nothing_is_sent_to_is_named_with_the_reason() -> None:
    soon = datetime.now(UTC) + timedelta(minutes=5, milliseconds=500)
    endpoints = (
        Endpoint("ops", paused_at=LONG_AGO, paused_until=soon),
        Endpoint("ops", opened_at=LONG_AGO, probe_at=soon),
        Endpoint("ops", disabled=Disabled.SILENT, disabled_at=LONG_AGO),
    )
    said = [line for each in endpoints for line in problems(overview(), each)]
    assert [re.sub(r"\S+Z \(\S+( \S+)? ago\)|\S+Z", "T", line) for line in said] == [
        "webhook ops: paused until T (in 5m), as it asked for",
        "webhook ops: breaker open since T, next probe T (in 5m)",
        "webhook ops: disabled since T: no 2xx in 5 days",
    ]
