"""What becomes of a delivery: schedules, pauses, what burns an attempt, and whom it holds back (SPEC, section 7)."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make import START, after, delivery, event, span, webhook

from watcher.core.delivery import Attempt, Decision, Delivery, Settled
from watcher.core.endpoint import Disabled
from watcher.core.model import Callback
from watcher.core.webhook import Kind, Meaning, longest_waits, settle
from watcher.core.webhook_section import SCHEDULES, Webhook

NOW = after("2s")
ATTEMPT = Attempt(1, START, 2.0, 500)
OPS = webhook()
FRESH = delivery(event())
LATEST = 1 - 2**-53
FAILING = [Kind.REFUSED, Kind.OVERLOADED, Kind.UNREACHABLE, Kind.FAILED]


def judged(
    one: Delivery,
    kind: Kind,
    *,
    until: datetime | None = None,
    section: Webhook = OPS,
    now: datetime = NOW,
    dice: float = 0.0,
    is_spared: bool = False,
) -> Settled:
    means = Meaning(kind, until)
    attempt = replace(ATTEMPT, at=now - span("2s"))
    [found] = settle([one], means, webhook=section, attempt=attempt, now=now, dice=dice, is_spared=is_spared)
    return found


# --- one answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("means", "changes", "decision"),
    [
        pytest.param(Meaning(Kind.DELIVERED), {}, Decision.DELIVERED, id="delivered"),
        pytest.param(Meaning(Kind.ABORTED), {}, Decision.EXHAUSTED, id="aborted"),
        pytest.param(
            Meaning(Kind.DISABLED, disabled=Disabled.GONE), {"due_at": NOW}, Decision.RETRY, id="disabled-and-it-waits"
        ),
        pytest.param(
            Meaning(Kind.TOO_LARGE), {"thin": True, "due_at": NOW}, Decision.RETRY, id="too-large-and-thin-at-once"
        ),
        pytest.param(
            Meaning(Kind.PAUSED, until=after("1h")),
            {"spared": 1, "due_at": after("1h")},
            Decision.RETRY,
            id="paused-and-unburnt",
        ),
        pytest.param(
            Meaning(Kind.REFUSED),
            {"burnt": 1, "due_at": after("7s"), "refused_since": START, "loosens_at": after("1h")},
            Decision.RETRY,
            id="refused",
        ),
        *[
            pytest.param(Meaning(kind), {"burnt": 1, "due_at": after("7s")}, Decision.RETRY, id=kind.value)
            for kind in (Kind.OVERLOADED, Kind.UNREACHABLE, Kind.FAILED)
        ],
    ],
)
def test_one_answer_has_one_consequence(means: Meaning, changes: dict[str, object], decision: Decision) -> None:
    expected = replace(FRESH, attempts=1, **changes)  # type: ignore[arg-type]  # the fields are named rightly
    settled = settle([FRESH], means, webhook=OPS, attempt=ATTEMPT, now=NOW, dice=0.0)
    assert settled == [Settled(expected, decision, ATTEMPT)]


def test_what_our_own_side_did_not_send_was_no_attempt() -> None:
    before = replace(FRESH, attempts=3, burnt=2, refused_since=START, loosens_at=after("1h"))
    assert judged(before, Kind.NOT_SENT) == Settled(replace(before, due_at=NOW), Decision.RETRY, ATTEMPT, is_kept=False)


def test_a_callback_that_wants_no_more_ends() -> None:
    callback = replace(FRESH, callback=Callback("https://example.com/called-back"))
    [found] = settle(
        [callback], Meaning(Kind.DISABLED, disabled=Disabled.GONE), webhook=OPS, attempt=ATTEMPT, now=NOW, dice=0.0
    )
    assert found == Settled(replace(callback, attempts=1), Decision.ENDED, ATTEMPT)


# --- the schedule ---------------------------------------------------------------------------------------------

SCHEDULED = {
    "long": "5s 30s 2m 10m 30m 1h 2h 5h 10h 14h 20h 24h 24h 24h 24h 24h 24h",
    "standard": "5s 5m 30m 2h 5h 10h 14h 20h 24h",
    "fast": "1s 2s 5s 10s 30s 1m 5m 15m 30m",
    "none": "",
}


@pytest.mark.parametrize("kind", [*FAILING, Kind.TOO_LARGE, Kind.PAUSED])
@pytest.mark.parametrize("name", list(SCHEDULED))
def test_a_schedule_waits_as_promised_and_then_gives_up(name: str, kind: Kind) -> None:
    one = replace(
        FRESH, thin=True, attempts=10, spared=10
    )  # told to wait ten times, and thin: now all that fails burns
    found, until = [], NOW
    for _ in range(99):
        settled = judged(one, kind, until=until, section=webhook(retry=name))
        found.append((settled.decision, settled.delivery.due_at - NOW, settled.delivery.burnt))
        one = settled.delivery
        if settled.decision is Decision.EXHAUSTED:
            break
    waits = [span(written) for written in SCHEDULED[name].split()]
    assert found[:-1] == [(Decision.RETRY, wait, place) for place, wait in enumerate(waits, 1)]
    assert (found[-1][0], found[-1][2]) == (Decision.EXHAUSTED, len(waits) + 1)


def test_there_is_no_other_schedule() -> None:
    assert SCHEDULES.keys() == SCHEDULED.keys()


def test_the_long_schedule_is_the_default_and_makes_18_attempts_in_8_2_days() -> None:
    assert webhook().retry == webhook(retry="long").retry
    assert len(webhook().retry) + 1 == 18
    assert sum(webhook().retry, timedelta(0)) / span("1d") == pytest.approx(8.2, abs=0.01)


@pytest.mark.parametrize(("dice", "wait"), [(0.0, "7s"), (0.5, "7.5s"), (LATEST, "8s")])
def test_jitter_is_up_to_a_fifth_later_and_never_earlier(dice: float, wait: str) -> None:
    assert judged(FRESH, Kind.FAILED, dice=dice).delivery.due_at == after(wait)


# --- pauses, and what burns nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize(("attempts", "burnt"), [(0, 0), (3, 3), (40, 3)])
def test_being_told_to_wait_burns_nothing_ten_times_and_then_an_attempt_each_time(attempts: int, burnt: int) -> None:
    one, found = replace(FRESH, attempts=attempts, burnt=burnt), []
    for _ in range(12):
        one = judged(one, Kind.PAUSED, until=after("10s")).delivery
        found.append(one.burnt)
    assert found == [*[burnt] * 10, burnt + 1, burnt + 2]


@pytest.mark.parametrize(("until", "due_at"), [("4s", "7s"), ("10h", "10h")])
def test_a_pause_that_burns_lasts_as_long_as_it_says_or_the_schedule(until: str, due_at: str) -> None:
    told_often = replace(FRESH, attempts=10, spared=10)
    found = judged(told_often, Kind.PAUSED, until=after(until)).delivery
    assert (found.burnt, found.due_at) == (1, after(due_at))


@pytest.mark.parametrize("kind", [*FAILING, Kind.TOO_LARGE, Kind.PAUSED])
def test_what_was_in_flight_as_the_breaker_opened_burns_nothing(kind: Kind) -> None:
    spent = replace(FRESH, attempts=40, burnt=17, thin=True)
    found = judged(spent, kind, until=NOW, is_spared=True)
    assert (found.decision, found.delivery.burnt, found.delivery.due_at) == (Decision.RETRY, 17, NOW)


@pytest.mark.parametrize("kind", [*FAILING, Kind.TOO_LARGE, Kind.DISABLED, Kind.NOT_SENT])
def test_only_being_told_to_wait_counts_as_that(kind: Kind) -> None:
    spared = replace(FRESH, spared=7)
    assert judged(spared, kind, is_spared=True).delivery.spared == 7


@pytest.mark.parametrize("kind", [Kind.DELIVERED, Kind.ABORTED])
def test_what_is_settled_is_settled_also_while_attempts_are_spared(kind: Kind) -> None:
    assert judged(FRESH, kind, is_spared=True) == judged(FRESH, kind)


# --- too large ------------------------------------------------------------------------------------------------


def test_what_is_too_large_even_when_it_is_thin_has_failed() -> None:
    thin = judged(FRESH, Kind.TOO_LARGE).delivery
    again = judged(thin, Kind.TOO_LARGE)
    assert (again.decision, again.delivery) == (
        Decision.RETRY,
        replace(thin, attempts=2, burnt=1, due_at=after("7s"), refused_since=START, loosens_at=after("1h")),
    )


def test_where_all_is_thin_already_too_large_is_a_failure() -> None:
    found = judged(FRESH, Kind.TOO_LARGE, section=webhook(content="thin")).delivery
    assert (found.burnt, found.thin, found.due_at) == (1, False, after("7s"))


# --- whom it holds back ---------------------------------------------------------------------------------------


def held(*kinds: Kind) -> Delivery:
    """Answer so, once a minute."""
    one = FRESH
    for minute, kind in enumerate(kinds):
        now = NOW + timedelta(minutes=minute)
        one = judged(one, kind, until=now, now=now).delivery
    return one


@pytest.mark.parametrize(
    ("kinds", "since"),
    [
        pytest.param([Kind.REFUSED], "0m", id="the-first-4xx"),
        pytest.param([Kind.REFUSED] * 3, "0m", id="three-in-a-row"),
        pytest.param([Kind.REFUSED, Kind.PAUSED, Kind.REFUSED], "0m", id="a-pause-resets-nothing"),
        pytest.param([Kind.REFUSED, *[Kind.PAUSED] * 12], "0m", id="nor-do-many-that-burn"),
        pytest.param([Kind.REFUSED, Kind.NOT_SENT, Kind.REFUSED], "0m", id="our-own-side-resets-nothing"),
        pytest.param([Kind.PAUSED, Kind.REFUSED], "1m", id="a-pause-does-not-count"),
        pytest.param([Kind.PAUSED] * 12, None, id="nor-do-many-pauses"),
        pytest.param([Kind.REFUSED, Kind.FAILED], None, id="another-failure-resets"),
        pytest.param([Kind.REFUSED, Kind.UNREACHABLE, Kind.REFUSED], "2m", id="and-it-begins-again"),
        pytest.param([Kind.REFUSED, Kind.OVERLOADED], None, id="a-timeout-resets"),
        pytest.param([Kind.REFUSED, Kind.DISABLED], None, id="while-it-is-disabled-nobody-counts"),
        pytest.param([Kind.TOO_LARGE], None, id="too-large-and-not-yet-thin"),
        pytest.param([Kind.TOO_LARGE, Kind.TOO_LARGE], "1m", id="too-large-although-thin"),
    ],
)
def test_a_delivery_holds_others_back_until_it_is_answered_4xx_for_so_long(
    kinds: list[Kind], since: str | None
) -> None:
    found = held(*kinds)
    first = None if since is None else after(since)
    assert (found.refused_since, found.loosens_at) == (first, first and first + span("1h"))


@pytest.mark.parametrize("order_wait", ["0s", "90s", "3d"])
def test_how_long_is_for_the_section_to_say(order_wait: str) -> None:
    found = judged(FRESH, Kind.REFUSED, section=webhook(order_wait=order_wait)).delivery
    assert found.loosens_at == START + span(order_wait)


# --- whatever happens -----------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*FAILING, Kind.PAUSED, Kind.TOO_LARGE, Kind.DISABLED, Kind.NOT_SENT]),
            st.booleans(),
            st.floats(0, 1, exclude_max=True),
            st.timedeltas(timedelta(seconds=1), timedelta(hours=24)),
        ),
        max_size=60,
    ),
    st.sampled_from(list(SCHEDULES)),
)
def test_a_delivery_is_given_up_when_its_schedule_is_used_up_and_never_before(
    answers: list[tuple[Kind, bool, float, timedelta]], name: str
) -> None:
    section, one, now = webhook(retry=name), FRESH, NOW
    for kind, is_spared, dice, pause in answers:
        until = now + pause if kind is Kind.PAUSED else None
        found = judged(one, kind, until=until, section=section, now=now, dice=dice, is_spared=is_spared)
        before, one = one, found.delivery
        assert one.burnt - before.burnt in {0, 1}
        assert one.attempts - before.attempts == (kind is not Kind.NOT_SENT)
        if found.decision is Decision.EXHAUSTED:
            assert one.burnt == len(section.retry) + 1
            return
        assert found.decision is Decision.RETRY
        assert one.burnt <= len(section.retry)
        if one.burnt > before.burnt:
            wait = section.retry[before.burnt]
            earliest = max(now + wait, until or now)
            assert earliest <= one.due_at <= max(now + wait * 1.2, until or now)
        else:
            assert one.due_at == (now if is_spared else until or now) or (kind, one.due_at) == (Kind.PAUSED, until)
        now = one.due_at


@given(dice=st.floats(0, 1, exclude_max=True), burnt=st.integers(0, 2))
def test_no_wait_is_longer_than_the_longest(dice: float, burnt: int) -> None:
    section = webhook(retry=["1s", "1m", "1h"])
    found = judged(replace(FRESH, burnt=burnt), Kind.FAILED, section=section, dice=dice).delivery
    assert span("0s") < found.due_at - NOW <= longest_waits(section)[found.burnt]
    assert longest_waits(section) == [span(wait) for wait in ("0s", "1200ms", "72s", "72m")]
