"""What is known of a webhook over a restart: its breaker, its pause, and why it is disabled (SPEC, section 7.3)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from make import START, after, span

from watcher.core.delivery import Attempt
from watcher.core.endpoint import (
    Disabled,
    Endpoint,
    alive,
    disabled,
    enabled,
    failed,
    merged,
    opened,
    paused,
    probed,
    rewound,
    succeeded,
)

FRESH = Endpoint("ops", section="a fingerprint")
GOOD = Attempt(1, after("1h"), 0.1, 204)
DOWN = Endpoint(
    "ops",
    section="a fingerprint",
    disabled=Disabled.GONE,
    disabled_at=START,
    paused_at=START,
    paused_until=after("1h"),
    opened_at=START,
    probe_at=after("10m"),
    probe_wait=span("10m"),
    failing_since=START,
    failed_at=START,
    last_good=GOOD,
)


@pytest.mark.parametrize(
    ("name", "is_origin"), [("ops", False), ("ops_2-a", False), ("https://a.example:8443", True), ("callback:a", True)]
)
def test_only_what_is_no_section_s_name_is_an_origin_of_callbacks(name: str, *, is_origin: bool) -> None:
    assert Endpoint(name).is_origin is is_origin


# --- the breaker ----------------------------------------------------------------------------------------------


def test_an_open_breaker_sends_its_first_probe_after_30_seconds() -> None:
    expected = replace(FRESH, opened_at=START, probe_at=after("30s"), probe_wait=span("30s"))
    assert (opened(FRESH, now=START), expected.is_open, FRESH.is_open) == (expected, True, False)


def test_probes_come_at_doubled_waits_up_to_10_minutes() -> None:
    endpoint, found = opened(FRESH, now=START), []
    for _ in range(7):
        assert endpoint.probe_at is not None
        found.append(endpoint.probe_wait)
        endpoint = probed(endpoint, now=endpoint.probe_at)
    assert found == [span(wait) for wait in ("30s", "1m", "2m", "4m", "8m", "10m", "10m")]


def test_a_breaker_that_opens_again_begins_again() -> None:
    endpoint = probed(probed(opened(FRESH, now=START), now=after("30s")), now=after("90s"))
    assert opened(alive(endpoint), now=after("1h")) == opened(FRESH, now=after("1h"))


def test_a_2xx_closes_the_breaker_ends_the_days_of_failing_and_is_remembered() -> None:
    endpoint = opened(failed(FRESH, now=START), now=START)
    assert succeeded(endpoint, GOOD) == replace(FRESH, last_good=GOOD)


def test_an_answer_closes_the_breaker_and_does_not_end_the_days_of_failing() -> None:
    endpoint = failed(FRESH, now=START)
    assert alive(opened(endpoint, now=START)) == endpoint
    assert alive(endpoint) is endpoint


@pytest.mark.parametrize("change", [alive, lambda known: succeeded(known, GOOD)])
def test_an_answer_enables_nothing_and_ends_no_pause(change: Callable[[Endpoint], Endpoint]) -> None:
    after_it = change(DOWN)
    assert (after_it.disabled, after_it.paused_until) == (Disabled.GONE, after("1h"))


# --- the pause ------------------------------------------------------------------------------------------------


def test_a_pause_is_one_however_many_are_told_and_as_long_as_the_longest() -> None:
    endpoint = paused(FRESH, until=after("1m"), now=START)
    assert endpoint == replace(FRESH, paused_at=START, paused_until=after("1m"))
    assert paused(endpoint, until=after("30s"), now=after("1s")) == endpoint
    assert paused(endpoint, until=after("2m"), now=after("1s")) == replace(endpoint, paused_until=after("2m"))


def test_a_pause_after_the_end_of_another_is_a_new_one() -> None:
    endpoint = paused(FRESH, until=after("1m"), now=START)
    expected = replace(FRESH, paused_at=after("1m"), paused_until=after("70s"))
    assert paused(endpoint, until=after("70s"), now=after("1m")) == expected


# --- a clock that was ahead -----------------------------------------------------------------------------------


def test_waits_that_began_in_the_future_begin_now() -> None:
    ahead = failed(paused(opened(FRESH, now=after("1h")), until=after("61m"), now=after("1h")), now=after("1h"))
    assert rewound(ahead, now=START) == failed(
        paused(opened(FRESH, now=START), until=after("1m"), now=START), now=START
    )


def test_a_probe_that_was_put_off_in_the_future_follows_as_soon_as_was_meant() -> None:
    endpoint = rewound(probed(opened(FRESH, now=START), now=after("1h")), now=after("40s"))
    assert endpoint == replace(FRESH, opened_at=START, probe_at=after("100s"), probe_wait=span("1m"))


@pytest.mark.parametrize("endpoint", [FRESH, DOWN, failed(opened(DOWN, now=START), now=START)])
def test_waits_that_began_before_stay(endpoint: Endpoint) -> None:
    assert rewound(endpoint, now=START) is endpoint


def test_days_of_failing_since_the_future_count_from_now() -> None:
    began_right = replace(FRESH, failing_since=START, failed_at=after("2h"))
    assert rewound(began_right, now=after("1h")) == replace(began_right, failed_at=after("1h"))
    began_ahead = replace(FRESH, failing_since=after("2h"), failed_at=after("3h"))
    assert rewound(began_ahead, now=START) == replace(FRESH, failing_since=START, failed_at=START)


# --- disabled -------------------------------------------------------------------------------------------------


def test_a_disabled_webhook_stays_disabled_for_its_first_reason() -> None:
    gone = disabled(FRESH, Disabled.GONE, now=START)
    assert gone == replace(FRESH, disabled=Disabled.GONE, disabled_at=START)
    assert disabled(gone, Disabled.COMMAND, now=after("1h")) is gone


def test_enabling_clears_everything_but_what_it_is() -> None:
    assert enabled(DOWN) == replace(FRESH, last_good=GOOD)
    assert enabled(FRESH) == FRESH


def failing(*, every: timedelta, days: int) -> Endpoint:
    endpoint, now = FRESH, START
    while now < START + timedelta(days=days):
        endpoint = failed(endpoint, now=now)
        now += every
    return endpoint


@pytest.mark.parametrize("every", ["1m", "10m", "24h", "30h"])
def test_five_days_of_nothing_but_failures_disable_a_webhook(every: str) -> None:
    assert failing(every=span(every), days=5).disabled is None
    silent = failing(every=span(every), days=7)
    assert (silent.disabled, silent.failing_since) == (Disabled.SILENT, START)
    assert silent.disabled_at == START + span(every) * -(-span("5d") // span(every))


def test_days_without_a_try_are_no_days_of_failing() -> None:
    assert failing(every=span("30h") + timedelta.resolution, days=30).disabled is None


@pytest.mark.parametrize(("at", "since"), [("30h", "0s"), ("108001s", "108001s")])
def test_who_was_not_tried_for_30_hours_begins_again(at: str, since: str) -> None:
    endpoint = failed(failed(FRESH, now=START), now=after(at))
    assert endpoint == replace(FRESH, failing_since=after(since), failed_at=after(at))


def test_one_2xx_in_five_days_is_enough() -> None:
    endpoint: Endpoint = failing(every=span("1h"), days=5)
    endpoint = succeeded(endpoint, GOOD)
    now: datetime = after("5d")
    assert failed(endpoint, now=now) == replace(FRESH, last_good=GOOD, failing_since=now, failed_at=now)


# --- together with other workers ------------------------------------------------------------------------------


def test_what_one_worker_found_out_stands_beside_what_another_did() -> None:
    since = Endpoint("ops", version=3)
    theirs = replace(since, disabled=Disabled.COMMAND, disabled_at=START, version=4)
    ours = replace(since, last_good=GOOD, paused_at=START, paused_until=START)
    expected = replace(theirs, last_good=GOOD, paused_at=START, paused_until=START)
    after = merged(ours, since=since, theirs=theirs)
    assert (after, after.version) == (expected, 4)


def test_where_both_found_out_something_ours_is_the_latest() -> None:
    since = Endpoint("ops", opened_at=START, probe_at=START, version=3)
    theirs = replace(since, probe_at=None, version=4)
    closed = replace(since, opened_at=None, probe_at=None)
    assert merged(closed, since=since, theirs=theirs) == closed
