"""`watcher status` says what is not well, also what nobody would see in the log any more."""

from datetime import UTC, datetime, timedelta

from watcher.cli.log import _problems
from watcher.config import Config
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


def test_all_is_well() -> None:
    fresh = datetime.now(UTC) - timedelta(seconds=5)
    assert (
        _problems(overview(watches={("d7", "pending"): 9, ("old", "succeeded"): 9}, waiting={"ops": fresh}), CONFIG)
        == []
    )


def test_a_webhook_that_takes_nothing_is_named_long_before_anything_is_given_up() -> None:
    assert _problems(overview(waiting={"ops": LONG_AGO}), CONFIG) == ["webhook ops: deliveries wait since 07:30Z"]


def test_what_waits_for_a_section_that_is_gone_is_named() -> None:
    waiting = overview(watches={("old", "pending"): 1}, waiting={"gone": datetime.now(UTC)})
    assert _problems(waiting, CONFIG) == [
        "provider old: watches wait for its section",
        "webhook gone: deliveries wait for its section",
    ]


def test_a_provider_that_is_down_and_a_daemon_that_does_not_run_are_named() -> None:
    assert _problems(overview(down={"d7": "denied"}, owner=None), CONFIG) == [
        "provider d7: down, denied",
        "no daemon is running",
    ]
