"""How webhooks stand, and the sentences about what is not well."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from make import START, after, webhook

from watcher.core import endpoint as states
from watcher.core.delivery import Attempt
from watcher.core.endpoint import Disabled, Endpoint
from watcher.core.model import Condition, Reason
from watcher.core.rows import Overview, RejectedRow
from watcher.core.standing import (
    MOST_REFUSED,
    Concern,
    Standing,
    concerns,
    hints,
    polled_late,
    standings,
    unread,
)

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
            Concern(
                *("webhook", "ops", "is paused by its breaker", START, "1,312 deliveries wait"),
                remedy="See whether it is up: `watcher webhook test ops`; it is tried again by itself",
            ),
        ),
        (
            states.disabled(Endpoint("ops"), Disabled.SILENT, now=START),
            waiting(1),
            Concern(
                *("webhook", "ops", "is disabled (no 2xx in 5 days)", START, "1 delivery waits"),
                remedy="Once it is well: `watcher webhook enable ops`",
            ),
        ),
        (Endpoint("ops", disabled_at=START), EMPTY, None),
        (
            states.paused(Endpoint("ops"), until=after("2h"), now=START),
            EMPTY,
            Concern(
                *("webhook", "ops", "is paused, as it asked for", START),
                until=after("2h"),
                remedy="Nothing to do: it goes on by itself; `watcher webhook enable ops` ends the pause",
            ),
        ),
        (states.paused(Endpoint("ops"), until=NOW + timedelta(seconds=9), now=NOW), EMPTY, None),
        (
            Endpoint("ops"),
            waiting(3),
            Concern(
                *("webhook", "ops", "is behind", START, "3 deliveries wait"),
                remedy="`watcher deliveries --webhook ops` shows what it answers",
            ),
        ),
        (Endpoint("ops"), waiting(3, since=NOW), None),
        (
            Endpoint("old"),
            waiting(3, since=NOW, webhook="old"),
            Concern(
                *("webhook", "old", "has no section any more", None, "3 deliveries wait"),
                remedy="Put `[webhooks.old]` back, then `watcher reload`; what waits longer than `keep` is given up",
            ),
        ),
        (Endpoint("old"), replace(EMPTY, exhausted={"old": 2}, ended={"old": 2}), None),
        (
            Endpoint("ops"),
            replace(EMPTY, exhausted={"ops": 1}),
            Concern(
                *("webhook", "ops", "has 1 delivery that was given up"),
                remedy="Once it is well: `watcher replay --webhook ops --since 30d --status exhausted`",
            ),
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
        Concern(
            *("provider", "d7", "is down (denied)", START, "6 watches wait"),
            remedy="Renew its credentials, then `watcher reload`; `watcher check --probe` tries them",
        ),
        Concern(
            *("provider", "old", "has no section any more", None, "1 watch waits"),
            remedy="Put `[providers.old]` back and `watcher reload`, or `watcher cancel` its watches",
        ),
        Concern(
            *("provider", "kore", "has 1 watch in trouble"),
            remedy="`watcher list --state trouble --provider kore` names them",
        ),
        Concern(
            *("provider", "kore", "is paused, as it asked for", None, "1 watch waits"),
            until=after("2h"),
            remedy="Nothing to do: it goes on by itself",
        ),
    ]


def test_of_a_provider_that_does_not_answer_it_is_said_where_to_look() -> None:
    down = Condition("d7", "uid", reason=Reason.UNREACHABLE, since=START)
    overview = replace(EMPTY, watches={("d7", "pending"): 1})
    assert concerns([], [down], overview, providers={"d7"}, now=NOW) == [
        Concern(
            *("provider", "d7", "is down (unreachable)", START, "1 watch waits"),
            remedy="See its own status page, and `watcher check --probe`; it is asked again by itself",
        )
    ]


def refused(source: str, *, at: datetime = NOW) -> RejectedRow:
    return RejectedRow(at, source, "x:1", "no JSON", b"x")


def test_requests_that_were_refused_lately_are_counted_for_each_source() -> None:
    rows = [refused("queue"), refused("inbox"), refused("queue"), refused("old", at=NOW - timedelta(hours=1))]
    rows.append(refused("command"))  # whoever typed it was told
    found = concerns([], [], EMPTY, providers=(), refused=rows, now=NOW)
    assert [(each.about, each.name, each.text, each.remedy) for each in found] == [
        ("source", name, text, "`watcher rejected` shows each, and why; its sender must send it again")
        for name, text in [
            ("inbox", "had 1 request refused in the last hour"),
            ("queue", "had 2 requests refused in the last hour"),
        ]
    ]
    (many,) = concerns([], [], EMPTY, providers=(), refused=[refused("inbox")] * MOST_REFUSED, now=NOW)
    assert many.text == "had at least 100 requests refused in the last hour"


def test_what_only_the_daemon_knows_can_be_told_from_the_rest() -> None:
    only = [
        Concern("daemon", None, "is starting or stopping"),
        unread("inbox", error="No such file", since=START),
        polled_late("d7", since=START),
    ]
    assert [each.is_only_told for each in only] == [True] * 3
    assert only[1].text == "cannot be read (No such file)"
    assert not any(each.is_only_told for each in said(overview=replace(waiting(3), exhausted={"ops": 2})))


def test_who_has_just_begun_is_told_what_to_do_next() -> None:
    watched = replace(EMPTY, watches={("d7", "succeeded"): 1})
    assert hints(watched, providers={"d7"}, is_told=True) == []
    assert hints(EMPTY, providers={"ukg", "d7"}, is_told=False) == [
        "No webhook has a section, so nobody is told: add `[webhooks.NAME]`, then `watcher reload`",
        "Nothing is watched yet: begin with `watcher add d7 KEY=VALUE`, `POST /v1/watches`, or a request at a source",
    ]
