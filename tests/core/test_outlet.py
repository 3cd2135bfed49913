"""Whether anything is sent to a webhook: breaker, pause, being disabled (SPEC, sections 7.2 and 7.3)."""

from dataclasses import replace
from math import inf

import pytest
from make import START, after
from outlets import NEW, Sent

from watcher.core.endpoint import Disabled, Endpoint
from watcher.core.webhook import Kind


def opened() -> Sent:
    ops = Sent()
    ops.fail(*"abcde")
    assert ops.endpoint.is_open
    return ops


# --- the breaker ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("watches", "kind", "is_open"),
    [
        pytest.param("abcde", Kind.FAILED, True, id="five-failures-of-five-watches"),
        pytest.param("aaabc", Kind.FAILED, True, id="of-three-watches"),
        pytest.param("ababa", Kind.FAILED, False, id="of-two-watches"),
        pytest.param("aaaaaaaaaaaa", Kind.FAILED, False, id="one-poison-delivery"),
        pytest.param("abcd", Kind.FAILED, False, id="four-failures"),
        pytest.param("aaaaa", Kind.OVERLOADED, True, id="five-timeouts-of-one-watch"),
        pytest.param("aaaaa", Kind.UNREACHABLE, True, id="five-that-could-not-connect"),
        pytest.param("aaaa", Kind.OVERLOADED, False, id="four-timeouts"),
        pytest.param("abcdefgh", Kind.REFUSED, False, id="4xx-proves-life"),
        pytest.param("abcdefgh", Kind.TOO_LARGE, False, id="so-does-413"),
        pytest.param("abcdefgh", Kind.PAUSED, False, id="who-asks-for-a-rest-is-not-dead"),
        pytest.param("abcdefgh", Kind.NOT_SENT, False, id="our-own-side"),
        pytest.param("abcdefgh", Kind.ABORTED, False, id="given-up-by-4xx"),
    ],
)
def test_five_failures_in_a_row_open_the_breaker(watches: str, kind: Kind, *, is_open: bool) -> None:
    ops = Sent()
    ops.fail(*watches, kind=kind)
    assert ops.endpoint.is_open is is_open
    assert ops.endpoint.opened_at == (START if is_open else None)


@pytest.mark.parametrize(
    ("between", "is_open"),
    [
        (Kind.DELIVERED, False),
        (Kind.REFUSED, False),
        (Kind.TOO_LARGE, False),
        (Kind.PAUSED, False),
        (Kind.NOT_SENT, True),
        (Kind.FAILED, True),
    ],
)
def test_whatever_proves_life_ends_the_row(between: Kind, *, is_open: bool) -> None:
    ops = Sent()
    ops.fail(*"abcd")
    ops.post("x", between)
    ops.fail("e")
    assert ops.endpoint.is_open is is_open


def test_a_5xx_that_asks_for_a_rest_neither_counts_nor_ends_the_row() -> None:
    ops = Sent()
    ops.fail(*"abcd")
    ops.post("x", Kind.PAUSED, status=503)
    assert not ops.endpoint.is_open
    ops.fail("e")
    assert ops.endpoint.is_open


@pytest.mark.parametrize(("status", "is_open"), [(200, False), (404, False), (500, True), (302, True), (503, True)])
def test_of_what_is_given_up_the_status_says_whether_anybody_lives(status: int, *, is_open: bool) -> None:
    ops = Sent()
    for watch in "abcde":
        ops.post(watch, Kind.ABORTED, status=status)
    assert ops.endpoint.is_open is is_open
    assert (ops.endpoint.last_good is not None) == (status == 200)


def test_mixed_failures_of_two_watches_do_not_open_it_until_all_five_are_a_dead_webhook_s() -> None:
    ops = Sent()
    ops.fail("a", "b")
    ops.fail(*"aaaa", kind=Kind.UNREACHABLE)
    assert not ops.endpoint.is_open
    ops.fail("a", kind=Kind.OVERLOADED)
    assert ops.endpoint.is_open


def test_while_it_is_open_one_probe_is_sent_at_doubled_waits() -> None:
    ops = opened()
    at = 0
    found = []
    for watch in "vwxyz12":
        wait = ops.wait(f"{at}s")
        assert wait == int(wait)
        at += int(wait)
        found.append(int(wait))
        ops.outlet.begin(watch, again=True)
        assert ops.wait(f"{at}s") == inf
        ops.back(watch, Kind.FAILED, at=f"{at}s", again=True)
    assert found == [30, 60, 120, 240, 480, 600, 600]


def test_a_wait_for_a_probe_is_over_when_it_is_time() -> None:
    ops = opened()
    assert [ops.wait(at) for at in ("0s", "29s", "30s", "1h")] == [30, 1, 0, 0]


def test_each_probe_is_of_another_watch() -> None:
    ops = Sent()
    ops.outlet.begin("y", again=False)  # which is no probe yet
    ops.fail(*"abcde")
    assert not any(ops.outlet.is_probed(watch) for watch in "abcdexy")
    ops.post("x", Kind.FAILED, at="30s")
    assert (ops.outlet.is_probed("x"), ops.outlet.is_probed("y")) == (True, False)
    ops.post("y", Kind.DELIVERED, at="90s")
    assert not ops.outlet.is_probed("x")
    ops.fail(*"abcde", at="2h")
    assert not ops.outlet.is_probed("x")


@pytest.mark.parametrize("kind", [Kind.DELIVERED, Kind.REFUSED, Kind.TOO_LARGE, Kind.ABORTED])
def test_an_answer_of_2xx_or_4xx_closes_it(kind: Kind) -> None:
    ops = opened()
    ops.post("x", kind, at="30s")
    assert (ops.endpoint.is_open, ops.wait("30s")) == (False, 0)
    ops.fail(*"abcd", at="31s")
    assert not ops.endpoint.is_open


