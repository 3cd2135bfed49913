"""When an account may be asked next: its rate, its pauses, and its health together."""

from datetime import timedelta

import pytest

from watcher.core.gate import LONGEST_PAUSE, PAUSE, Gate
from watcher.core.model import Reason
from watcher.core.outcome import Broken, Throttled
from watcher.core.wire import Fault

REFUSED = Broken(Reason.UNREACHABLE, fault=Fault.CONNECTION)


def gate(rate: float = 5.0, burst: int = 5, reason: Reason | None = None, paused: float = 0.0) -> Gate:
    return Gate(rate=rate, burst=burst, now=0.0, reason=reason, paused=paused)


def taken(gate: Gate, *, start: float, end: float) -> list[float]:
    """Return when polls got through, each tried again when it was told to."""
    now, moments = start, []
    while now < end:
        wait = gate.take(now=now)
        if wait > 0:
            now += wait
        else:
            moments.append(now)
    return moments


def most_in_a_second(moments: list[float]) -> int:
    return max(sum(at <= other < at + 1 for other in moments) for at in moments)


def test_the_rate_and_the_burst_hold() -> None:
    moments = taken(gate(), start=0.0, end=60.0)
    assert 295 <= len(moments) <= 301
    assert most_in_a_second(moments) <= 10


def test_nothing_is_sent_before_retry_after_and_then_at_half_the_rate_and_more_and_more() -> None:
    throttled = gate()
    taken(throttled, start=0.0, end=10.0)
    assert throttled.note("w", Throttled(429, timedelta(seconds=20)), watches=9, asked_at=10.0, now=10.0) == 20
    moments = taken(throttled, start=10.0, end=400.0)
    assert moments[0] >= 30.0
    assert most_in_a_second([at for at in moments if at < 40]) <= 4
    assert 24 <= len([at for at in moments if 30 <= at < 40]) <= 28
    assert 49 <= len([at for at in moments if 380 <= at < 390]) <= 51


def test_it_is_one_pause_however_many_polls_in_flight_are_told_of_it() -> None:
    throttled = gate()
    assert throttled.note("a", Throttled(429, timedelta(seconds=20)), watches=9, asked_at=0.0, now=0.0) == 20
    assert throttled.note("b", Throttled(429, timedelta(seconds=20)), watches=9, asked_at=0.0, now=0.5) is None
    moments = taken(throttled, start=0.5, end=40.0)
    assert moments[0] >= 20.5
    assert len([at for at in moments if at < 30.5]) >= 24  # halved once, not twice


def test_the_rate_is_halved_once_for_all_that_was_in_flight_also_when_the_pause_is_shorter_than_an_answer() -> None:
    throttled, told = gate(), Throttled(429, timedelta(0))
    notes = [throttled.note("w", told, watches=9, asked_at=0.0, now=1.0 + at / 10) for at in range(16)]
    assert notes == [0, *[None] * 15]
    assert 14 <= len(taken(throttled, start=3.0, end=8.0)) <= 16
    assert throttled.note("w", told, watches=9, asked_at=7.0, now=8.0) == 0


def test_an_answer_that_was_on_its_way_may_make_the_pause_longer() -> None:
    throttled = gate()
    throttled.note("a", Throttled(429, timedelta(seconds=5)), watches=9, asked_at=0.0, now=1.0)
    assert throttled.note("b", Throttled(429, timedelta(seconds=50)), watches=9, asked_at=0.0, now=2.0) is None
    assert taken(throttled, start=2.0, end=60.0)[0] >= 52.0


def test_a_provider_that_does_not_say_for_how_long_is_left_alone_for_a_while() -> None:
    throttled = gate()
    assert throttled.note("w", Throttled(429), watches=9, asked_at=0.0, now=0.0) == PAUSE
    assert taken(throttled, start=0.0, end=PAUSE + 5)[0] >= PAUSE


def test_a_provider_that_is_down_is_probed_by_one_at_a_time() -> None:
    down = gate()
    for name in "abcde":
        assert down.note(name, REFUSED, watches=9, asked_at=1.0, now=1.0) is None
    assert down.reason is Reason.UNREACHABLE
    (first, *others) = taken(down, start=1.0, end=100.0)
    assert first == 11.0
    assert not others
    down.note("f", None, watches=9, asked_at=12.0, now=12.0)
    assert down.take(now=12.0) == 0


def test_what_was_down_before_a_restart_is_probed_once_before_all_go() -> None:
    assert taken(gate(reason=Reason.DENIED), start=0.0, end=100.0) == [0.0]


