"""How much is sent to a webhook at once, and which of what waits: slots, rate, our own side (SPEC, section 7.3)."""

from datetime import datetime, timedelta
from math import inf

import pytest
from make import START, after
from outlets import Sent

from watcher.core.webhook import Kind

# --- slots ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("concurrency", "first", "again", "begun"),
    [
        pytest.param(16, True, True, {"f": 12, "a": 4}, id="a-quarter-is-kept-for-retries"),
        pytest.param(16, True, False, {"f": 16, "a": 0}, id="which-nobody-needs-where-there-are-none"),
        pytest.param(16, False, True, {"f": 0, "a": 12}, id="a-quarter-is-kept-for-what-is-new"),
        pytest.param(2, True, True, {"f": 1, "a": 1}, id="two-slots"),
        pytest.param(2, False, True, {"f": 0, "a": 1}, id="one-of-two-slots"),
        pytest.param(1, True, False, {"f": 1, "a": 0}, id="one-slot"),
        pytest.param(1, False, True, {"f": 0, "a": 1}, id="one-slot-again"),
        pytest.param(16, False, False, {"f": 0, "a": 0}, id="nothing-waits"),
    ],
)
def test_each_kind_has_slots_that_are_kept_for_it(
    *, concurrency: int, first: bool, again: bool, begun: dict[str, int]
) -> None:
    found = Sent(concurrency=concurrency).slots(first=first, again=again)
    assert {kind: found.count(kind) for kind in "fa"} == begun


def test_new_ones_go_before_those_that_go_again() -> None:
    assert Sent().slots().startswith("fff")


def test_new_ones_find_their_slots_however_many_go_again() -> None:
    ops = Sent()
    ops.slots(first=False)
    assert ops.slots() == "ffff"


def test_those_that_go_again_get_the_next_slot_however_many_new_ones_are_in_flight() -> None:
    ops = Sent()
    ops.slots(again=False)
    ops.back("x", Kind.DELIVERED)
    assert ops.slots() == "a"


def test_with_one_slot_they_take_turns() -> None:
    ops = Sent(concurrency=1)
    begun = ""
    for _ in range(12):
        begun += ops.slots()
        ops.back("x", Kind.DELIVERED, again=begun[-1] == "a")
    assert begun == "fffafffafffa"


def test_asking_often_changes_nobody_s_turn() -> None:
    ops = Sent(concurrency=1)
    assert {ops.outlet.choose(first=True, again=True) for _ in range(9)} == {False}


# --- concurrency ----------------------------------------------------------------------------------------------


def test_too_much_to_do_halves_the_concurrency_down_to_one() -> None:
    ops, found = Sent(), []
    for second in range(6):
        ops.post("a", Kind.OVERLOADED, at=f"{second + 1}s", began=f"{second}.5s")
        ops.post("a", Kind.DELIVERED, at=f"{second + 1}s") if second == 2 else None
        found.append(ops.room() if not ops.endpoint.is_open else 1)
    assert found == [8, 4, 2, 1, 1, 1]


def test_it_is_halved_once_for_all_that_were_in_flight() -> None:
    ops = Sent()
    for watch in "abcd":
        ops.outlet.begin(watch, again=False)
    for second, watch in enumerate("abcd", 1):
        ops.back(watch, Kind.OVERLOADED, at=f"{second}s", began="0s")
    assert ops.room() == 8
    ops.post("a", Kind.OVERLOADED, at="5s", began="2s")
    assert ops.endpoint.is_open


@pytest.mark.parametrize("kind", [Kind.FAILED, Kind.UNREACHABLE, Kind.REFUSED, Kind.PAUSED, Kind.NOT_SENT])
def test_nothing_else_halves_it(kind: Kind) -> None:
    ops = Sent()
    ops.post("a", kind)
    ops.post("a", Kind.DELIVERED, at="1m")
    assert ops.room() == 16


def test_success_gives_it_back_and_no_more_than_the_section_says() -> None:
    ops, found = Sent(concurrency=4), []
    for second in (1, 2):
        ops.post("a", Kind.OVERLOADED, at=f"{second}s")
    for _ in range(20):
        found.append(ops.room())
        ops.post("a", Kind.DELIVERED, at="3s")
    assert found == [1, 2, 2, 2, *[3] * 3, *[4] * 13]


# --- rate -----------------------------------------------------------------------------------------------------


def test_without_a_rate_there_is_always_one() -> None:
    assert {Sent().outlet.take(now=START) for _ in range(99)} == {0.0}


def test_a_rate_holds_also_after_a_rest() -> None:
    ops = Sent(rate=2)
    taken = [ops.outlet.take(now=after(at)) for at in ("0s", "0s", "0.25s", "0.5s", "0.5s", "1h", "1h")]
    assert taken == pytest.approx([0, 0.5, 0.25, 0, 0.5, 0, 0.5], abs=1e-6)


def test_of_a_rate_that_is_shared_each_uses_a_part_and_who_has_none_goes_on_as_before() -> None:
    ops = Sent(rate=2)
    ops.outlet.divide(0.25, now=START)
    ops.outlet.divide(0, now=START)
    taken = [ops.outlet.take(now=after(at)) for at in ("0s", "1s", "2s", "2s")]
    assert taken == pytest.approx([0, 1, 0, 2], abs=1e-6)


def test_who_had_no_part_of_a_rate_begins_with_nothing_saved_up() -> None:
    ops = Sent(rate=4)
    ops.outlet.divide(0, now=START)
    ops.outlet.divide(0.5, now=after("1h"))
    assert ops.outlet.take(now=after("1h")) == pytest.approx(0.5)


def test_where_there_is_no_rate_there_is_none_to_share() -> None:
    ops = Sent()
    ops.outlet.divide(0.25, now=START)
    assert {ops.outlet.take(now=START) for _ in range(99)} == {0.0}


# --- our own side ---------------------------------------------------------------------------------------------


def test_our_own_side_rests_a_second_and_doubling_up_to_30_with_one_post_at_a_time() -> None:
    ops, now, found = Sent(), START, []
    for _ in range(7):
        ops.post("a", Kind.NOT_SENT, at=seconds(now))
        wait = ops.outlet.wait(now=now)
        found.append(wait)
        now += timedelta(seconds=wait)
    assert found == [1, 2, 4, 8, 16, 30, 30]
    ops.outlet.begin("a", again=False)
    assert ops.outlet.wait(now=now) == inf
    ops.back("a", Kind.DELIVERED, at=seconds(now))
    assert (ops.outlet.wait(now=now), ops.room()) == (0, 16)


def seconds(now: datetime) -> str:
    return f"{int((now - START).total_seconds())}s"


def test_many_that_our_own_side_did_not_send_at_once_are_one_rest() -> None:
    ops = Sent()
    for watch in "abcdefgh":
        ops.outlet.begin(watch, again=False)
    for watch in "abcdefgh":
        ops.back(watch, Kind.NOT_SENT, at="0.5s", began="0s")
    assert ops.wait("0.5s") == 1


def test_any_answer_shows_that_our_own_side_is_well() -> None:
    ops = Sent()
    ops.outlet.begin("a", again=False)
    ops.post("b", Kind.NOT_SENT, at="1s")
    ops.back("a", Kind.FAILED, at="1.5s", began="0s")
    assert ops.wait("1.5s") == 0


def test_a_rest_of_our_own_side_says_nothing_of_the_webhook() -> None:
    ops = Sent()
    before = ops.endpoint
    ops.fail(*"abcdefgh", kind=Kind.NOT_SENT)
    assert ops.endpoint == before
    assert ops.wait() == 1