def test_a_late_2xx_of_a_post_that_was_in_flight_closes_it() -> None:
    ops = Sent()
    ops.outlet.begin("late", again=False)
    ops.fail(*"abcde", at="5s")
    assert ops.endpoint.is_open
    ops.back("late", Kind.DELIVERED, at="9s", began="0s")
    assert (ops.endpoint.is_open, ops.wait("9s")) == (False, 0)


@pytest.mark.parametrize("at", ["0s", "5s"])
def test_what_was_in_flight_as_it_opened_is_spared_and_moves_no_probe(at: str) -> None:
    ops = Sent()
    for watch in "abcdefgh":
        ops.outlet.begin(watch, again=False)
    for watch in "abcde":
        assert not ops.outlet.spares(START)
        ops.back(watch, Kind.FAILED, at=at, began="0s")
    before = ops.endpoint
    for watch in "fgh":
        assert ops.outlet.spares(START)
        ops.back(watch, Kind.FAILED, at=at, began="0s")
    assert ops.endpoint == before
    assert not ops.outlet.spares(after("35s"))


def test_a_probe_that_is_told_to_wait_by_a_5xx_is_a_failed_probe() -> None:
    ops = opened()
    ops.post("x", Kind.PAUSED, at="30s", status=503, until="31s")
    assert (ops.endpoint.is_open, ops.wait("30s")) == (True, 60)


def test_a_probe_that_is_told_to_wait_by_a_4xx_closes_it() -> None:
    ops = opened()
    ops.post("x", Kind.PAUSED, at="30s", until="45s")
    assert (ops.endpoint.is_open, ops.wait("30s")) == (False, 15)


def test_a_probe_that_our_own_side_did_not_send_says_nothing() -> None:
    ops = opened()
    before = ops.endpoint
    ops.post("x", Kind.NOT_SENT, at="30s")
    assert (ops.endpoint, ops.wait("30s")) == (before, 1)


def test_a_probe_that_came_to_nothing_may_be_sent_again() -> None:
    ops = opened()
    ops.outlet.begin("x", again=False)
    ops.outlet.abandon(again=False)
    assert ops.wait("30s") == 0


def test_an_open_breaker_stays_open_over_a_restart() -> None:
    ops = Sent(opened().endpoint)
    assert ops.wait() == 30
    ops.outlet.begin("x", again=False)
    assert ops.wait("30s") == inf


# --- pauses, and being disabled -------------------------------------------------------------------------------


def test_a_pause_is_one_however_many_are_told() -> None:
    ops = Sent()
    ops.post("a", Kind.PAUSED, at="1s", until="61s")
    for watch in "bcd":
        ops.post(watch, Kind.PAUSED, at="2s", began="0s", until="60s")
    assert (ops.endpoint.paused_at, ops.endpoint.paused_until) == (after("1s"), after("61s"))
    assert [ops.wait(at) for at in ("1s", "60s", "61s")] == [60, 1, 0]


def test_a_2xx_that_was_in_flight_ends_no_pause() -> None:
    ops = Sent()
    ops.post("a", Kind.PAUSED, at="1s", until="61s")
    ops.post("b", Kind.DELIVERED, at="2s", began="0s")
    assert ops.wait("2s") == 59


def test_a_webhook_that_only_ever_asks_for_a_rest_is_disabled_after_five_days() -> None:
    ops = Sent()
    for hours in range(0, 121, 24):
        ops.post("a", Kind.PAUSED, at=f"{hours}h", until=f"{hours + 24}h")
    assert ops.endpoint.disabled is Disabled.SILENT


def test_a_disabled_webhook_is_sent_nothing() -> None:
    ops = Sent()
    ops.post("a", Kind.DISABLED, at="1s")
    assert (ops.endpoint.disabled, ops.endpoint.disabled_at) == (Disabled.GONE, after("1s"))
    assert ops.wait("99d") == inf


def test_what_ends_one_callback_leaves_the_others_of_its_origin_alone() -> None:
    origin = Sent(Endpoint("https://example.com"))
    origin.fail(*"abcde")
    origin.post("x", Kind.DISABLED, at="30s")
    assert (origin.endpoint.disabled, origin.endpoint.is_open) == (None, False)
    origin.post("x", Kind.DISABLED, at="31s", status=204)
    assert origin.endpoint.last_good is not None


def test_a_command_disables_and_enables_a_webhook_at_once() -> None:
    ops = opened()
    ops.post("x", Kind.PAUSED, at="1s", status=503, until="24h")
    ops.outlet.switch(on=False, now=after("2s"))
    assert (ops.endpoint.disabled, ops.endpoint.disabled_at, ops.wait("2s")) == (Disabled.COMMAND, after("2s"), inf)
    ops.outlet.switch(on=True, now=after("3s"))
    assert (ops.endpoint, ops.wait("3s")) == (NEW, 0)
    ops.fail(*"abcd", at="4s")
    assert not ops.endpoint.is_open


def test_a_changed_section_enables_and_the_same_one_does_not() -> None:
    ops = opened()
    ops.post("x", Kind.DISABLED, at="1s")
    before = ops.endpoint
    ops.outlet.adopt("1")
    assert ops.endpoint == before
    ops.outlet.adopt("2")
    assert (ops.endpoint, ops.wait("1s")) == (replace(NEW, section="2"), 0)


def test_what_is_known_of_no_section_yet_is_kept_for_the_first_one() -> None:
    ops = Sent(Endpoint("ops", paused_at=START, paused_until=after("1h")))
    ops.outlet.adopt("1")
    assert ops.endpoint == Endpoint("ops", section="1", paused_at=START, paused_until=after("1h"))
