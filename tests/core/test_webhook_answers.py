"""What an answer means: the decision table of SPEC, section 7.2, enumerated whole."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from make import START, span, webhook

from watcher.core.endpoint import Disabled
from watcher.core.webhook import Kind, Meaning, meaning, plain, retry_after
from watcher.core.wire import Fault, NoAnswer, Response

DAY = span("24h")
RETRY_AFTER = {  # what it says, and how long that is from START, 2026-11-23T07:30:00.123456Z
    "": None,
    "120": span("120s"),
    "0": span("0s"),
    "86401": DAY,
    "9" * 400: DAY,
    "Mon, 23 Nov 2026 07:32:00 GMT": span("119.876544s"),
    "Monday, 23-Nov-26 07:32:00 GMT": span("119.876544s"),
    "Mon Nov 23 07:32:00 2026": span("119.876544s"),
    "Wed, 25 Nov 2026 07:30:00 GMT": DAY,
    "Fri, 31 Dec 9999 23:59:59 GMT": DAY,
    "Mon, 23 Nov 2026 07:30:00 GMT": None,
    "Mon Nov 23 07:29:59 2026": None,
    "Thu, 01 Jan 1970 00:00:00 GMT": None,
    "Fri, 31 Dec 10000 23:59:59 GMT": None,
    "Mon, 23 Nov 2026 07:32:00 +9999": None,
    "-1": None,
    "+1": None,
    "1.5": None,
    "1e99": None,
    "1, 2": None,
    "٣": None,
    "soon": None,
    "\0": None,
}
WISHES = {
    "": None,
    "abort-message": "abort",
    " Abort-Message ": "abort",
    "ABORT-MESSAGE": "abort",
    "disable": "disable",
    "\tDISABLE": "disable",
    "disabled": None,
    "abort": None,
    "abort-message, disable": None,
    "ok": None,
}
# Of each status alone; all others are failures of the last line.
ALONE = {
    **dict.fromkeys(range(200, 300), Meaning(Kind.DELIVERED)),
    **dict.fromkeys(range(400, 500), Meaning(Kind.REFUSED)),
    **dict.fromkeys((502, 503, 504), Meaning(Kind.OVERLOADED)),
    410: Meaning(Kind.DISABLED, disabled=Disabled.GONE),
    413: Meaning(Kind.TOO_LARGE),
    429: Meaning(Kind.PAUSED, until=START + span("30s")),
}
UNMOVED = {*range(200, 300), 410, 413}  # whatever Retry-After says


def expected(status: int, *, wait: timedelta | None, wish: str | None) -> Meaning:
    """SPEC's table, read aloud."""
    by_wish = {"abort": Meaning(Kind.ABORTED), "disable": Meaning(Kind.DISABLED, disabled=Disabled.ASKED)}
    if wish is not None:
        return by_wish[wish]
    if wait is not None and status not in UNMOVED:
        return Meaning(Kind.PAUSED, until=START + max(wait, span("1s")))
    return ALONE.get(status, Meaning(Kind.FAILED))


def answer(status: int, **headers: str) -> Response:
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items() if value}, b"", START)


def means(response: Response | NoAnswer, **section: object) -> Meaning:
    return meaning(response, webhook=webhook(**section), now=START)


def table() -> Iterator[tuple[int, str, str]]:
    return product(range(100, 600), RETRY_AFTER, WISHES)


def test_every_answer_there_can_be_has_the_one_meaning_of_the_table() -> None:
    section, wrong = webhook(), []
    for status, told, wish in table():
        found = meaning(answer(status, retry_after=told, webhook_delivery=wish), webhook=section, now=START)
        if found != expected(status, wait=RETRY_AFTER[told], wish=WISHES[wish]):
            wrong.append((status, told, wish, found))
    assert wrong == []