def test_what_was_in_flight_as_it_went_down_does_not_bring_it_up() -> None:
    down = gate()
    for name in "abcde":
        down.note(name, REFUSED, watches=9, asked_at=1.0, now=1.0)
    down.note("f", None, watches=9, asked_at=1.0, now=2.0)
    assert down.reason is Reason.UNREACHABLE


def test_a_pause_goes_on_after_a_restart_and_then_it_is_slow_and_nothing_has_gathered() -> None:
    told = gate()
    told.note("w", Throttled(429, timedelta(seconds=20)), watches=9, asked_at=0.0, now=0.0)
    restarted = gate(paused=20.0)
    assert [restarted.paused(now=now) for now in (0.0, 5.0, 20.0, 60.0)] == [20.0, 15.0, 0.0, 0.0]
    moments = taken(restarted, start=0.0, end=400.0)
    assert moments[0] >= 20.0
    assert moments == taken(told, start=0.0, end=400.0)


@pytest.mark.parametrize(("left", "paused"), [(-5.0, 0.0), (0.0, 0.0), (9e9, LONGEST_PAUSE)])
def test_a_clock_that_was_moved_makes_no_endless_pause(left: float, paused: float) -> None:
    assert gate(paused=left).paused(now=0.0) == paused


def test_a_low_rate_with_a_large_burst_slows_down_by_half_and_no_more() -> None:
    slow = gate(rate=0.1, burst=20)
    slow.note("w", Throttled(429, timedelta(seconds=1)), watches=9, asked_at=0.0, now=0.0)
    assert taken(slow, start=0.0, end=30.0)[0] <= 21.0


def test_the_rate_never_falls_below_its_floor() -> None:
    slow = gate(rate=64.0, burst=1)
    for now in range(100):
        slow.note("w", Throttled(429, timedelta(0)), watches=9, asked_at=float(now) / 100, now=float(now) / 100)
    assert taken(slow, start=1.0, end=4.0)


def test_how_long_to_wait_can_be_asked_without_taking_a_turn() -> None:
    asked = gate(rate=1.0, burst=1)
    assert [asked.wait(now=0.0), asked.take(now=0.0), asked.wait(now=0.25), asked.wait(now=1.0)] == [
        0.0,
        0.0,
        0.75,
        0.0,
    ]
    assert gate(paused=9.0).wait(now=2.0) == pytest.approx(7.4)  # and then at half the rate
    assert gate(reason=Reason.DENIED).wait(now=0.0) == 0.0


def test_an_account_is_closed_while_it_is_paused_or_down_and_not_while_its_rate_is_used_up() -> None:
    used_up = gate(rate=1.0, burst=1)
    used_up.take(now=0.0)
    assert not used_up.is_closed(now=0.0)
    assert [gate(paused=9.0).is_closed(now=now) for now in (8.9, 9.0)] == [True, False]
    assert gate(reason=Reason.DENIED).is_closed(now=99.0)


def test_what_others_found_out_about_the_account_is_believed() -> None:
    told, reasons = gate(), []
    for reason in (Reason.DENIED, None):
        told.believe(reason)
        reasons.append(told.reason)
    assert reasons == [Reason.DENIED, None]
    told.pause(20.0, now=1.0)
    told.pause(5.0, now=2.0)
    assert told.paused(now=1.0) == 20.0
    told.pause(9e9, now=2.0)
    assert told.paused(now=2.0) == LONGEST_PAUSE


def test_with_half_of_the_account_it_goes_on_at_half_of_the_rate() -> None:
    part = gate(rate=10.0, burst=10)
    taken(part, start=0.0, end=10.0)
    part.divide(rate=5.0, burst=5, now=10.0)
    assert 49 <= len(taken(part, start=10.0, end=20.0)) <= 51


def test_who_had_no_part_of_the_account_begins_with_nothing_saved_up() -> None:
    part = gate(rate=10.0, burst=10)
    part.empty(now=100.0)
    part.divide(rate=5.0, burst=5, now=100.0)
    assert part.take(now=100.0) == pytest.approx(0.2)


@pytest.mark.parametrize("workers", [2, 4, 256])
def test_a_pause_is_no_longer_for_being_shared_with_more_workers_meanwhile(workers: int) -> None:
    told, rate = gate(), 5.0 / workers
    told.take(now=0.0)
    told.note("w", Throttled(429, timedelta(hours=1)), watches=9, asked_at=0.0, now=0.0)
    told.divide(rate=rate, burst=1, now=1.0)
    assert told.paused(now=1.0) == 3599.0
    assert told.wait(now=1.0) == pytest.approx(3599.0 + 2 / rate)  # at half the rate
    assert taken(told, start=1.0, end=5000.0)[0] >= 3600.0
