"""When a watch is asked next, and what keeps a delivery back, as far as the store can tell."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from make import SNAPSHOT, after, span, terms, watch

from watcher.core.duration import LONGEST
from watcher.core.endpoint import Disabled, Endpoint
from watcher.core.explain import Account, Answer, Why, held, kept_back, next_asked
from watcher.core.model import Condition, Ending, EventType, Reason, Snapshot, State, Trouble, Watch
from watcher.core.rows import DeliveryRow, Held, Hold
from watcher.core.schedule import next_poll

ACCOUNT = Account(terms().pace, rate=5, watches=1)
FIXED = replace(ACCOUNT, pace=terms(mode="fixed").pace)
CROWDED = replace(ACCOUNT, watches=10_000)
DOWN = replace(ACCOUNT, condition=Condition("d7", "uid", 1, Reason.UNREACHABLE, after("1m")))
PAUSED = replace(ACCOUNT, condition=Condition("d7", "uid", paused_until=after("1h")))
UP = replace(ACCOUNT, condition=Condition("d7", "uid", 2, None, None))

SEEN = watch(SNAPSHOT)
TROUBLED = replace(SEEN, trouble=Trouble(Reason.DENIED, after("1m"), 401, told=True))
SCHEDULED = watch(Snapshot("scheduled", State.PENDING, not_before=after("1h")))
FINISHED = replace(SEEN, ending=Ending.SUCCEEDED, finished_at=after("1m"))


@pytest.mark.parametrize(
    ("of", "account", "at", "why", "earliest", "latest"),
    [
        pytest.param(SEEN, ACCOUNT, "100s", Why.QUIET, "100s", "157.2s", id="min-half-the-quiet-time-and-the-jitter"),
        pytest.param(SEEN, ACCOUNT, "1s", Why.QUIET, "2s", "3.75s", id="never-sooner-than-min-after-a-change"),
        pytest.param(SEEN, ACCOUNT, "2h", Why.QUIET, "120m", "125m", id="never-later-than-max"),
        pytest.param(SEEN, FIXED, "2h", Why.QUIET, "2h", "7202s", id="fixed-is-min"),
        pytest.param(SEEN, UP, "2h", Why.QUIET, "120m", "125m", id="a-provider-that-came-back"),
        pytest.param(SEEN, PAUSED, "100s", Why.PAUSED, "60m", "3600.2s", id="not-before-a-pause-is-over"),
        pytest.param(SEEN, PAUSED, "2h", Why.QUIET, "120m", "125m", id="a-pause-that-is-over"),
        pytest.param(watch(), ACCOUNT, "1s", Why.NEW, "1s", "3.75s", id="what-was-never-seen-is-asked-at-once"),
        pytest.param(TROUBLED, ACCOUNT, "2m", Why.TROUBLE, "2m", "7m", id="in-trouble-up-to-max"),
        pytest.param(SCHEDULED, ACCOUNT, "2m", Why.SCHEDULED, "2m", "7m", id="slowly-until-it-is-scheduled"),
        pytest.param(SCHEDULED, ACCOUNT, "59m", Why.SCHEDULED, "59m", "60m", id="not-past-the-scheduled-start"),
        pytest.param(SCHEDULED, ACCOUNT, "61m", Why.QUIET, "61m", "3695.2s", id="quiet-counts-from-that-start"),
        pytest.param(SEEN, CROWDED, "100s", Why.RATE, "100s", "2100s", id="the-turn-of-many-watches"),
        pytest.param(TROUBLED, CROWDED, "2m", Why.RATE, "2m", "2120s", id="their-turn-in-trouble-too"),
        pytest.param(SEEN, ACCOUNT, "4319m", Why.DEADLINE, "4319m", "3d", id="not-past-its-deadline"),
        pytest.param(TROUBLED, ACCOUNT, "4319m", Why.DEADLINE, "4319m", "3d", id="nor-in-trouble"),
        pytest.param(SEEN, ACCOUNT, "4d", Why.DEADLINE, "4d", "345602s", id="once-more-after-its-deadline"),
    ],
)
def test_the_next_poll_falls_between_two_moments(  # the columns of the table
    of: Watch, account: Account, at: str, why: Why, earliest: str, latest: str
) -> None:
    expected = Answer(why, after(earliest), after(latest))
    assert next_asked(of, account, is_running=True, now=after(at)) == expected


@pytest.mark.parametrize(
    ("of", "account", "is_running", "why"),
    [
        pytest.param(FINISHED, None, False, Why.FINISHED, id="finished-whatever-else-is"),
        pytest.param(SEEN, None, True, Why.NO_SECTION, id="its-provider-is-not-configured"),
        pytest.param(SEEN, DOWN, False, Why.NO_DAEMON, id="nobody-runs-who-would-ask"),
        pytest.param(SEEN, DOWN, True, Why.DOWN, id="its-provider-is-down"),
    ],
)
def test_there_is_no_moment_where_nobody_can_say(
    of: Watch,
    account: Account | None,
    is_running: bool,  # noqa: FBT001  # a column
    why: Why,
) -> None:
    assert next_asked(of, account, is_running=is_running, now=after("2m")) == Answer(why)


def test_a_clock_that_was_put_back_never_ends_before_it_begins() -> None:
    answer = next_asked(SEEN, ACCOUNT, is_running=True, now=after("0s") - span("1h"))
    assert answer == Answer(Why.QUIET, after("2s"), after("2s"))


def test_the_slowest_of_rates_overflows_nothing() -> None:
    assert replace(CROWDED, rate=5e-324).turn == LONGEST


@given(
    of=st.sampled_from([SEEN, SCHEDULED]),
    account=st.sampled_from([ACCOUNT, FIXED]),
    asked=st.timedeltas(span("2s"), span("4d")),
    since=st.timedeltas(timedelta(0), span("5m")),
    dice=st.floats(0, 1, exclude_max=True),
)
def test_whenever_it_was_asked_last_the_schedule_keeps_the_promise(
    of: Watch, account: Account, asked: timedelta, since: timedelta, dice: float
) -> None:
    polled_at = after("0s") + asked
    due = polled_at + next_poll(
        account.pace,
        now=polled_at,
        since=after("0s"),
        deadline_at=of.deadline_at,
        dice=dice,
        not_before=of.snapshot.not_before if of.snapshot else None,
    )
    now = polled_at + since
    assume(now <= due)
    answer = next_asked(of, account, is_running=True, now=now)
    assert answer.earliest is not None
    assert answer.latest is not None
    assert answer.earliest <= due <= answer.latest


# --- deliveries -------------------------------------------------------------------------------------------------

ROW = DeliveryRow(
    *(7, "ops", "evt_1", EventType.STATUS, "order-42", 1, "waiting", 2),
    due_at=after("1m"),
    last_at=None,
    last_status=None,
    last_error=None,
    duration=None,
)
OPS = Endpoint("ops")
OPEN = replace(OPS, opened_at=after("1s"), probe_at=after("30s"))
PAUSE = replace(OPS, paused_at=after("1s"), paused_until=after("5m"))


@pytest.mark.parametrize(
    ("endpoint", "at", "hold"),
    [
        pytest.param(OPS, "2s", None, id="nothing"),
        pytest.param(replace(OPS, failing_since=after("1s")), "2s", None, id="failing-is-no-hold"),
        pytest.param(PAUSE, "2s", Hold(Held.PAUSED, after("5m")), id="a-pause"),
        pytest.param(PAUSE, "5m", None, id="a-pause-that-is-over"),
        pytest.param(OPEN, "2s", Hold(Held.BREAKER, after("30s")), id="an-open-breaker"),
        pytest.param(OPEN, "2m", Hold(Held.BREAKER, after("2m")), id="a-probe-that-is-due"),
        pytest.param(replace(OPEN, probe_at=None), "2s", Hold(Held.BREAKER, after("2s")), id="no-probe-yet"),
        pytest.param(
            replace(OPEN, paused_until=after("5m")), "2s", Hold(Held.BREAKER, after("5m")), id="no-probe-in-a-pause"
        ),
        pytest.param(
            replace(OPEN, disabled=Disabled.GONE, paused_until=after("5m")), "2s", Hold(Held.DISABLED), id="disabled"
        ),
    ],
)
def test_the_worst_that_holds_keeps_all_of_a_webhook_back(endpoint: Endpoint, at: str, hold: Hold | None) -> None:
    assert kept_back(endpoint, now=after(at)) == hold


@pytest.mark.parametrize(
    ("row", "endpoint", "hold"),
    [
        pytest.param(ROW, OPS, None, id="its-schedule-decides"),
        pytest.param(ROW, None, None, id="a-webhook-that-nothing-is-known-of"),
        pytest.param(replace(ROW, is_behind=True), OPS, Hold(Held.ORDER), id="behind-an-earlier-one"),
        pytest.param(replace(ROW, is_behind=True), PAUSE, Hold(Held.PAUSED, after("5m")), id="behind-one-that-waits"),
        pytest.param(replace(ROW, due_at=after("1h")), PAUSE, None, id="due-after-the-pause"),
        pytest.param(replace(ROW, due_at=after("1h")), OPEN, Hold(Held.BREAKER, after("30s")), id="a-breaker-decides"),
        pytest.param(replace(ROW, due_at=None, status="delivered"), OPEN, None, id="done"),
        pytest.param(replace(ROW, webhook="gone"), OPS, Hold(Held.NO_SECTION), id="no-section"),
    ],
)
def test_what_keeps_a_delivery_back_is_named(row: DeliveryRow, endpoint: Endpoint | None, hold: Hold | None) -> None:
    endpoints = {} if endpoint is None else {"ops": endpoint}
    assert held(row, endpoints=endpoints, has_section=lambda name: name == "ops", now=after("2s")) == hold