def test_why_there_is_no_answer_says_whose_fault_it_is() -> None:
    assert {fault: means(NoAnswer(fault, "")) for fault in Fault} == {
        Fault.TIMEOUT: Meaning(Kind.OVERLOADED),
        Fault.DNS: Meaning(Kind.UNREACHABLE),
        Fault.CONNECTION: Meaning(Kind.UNREACHABLE),
        Fault.TLS: Meaning(Kind.UNREACHABLE),
        Fault.TOO_LARGE: Meaning(Kind.FAILED),
        Fault.GARBAGE: Meaning(Kind.FAILED),
        Fault.BLOCKED: Meaning(Kind.FAILED),
        Fault.LOCAL: Meaning(Kind.NOT_SENT),
    }


# --- final statuses -------------------------------------------------------------------------------------------


def test_a_final_status_is_not_tried_again_whatever_it_means_else() -> None:
    final = [status for status in range(300, 600) if status % 3]
    section = webhook(final_statuses=final)
    for status, told in product(range(100, 600), RETRY_AFTER):
        found = meaning(answer(status, retry_after=told), webhook=section, now=START)
        if status in final:
            assert found == Meaning(Kind.ABORTED)
        else:
            assert found == expected(status, wait=RETRY_AFTER[told], wish=None)


def test_a_webhook_that_wants_no_more_is_heard_before_its_final_statuses() -> None:
    told = answer(410, webhook_delivery="disable")
    assert means(told, final_statuses=[410]) == Meaning(Kind.DISABLED, disabled=Disabled.ASKED)


# --- Retry-After ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", RETRY_AFTER)
def test_retry_after_is_seconds_or_one_of_three_dates_and_at_most_a_day(written: str) -> None:
    assert retry_after(written, now=START) == RETRY_AFTER[written]
    assert retry_after(f" {written} ", now=START) == RETRY_AFTER[written]


def test_a_date_that_is_now_is_no_wait() -> None:
    assert retry_after("Mon, 23 Nov 2026 07:30:00 GMT", now=START.replace(microsecond=0)) is None


DATES = st.builds(
    "{}, {:02} {} {} {:02}:{:02}:{:02} {}".format,
    st.sampled_from(["Mon", "Monday", "", "X"]),
    st.integers(-1, 40),
    st.sampled_from(["Nov", "Feb", "13", ""]),
    st.integers(0, 99999),
    *[st.integers(-1, 99)] * 3,
    st.sampled_from(["GMT", "+0000", "-2359", "+2400", "-9999", "+99999999999", ""]),
)


@given(st.text() | DATES | st.text("0123456789 :-,+.GMTNov", max_size=40))
@example("Mon, 23 Nov 2026 07:32:00")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
def test_whatever_retry_after_says_is_a_wait_of_at_most_a_day_or_nothing(written: str) -> None:
    wait = retry_after(written, now=START)
    assert wait is None or timedelta(0) <= wait <= DAY


@pytest.mark.parametrize(
    ("date", "wait"),
    [
        pytest.param("Mon, 23 Nov 2026 08:30:00 GMT", "120s", id="an-hour-fast"),
        pytest.param("garbage", "3719.876544s", id="unknown"),
    ],
)
def test_a_date_counts_on_the_clock_of_whoever_wrote_it(date: str, wait: str) -> None:
    told = answer(503, retry_after="Mon, 23 Nov 2026 08:32:00 GMT", date=date)
    assert means(told) == Meaning(Kind.PAUSED, until=START + span(wait))


# --- a status alone -------------------------------------------------------------------------------------------


def test_a_status_means_by_itself_one_of_four() -> None:
    found = {kind: [status for status in range(100, 600) if plain(status) is kind] for kind in Kind}
    assert {kind: statuses for kind, statuses in found.items() if statuses} == {
        Kind.DELIVERED: [*range(200, 300)],
        Kind.REFUSED: [*range(400, 500)],
        Kind.OVERLOADED: [502, 503, 504],
        Kind.FAILED: [*range(100, 200), *range(300, 400), 500, 501, *range(505, 600)],
    }
