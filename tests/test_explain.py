"""`watcher explain`: a tired person reads on one screen when a watch is asked next, and why."""

from dataclasses import replace

import pytest
from make import after, terms, watch
from readme import block

from watcher.cli.explain import Known, screen
from watcher.core.explain import Account, next_asked
from watcher.core.model import Condition, Ending, Reason, Snapshot, State, Trouble, Watch
from watcher.http.models import LastAnswer, Next

RUNNING = Snapshot("RUNNING", State.IN_PROGRESS, progress=40.0)
SEEN = watch(RUNNING)
TROUBLED = replace(SEEN, trouble=Trouble(Reason.DENIED, after("3m"), 401, told=True))
CUT_OFF = replace(SEEN, trouble=Trouble(Reason.UNREACHABLE, after("3m"), None, told=True))
SCHEDULED = watch(Snapshot("scheduled", State.PENDING, not_before=after("65m")))
ACCOUNT = Account(terms().pace, rate=5, watches=1)
PAUSED = replace(ACCOUNT, condition=Condition("d7", "uid", paused_until=after("15m")))
DOWN = replace(ACCOUNT, condition=Condition("d7", "uid", 1, Reason.UNREACHABLE, after("1m")))
LAST = LastAnswer(
    at=after("160s"),
    outcome="seen",
    http_status=200,
    detail=None,
    body='{"status":"RUNNING","progress":40}\n',
    is_whole=True,
)
NEXT = Next(
    id="order-42",
    provider="d7",
    due_at=after("312s"),
    in_flight=False,
    ahead=0,
    provider_free_at=None,
    paused_until=None,
    down=None,
    failures=0,
    last_answer=LAST,
)
TIMED_OUT = LAST.model_copy(
    update={"outcome": "broken", "http_status": None, "detail": "no whole answer in time", "body": ""}
)
HOSTILE = LAST.model_copy(update={"body": "\x1b]0;owned\x07\nwatcher: all is well", "is_whole": False})


def but(**other: object) -> Next:
    """Return what the daemon says, but for this."""
    return NEXT.model_copy(update=other)


def told(
    of: Watch,
    account: Account | None = ACCOUNT,
    *,
    daemon: str | None = "process 7",
    at: str = "5m",
    next: Next | None = None,
) -> str:
    """Return what is shown of a watch at a moment."""
    answer = next_asked(of, account, is_running=daemon is not None, now=after(at))
    return "\n".join(screen(Known(of, account, daemon, after(at), answer, next)))


def test_one_screen_says_it_all() -> None:
    assert told(SEEN) == (
        """\
order-42 is asked again between 07:35:00Z and 07:37:47Z, as nothing changed for 5m.

last seen: in_progress, RUNNING, 40 %
changed:   07:30:00Z (5m ago)
accepted:  07:30:00Z (5m ago)
deadline:  ends as expired 2026-11-26T07:30:00Z (in 2d 23h)
pace:      backoff: 2s and half of the time since the last change, up to 5m, with 10 % of jitter either way
rate:      5 a second for 1 open watch: at best one poll each in 0.2s
provider:  d7, not known to be down
daemon:    process 7

Only the running daemon knows what else can delay it (failures since a success),
and the last answer as it came."""
    )


def test_with_what_the_daemon_says_it_is_the_screen_of_the_readme() -> None:
    assert f"$ watcher explain order-42\n{told(SEEN, next=NEXT)}\n" == block("console", "Commands")


def test_how_and_when_it_ended() -> None:
    assert told(replace(SEEN, ending=Ending.SUCCEEDED, finished_at=after("100s"))) == (
        """\
order-42 is not asked again: it ended as succeeded 07:31:40Z (3m 20s ago).

last seen: in_progress, RUNNING, 40 %
changed:   07:30:00Z (5m ago)
accepted:  07:30:00Z (5m ago)
ended:     succeeded, 07:31:40Z (3m 20s ago)"""
    )


