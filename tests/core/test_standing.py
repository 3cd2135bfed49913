"""How webhooks stand, and the sentences about what is not well."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from make import START, after, webhook

from watcher.core import endpoint as states
from watcher.core.delivery import Attempt
from watcher.core.endpoint import Disabled, Endpoint
from watcher.core.model import Condition, Reason
from watcher.core.rows import Overview
from watcher.core.standing import Concern, Standing, concerns, standings

EMPTY = Overview({}, {}, {}, {}, {}, rejected=0, intents=0, down={}, owner=None)
NOW = after("1h")
PLAIN = Standing("ops", "https://example.com/hook", "ok", None, None, None, 0, None, 0, 0, None)


def of(*endpoints: Endpoint, overview: Overview = EMPTY) -> list[Standing]:
    return standings({"ops": webhook(url="https://example.com/hook?key=secret")}, endpoints, overview, now=NOW)


def said(*endpoints: Endpoint, overview: Overview = EMPTY) -> list[Concern]:
    return concerns(of(*endpoints, overview=overview), [], overview, providers={"d7"}, now=NOW)


def waiting(number: int, *, since: datetime = START, webhook: str = "ops") -> Overview:
    return replace(EMPTY, waiting={webhook: number}, oldest_waiting={webhook: since})


def test_a_webhook_that_nobody_ever_sent_to_is_well_and_its_query_is_not_shown() -> None:
    assert of() == [PLAIN]
    assert said() == []


@pytest.mark.parametrize(
    ("endpoint", "standing"),
    [
        (states.disabled(Endpoint("ops"), Disabled.GONE, now=START), ("disabled", Disabled.GONE, START, None)),
        (states.opened(Endpoint("ops"), now=START), ("breaker_open", None, START, after("30s"))),
        (states.paused(Endpoint("ops"), until=after("2h"), now=START), ("paused", None, START, after("2h"))),
        (states.paused(Endpoint("ops"), until=after("1m"), now=START), ("ok", None, None, None)),
        (states.failed(Endpoint("ops"), now=START), ("failing", None, START, None)),
    ],
)
def test_the_worst_that_holds_is_said(
    endpoint: Endpoint, standing: tuple[str, Disabled | None, datetime, datetime]
) -> None:
    (found,) = of(endpoint)
    assert (found.state, found.reason, found.since, found.until) == standing


def test_what_was_taken_last_and_what_waits_is_said() -> None:
    overview = replace(waiting(312), exhausted={"ops": 5}, ended={"ops": 2})
    assert of(Endpoint("ops", last_good=Attempt(1, START, 0.2, 204)), overview=overview) == [
        replace(PLAIN, waiting=312, oldest_waiting=START, exhausted=3, ended=2, last_good_at=START)
    ]


def test_what_waits_for_a_section_that_is_gone_or_for_an_origin_is_said_too() -> None:
    overview = replace(EMPTY, waiting={"callback:https://a.example:443": 1, "old": 2})
    assert [(each.name, each.state) for each in of(overview=overview)] == [
        ("callback:https://a.example:443", "ok"),
        ("old", "no_section"),
        ("ops", "ok"),
    ]


@pytest.mark.parametrize(
    ("endpoint", "overview", "concern"),
    [
        (
            states.opened(Endpoint("ops"), now=START),
            waiting(1312),
            Concern("webhook", "ops", "is paused by its breaker", START, "1,312 deliveries wait"),
        ),
        (
            states.disabled(Endpoint("ops"), Disabled.SILENT, now=START),
            waiting(1),
            Concern("webhook", "ops", "is disabled (no 2xx in 5 days)", START, "1 delivery waits"),
        ),
        (Endpoint("ops", disabled_at=START), EMPTY, None),
        (
            states.paused(Endpoint("ops"), until=after("2h"), now=START),
            EMPTY,
            Concern("webhook", "ops", "is paused, as it asked for", START),
        ),
        (states.paused(Endpoint("ops"), until=NOW + timedelta(seconds=9), now=NOW), EMPTY, None),
        (Endpoint("ops"), waiting(3), Concern("webhook", "ops", "is behind", START, "3 deliveries wait")),
        (Endpoint("ops"), waiting(3, since=NOW), None),
        (
            Endpoint("old"),
            waiting(3, since=NOW, webhook="old"),
            Concern("webhook", "old", "has no section any more", None, "3 deliveries wait"),
        ),
        (Endpoint("old"), replace(EMPTY, exhausted={"old": 2}, ended={"old": 2}), None),
        (
            Endpoint("ops"),
            replace(EMPTY, exhausted={"ops": 1}),
            Concern("webhook", "ops", "has 1 delivery that was given up"),
        ),
    ],
)
def test_what_is_wrong_with_a_webhook_is_one_sentence(
    endpoint: Endpoint, overview: Overview, concern: Concern | None
) -> None:
    assert said(endpoint, overview=overview) == ([concern] if concern else [])


def test_what_was_given_up_is_said_beside_what_is_wrong() -> None:
    overview = replace(waiting(3), exhausted={"ops": 2})
    assert [concern.text for concern in said(overview=overview)] == [
        "is behind",
        "has 2 deliveries that were given up",
    ]


def test_a_provider_that_watches_wait_for_is_down_or_paused_or_has_them_in_trouble_or_has_no_section() -> None:
    overview = replace(
        EMPTY,
        watches={
            ("d7", "pending"): 4,
            ("d7", "in_progress"): 2,
            ("kore", "pending"): 1,
            ("short", "pending"): 1,
            ("old", "pending"): 1,
            ("older", "failed"): 9,
        },
        troubled={"d7": 6, "kore": 1},
    )
    conditions = [
        Condition("d7", "uid", reason=Reason.DENIED, since=START),
        Condition("kore", "uid", paused_until=after("2h")),
        Condition("short", "uid", paused_until=NOW + timedelta(seconds=9)),
        Condition("ukg", "uid", reason=Reason.UNREACHABLE, since=START),
    ]
    assert concerns([], conditions, overview, providers={"d7", "kore", "short", "ukg"}, now=NOW) == [
        Concern("provider", "d7", "is down (denied)", START, "6 watches wait"),
        Concern("provider", "kore", "is paused until 09:30Z, as it asked for", None, "1 watch waits"),
        Concern("provider", "kore", "has 1 watch in trouble"),
        Concern("provider", "old", "has no section any more", None, "1 watch waits"),
    ]
