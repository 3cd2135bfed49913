from itertools import combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.limits import TokenBucket

RATES = st.sampled_from([0.1, 1 / 3, 1.0, 5.0, 7.3, 1000.0])
BURSTS = st.integers(1, 20)
STARTS = st.sampled_from([0.0, 1234.5, 1e6, 1e9])
GAPS = st.lists(st.floats(0, 20), max_size=40)


def test_after_a_start_there_is_one_token_whatever_the_burst() -> None:
    bucket = TokenBucket(rate=4, burst=5, now=100.0)
    assert bucket.take(now=100.0) == 0
    assert bucket.take(now=100.0) == 0.25


def test_after_a_rest_there_is_a_burst_and_no_more() -> None:
    bucket = TokenBucket(rate=4, burst=3, now=0.0)
    assert [bucket.take(now=1000.0) for _ in range(4)] == [0, 0, 0, 0.25]


def test_a_refusal_takes_nothing() -> None:
    bucket = TokenBucket(rate=4, burst=1, now=0.0)
    assert [bucket.take(now=now) for now in (0.0, 0.0, 0.125, 0.25)] == [0, 0.25, 0.125, 0]


def test_a_clock_that_goes_back_brings_no_tokens() -> None:
    bucket = TokenBucket(rate=1, burst=1, now=100.0)
    assert [bucket.take(now=now) for now in (100.0, 50.0, 100.5, 101.0)] == [0, 51.0, 0.5, 0]


@given(rate=RATES, burst=BURSTS, start=STARTS, gaps=GAPS)
def test_no_window_sees_more_than_burst_and_rate_times_its_length(
    rate: float, burst: int, start: float, gaps: list[float]
) -> None:
    bucket, now, admitted = TokenBucket(rate=rate, burst=burst, now=start), start, []
    for gap in gaps:
        now += gap / rate
        admitted += [now for _ in range(3) if bucket.take(now=now) == 0]
    for (first, begin), (last, end) in combinations_with_replacement(enumerate(admitted), 2):
        assert last - first + 1 <= burst + rate * (end - begin) + 1e-3


@given(rate=RATES, burst=BURSTS, start=STARTS, gaps=GAPS)
def test_who_waits_as_long_as_was_said_gets_a_token(rate: float, burst: int, start: float, gaps: list[float]) -> None:
    bucket, now = TokenBucket(rate=rate, burst=burst, now=start), start
    for gap in gaps:
        now += gap / rate
        waits = [bucket.take(now=now)]
        while waits[-1] > 0:
            now += waits[-1]
            waits.append(bucket.take(now=now))
        assert len(waits) <= 3  # the last of them only rounds


# --- shared with other workers --------------------------------------------------------------------------------


def test_who_gets_a_larger_part_gets_no_tokens_with_it() -> None:
    bucket = TokenBucket(rate=1, burst=1, now=0.0)
    assert bucket.take(now=0.0) == 0
    bucket.divide(rate=4, burst=4, now=0.5)
    assert [bucket.take(now=now) for now in (0.5, 0.625, 0.625)] == [0.125, 0, 0.25]


def test_who_gets_a_smaller_part_keeps_no_more_tokens_than_fit() -> None:
    bucket = TokenBucket(rate=4, burst=4, now=0.0)
    bucket.divide(rate=1, burst=1, now=100.0)
    assert [bucket.take(now=100.0) for _ in range(2)] == [0, 1]


def test_a_bucket_that_is_emptied_has_no_token_until_one_has_grown() -> None:
    bucket = TokenBucket(rate=4, burst=4, now=0.0)
    bucket.empty(now=100.0)
    assert [bucket.take(now=now) for now in (100.0, 100.25, 100.25)] == [0.25, 0, 0.25]


@given(rate=RATES, parts=st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.25, 0.5, 1.0])), max_size=30))
def test_two_that_divide_a_limit_never_pass_it(rate: float, parts: list[tuple[float, float]]) -> None:
    now, admitted = 0.0, []
    halves = [TokenBucket(rate=rate / 2, burst=1, now=now) for _ in range(2)]
    for gap, part in parts:
        now += gap / rate
        for half, mine in zip(halves, (part, 1 - part), strict=True):
            half.divide(rate=rate * max(mine, 1e-3), burst=1, now=now)
            admitted += [now for _ in range(3) if half.take(now=now) == 0]
    for (first, begin), (last, end) in combinations_with_replacement(enumerate(admitted), 2):
        assert last - first + 1 <= len(halves) + rate * (end - begin) + 1e-3


# --- a pause ----------------------------------------------------------------------------------------------------

PARTS = st.lists(st.tuples(st.floats(0, 200), st.sampled_from([1, 3, 64, 200, 256]), st.integers(1, 20)), max_size=10)


@given(rate=RATES, burst=BURSTS, parts=PARTS)
def test_a_pause_is_as_long_however_often_the_limit_is_divided_meanwhile_and_nothing_gathers_in_it(
    rate: float, burst: int, parts: list[tuple[float, int, int]]
) -> None:
    bucket, end, now = TokenBucket(rate=rate, burst=burst, now=0.0), 3600.0, 0.0
    bucket.slow_down(now=end)
    for gap, shards, part in parts:
        now += gap
        bucket.divide(rate=rate * shards / 256, burst=part, now=now)
    assert bucket.wait(now=now) == pytest.approx(end - now + 2 / bucket.rate)  # at half the rate
    assert bucket.rate_at(now=end) == pytest.approx(bucket.rate / 2)


@given(rate=RATES, before=PARTS, after=PARTS)
def test_two_that_divide_a_limit_never_pass_it_after_a_pause(
    rate: float, before: list[tuple[float, int, int]], after: list[tuple[float, int, int]]
) -> None:
    end, admitted = 3600.0, []
    halves = [TokenBucket(rate=rate / 2, burst=1, now=0.0) for _ in range(2)]
    for half in halves:
        half.slow_down(now=end)
    for start, parts in ((0.0, before), (end, after)):
        now = start
        for gap, shards, _ in parts:
            now += gap if start == 0.0 else gap / rate / 100
            for half, held in zip(halves, (shards, 256 - shards), strict=True):
                half.divide(rate=rate * max(held / 256, 1e-3), burst=1, now=now)
                admitted += [now for _ in range(3) if half.take(now=now) == 0]
    assert all(at >= end for at in admitted)
    for (first, begin), (last, finish) in combinations_with_replacement(enumerate(admitted), 2):
        assert last - first + 1 <= len(halves) + rate * (finish - begin) + 1e-3


def test_a_pause_that_is_told_of_in_a_longer_one_makes_it_neither_shorter_nor_longer() -> None:
    bucket = TokenBucket(rate=4, burst=4, now=0.0)
    bucket.slow_down(now=100.0)
    bucket.slow_down(now=10.0)
    bucket.divide(rate=1, burst=1, now=20.0)
    assert bucket.wait(now=20.0) == 80.0 + 4.0  # at a quarter of the rate
