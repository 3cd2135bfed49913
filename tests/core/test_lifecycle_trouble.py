"""What polls that were not *seen* do to a watch: when it is asked again, when trouble is told. SPEC, 4 to 6."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from make import DONE, MIDDLE, SEEN_RUNNING, SNAPSHOT, START, after, span, terms, told, types, watch

from watcher.core.lifecycle import advance
from watcher.core.model import Reason, Step, Trouble, Watch
from watcher.core.outcome import Broken, Denied, Final, Missing, Refused, Seen, Throttled, Unseen

DOWN = Broken(Reason.SERVER_ERROR, 502)


def poll(before: Watch, outcome: Final, *, at: datetime = START, mode: str = "backoff") -> Step:
    return advance(before, outcome, now=at, terms=terms(mode=mode), dice=MIDDLE)


def polls(before: Watch, *outcomes: tuple[str, Final]) -> list[Step]:
    """Poll at these moments, one after the other."""
    steps: list[Step] = []
    for moment, outcome in outcomes:
        steps.append(poll(steps[-1].watch if steps else before, outcome, at=after(moment)))
    return steps


@pytest.mark.parametrize(
    ("outcome", "wait"),
    [
        pytest.param(DOWN, "2s", id="broken"),
        pytest.param(Throttled(429), "2s", id="throttled"),
        pytest.param(Throttled(429, span("90s")), "90s", id="throttled-for-so-long"),
        pytest.param(Throttled(429, span("1s")), "2s", id="throttled-for-less-than-min"),
        pytest.param(Throttled(503, span("4d")), "4d", id="throttled-over-the-deadline"),
        pytest.param(Missing(), "2s", id="missing"),
        pytest.param(Denied(403), "5m", id="denied"),
        pytest.param(Refused(302), "5m", id="redirected"),
    ],
)
@pytest.mark.parametrize("mode", ["fixed", "backoff"])
def test_when_a_watch_that_was_not_seen_is_asked_again(mode: str, outcome: Unseen, wait: str) -> None:
    assert poll(watch(SNAPSHOT), outcome, mode=mode).wait == span(wait)


def test_broken_backs_off_per_watch_and_not_over_the_deadline() -> None:
    steps = polls(watch(deadline=span("1m")), ("0s", DOWN), ("2s", DOWN), ("6s", DOWN), ("14s", DOWN), ("50s", DOWN))
    assert [step.wait for step in steps] == [span(wait) for wait in ("2s", "4s", "8s", "16s", "10s")]


@pytest.mark.parametrize(
    ("outcome", "reason", "http_status"),
    [
        (Missing(), "missing", 404),
        (Throttled(429), "throttled", 429),
        (Broken(Reason.UNREACHABLE), "unreachable", None),
        (Broken(Reason.SERVER_ERROR, 500), "server_error", 500),
        (Broken(Reason.MALFORMED, 200), "malformed", 200),
        (Denied(401), "denied", 401),
        (Refused(302), "refused", 302),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_spell_of_trouble_begins_with_the_first_poll_that_was_not_seen(
    outcome: Unseen, reason: str, http_status: int | None
) -> None:
    trouble = poll(watch(SNAPSHOT), outcome).watch.trouble
    assert trouble is not None
    assert (trouble.reason, trouble.since, trouble.http_status, trouble.polls) == (reason, START, http_status, 1)


def test_trouble_that_is_not_told_is_not_written_and_leaves_the_status_alone() -> None:
    before = watch(SNAPSHOT)
    assert poll(before, DOWN) == Step(
        replace(before, trouble=Trouble(Reason.SERVER_ERROR, START, 502)), before=1, wait=span("2s")
    )


@pytest.mark.parametrize("outcome", [Denied(403), Denied(401, renewable=True), Refused(302), Refused(410)])
def test_denied_and_refused_are_told_at_once(outcome: Denied | Refused) -> None:
    step = poll(watch(SNAPSHOT), outcome)
    assert (types(step), step.writes) == (["watch.trouble"], True)


def test_trouble_is_told_with_every_key_that_an_event_has() -> None:
    assert told(poll(watch(SNAPSHOT), Refused(302))) == [
        {
            "watch": "order-42",
            "provider": "d7",
            "params": {"request_id": "9d05"},
            "labels": {"order": "42"},
            "sequence": 2,
            "reason": "refused",
            "since": "2026-11-23T07:30:00.123456Z",
            "http_status": 302,
        }
    ]


@pytest.mark.parametrize(
    ("moments", "is_told"),
    [
        pytest.param(["0s", "5m"], False, id="two-polls-are-too-few"),
        pytest.param(["0s", "1m", "4.9m"], False, id="three-polls-too-soon"),
        pytest.param(["0s", "1m", "5m"], True, id="three-polls-in-five-minutes"),
        pytest.param(["0s", "1m", "2m", "5m"], True, id="four-polls-in-five-minutes"),
    ],
)
def test_trouble_is_told_after_three_polls_and_trouble_after(moments: list[str], *, is_told: bool) -> None:
    steps = polls(watch(SNAPSHOT), *((moment, DOWN) for moment in moments))
    assert [types(step) for step in steps] == [[]] * (len(moments) - 1) + [["watch.trouble"] if is_told else []]


def test_a_poll_that_was_seen_ends_a_spell_that_was_never_told_in_silence() -> None:
    steps = polls(watch(SNAPSHOT), ("0s", DOWN), ("1m", DOWN), ("2m", SEEN_RUNNING), ("6m", DOWN))
    assert [types(step) for step in steps] == [[], [], [], []]
    assert (steps[2].watch, steps[2].writes) == (watch(SNAPSHOT), False)
    assert steps[3].watch.trouble == Trouble(Reason.SERVER_ERROR, after("6m"), 502)


def test_trouble_is_told_once_per_spell_and_so_is_recovery() -> None:
    steps = polls(
        watch(SNAPSHOT),
        ("0s", Refused(302)),
        ("5m", Denied(403)),
        ("10m", DOWN),
        ("15m", SEEN_RUNNING),
        ("16m", SEEN_RUNNING),
        ("17m", Refused(410)),
    )
    assert [types(step) for step in steps] == [["watch.trouble"], [], [], ["watch.recovered"], [], ["watch.trouble"]]
    assert [step.writes for step in steps] == [True, False, False, True, False, True]
    assert [step.watch.sequence for step in steps] == [2, 2, 2, 3, 3, 4]


def test_recovery_names_the_trouble_as_it_was_told() -> None:
    steps = polls(watch(SNAPSHOT), ("0s", Refused(302)), ("5m", Denied(403)), ("10m", SEEN_RUNNING))
    data = told(steps[2])[0]
    assert (data["reason"], data["since"], data["http_status"]) == ("refused", "2026-11-23T07:30:00.123456Z", 302)


def test_trouble_of_several_kinds_is_told_since_the_first_with_the_reason_of_the_last() -> None:
    steps = polls(watch(SNAPSHOT), ("0s", Missing()), ("1m", DOWN), ("6m", Broken(Reason.UNREACHABLE)))
    data = told(steps[2])[0]
    assert (data["reason"], data["since"], data["http_status"]) == ("unreachable", "2026-11-23T07:30:00.123456Z", None)


def test_a_throttled_provider_is_no_trouble_of_its_watches() -> None:
    steps = polls(watch(SNAPSHOT), *((f"{minute}m", Throttled(429)) for minute in range(30)))
    assert [types(step) for step in steps] == [[]] * 30


def test_polls_that_were_throttled_count_once_another_answer_is_not_seen_either() -> None:
    steps = polls(watch(SNAPSHOT), ("0s", Throttled(429)), ("5m", Throttled(429)), ("6m", DOWN))
    assert [types(step) for step in steps] == [[], [], ["watch.trouble"]]


# --- a clock that is put back ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(SEEN_RUNNING, id="after-a-change"),
        pytest.param(Refused(302), id="after-trouble"),
        pytest.param(DOWN, id="within-a-spell"),
    ],
)
def test_what_a_watch_tells_never_goes_back_with_the_clock(first: Final) -> None:
    steps = polls(watch(), ("1h", first), ("0s", Refused(302)), ("0s", SEEN_RUNNING), ("0s", Refused(410)))
    moments = [event.at for step in steps for event in step.events]
    assert moments == [after("1h")] * len(moments)
    assert len(moments) >= 4


def test_what_follows_a_recovery_is_told_no_earlier() -> None:
    steps = polls(watch(SNAPSHOT), ("0s", Refused(302)), ("1h", SEEN_RUNNING), ("5m", Seen(DONE)))
    assert [event.at for step in steps for event in step.events] == [START, after("1h"), after("1h"), after("1h")]


def test_waits_are_as_long_as_ever_when_the_clock_is_put_back() -> None:
    steps = polls(watch(SNAPSHOT), ("1h", DOWN), ("0s", DOWN), ("0s", SEEN_RUNNING))
    assert all(timedelta(0) < (step.wait or timedelta(0)) <= span("5m") for step in steps)