@pytest.mark.parametrize(
    ("screen", "answer"),
    [
        pytest.param(
            told(watch()),
            "asked again between 07:35:00Z and 07:37:47Z, as nothing was seen of it yet, 5m after it was accepted",
            id="never-seen",
        ),
        pytest.param(
            told(TROUBLED),
            "asked again between 07:35:00Z and 07:40:00Z, as it is in trouble: "
            "denied (HTTP 401) since 07:33:00Z (2m ago)",
            id="in-trouble",
        ),
        pytest.param(
            told(CUT_OFF),
            "asked again between 07:35:00Z and 07:40:00Z, as it is in trouble: unreachable since 07:33:00Z (2m ago)",
            id="in-trouble-without-an-answer",
        ),
        pytest.param(
            told(SCHEDULED),
            "asked again between 07:35:00Z and 07:40:00Z, slowly, as it is scheduled to start 08:35:00Z (in 1h)",
            id="scheduled",
        ),
        pytest.param(
            told(SEEN, at="4319m"),
            "asked again between 07:29:00Z and 07:30:00Z, as its deadline is 07:30:00Z (in 1m)",
            id="deadline-ahead",
        ),
        pytest.param(
            told(SEEN, at="4d"),
            "asked again between 07:30:00Z and 07:30:02Z, for the last time, as its deadline passed "
            "2026-11-26T07:30:00Z (1d ago)",
            id="deadline-passed",
        ),
        pytest.param(
            told(SEEN, replace(ACCOUNT, watches=10_000)),
            "asked again between 07:35:00Z and 08:08:20Z, as it waits its turn within the provider's rate",
            id="many-watches",
        ),
        pytest.param(
            told(SEEN, PAUSED),
            "asked again between 07:45:00Z and 07:45:00Z, as d7 said to be left alone until 07:45:00Z",
            id="provider-paused",
        ),
        pytest.param(
            told(SEEN, DOWN),
            "asked again when d7 is back: down, unreachable, since 07:31:00Z (4m ago); "
            "one of its watches asks every 10s to 5m",
            id="provider-down",
        ),
        pytest.param(told(SEEN, None), "not asked: the configuration has no [providers.d7]", id="no-section"),
        pytest.param(told(SEEN, daemon=None), "not asked: no daemon is running", id="no-daemon"),
        pytest.param(told(SEEN, next=but(due_at=None, in_flight=True)), "being asked just now", id="in-flight"),
        pytest.param(
            told(SEEN, next=but(due_at=after("4m"), ahead=1234)),
            "due since 07:34:00Z and waits its turn, as 1,234 others are due before it",
            id="waits-its-turn",
        ),
        pytest.param(
            told(SEEN, next=but(due_at=after("4m"))), "asked again at once, as nothing changed for 5m", id="overdue"
        ),
        pytest.param(
            told(SEEN, PAUSED, next=but(provider_free_at=after("901s"))),
            "asked again 07:45:01Z (in 10m 1s), as d7 said to be left alone until 07:45:00Z",
            id="paused-exactly",
        ),
        pytest.param(
            told(SEEN, DOWN, next=but(provider_free_at=after("310s"), down=Reason.UNREACHABLE)),
            "asked again when d7 is back: down, unreachable, since 07:31:00Z (4m ago); "
            "one of its watches asks every 10s to 5m",
            id="down-exactly",
        ),
        pytest.param(
            told(SEEN, next=but(due_at=None)),
            "asked again between 07:35:00Z and 07:37:47Z, as nothing changed for 5m",
            id="the-daemon-does-not-ask",
        ),
    ],
)
def test_the_first_line_is_the_answer(screen: str, answer: str) -> None:
    assert screen.partition("\n")[0] == f"order-42 is {answer}."


@pytest.mark.parametrize(
    ("screen", "fact"),
    [
        pytest.param(told(watch()), "last seen: nothing yet", id="nothing-seen"),
        pytest.param(told(watch()), "changed:   never", id="nothing-changed"),
        pytest.param(told(TROUBLED), "trouble:   denied (HTTP 401) since 07:33:00Z (2m ago)", id="trouble"),
        pytest.param(told(SCHEDULED), "last seen: pending, scheduled", id="no-progress"),
        pytest.param(told(SCHEDULED), "scheduled: starts 08:35:00Z (in 1h)", id="start"),
        pytest.param(
            told(SCHEDULED), "deadline:  ends as expired 2026-11-26T08:35:00Z (in 3d 1h)", id="deadline-after-the-start"
        ),
        pytest.param(
            told(SEEN, replace(ACCOUNT, watches=10_000)),
            "rate:      5 a second for 10,000 open watches: at best one poll each in 33m 20s",
            id="turn",
        ),
        pytest.param(
            told(SEEN, replace(ACCOUNT, pace=terms(mode="fixed").pace)),
            "pace:      fixed: every 2s, in trouble up to 5m",
            id="fixed",
        ),
        pytest.param(told(SEEN, None), "provider:  d7, not in the configuration", id="no-section"),
        pytest.param(told(SEEN, daemon=None), "daemon:    none is running", id="no-daemon"),
        pytest.param(told(SEEN, next=but(failures=2)), "failures:  2 since the last success", id="failures"),
        pytest.param(
            told(SEEN, next=but(last_answer=None)),
            "answered:  nothing yet, or too long ago: a daemon keeps the 1,000 latest answers of each provider",
            id="no-answer-kept",
        ),
        pytest.param(
            told(SEEN, next=but(last_answer=TIMED_OUT)),
            "answered:  broken, 07:32:40Z (2m 20s ago): no whole answer in time",
            id="no-answer-came",
        ),
        pytest.param(
            told(SEEN, next=but(last_answer=HOSTILE)), r"\x1b]0;owned\x07\nwatcher: all is well…", id="hostile-answer"
        ),
    ],
)
def test_each_fact_has_its_line(screen: str, fact: str) -> None:
    assert fact in screen.splitlines()
