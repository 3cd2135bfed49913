"""When a provider as a whole counts as down, and how it is asked meanwhile."""

from itertools import pairwise

import pytest

from watcher.core.health import FIRST_PROBE, LONGEST_PROBE, Health
from watcher.core.model import Observation, Reason, State
from watcher.core.outcome import Broken, Denied, Final, Missing, Refused, Seen, Throttled
from watcher.core.wire import Fault

SEEN = Seen(Observation("PENDING", State.PENDING))
REFUSED = Broken(Reason.UNREACHABLE, fault=Fault.CONNECTION)
OOPS = Broken(Reason.SERVER_ERROR, 500)
GARBAGE = Broken(Reason.MALFORMED, 200)
DENIED = Denied(403)


def told(*outcomes: Final | None, watches: int = 10, names: int = 10, health: Health | None = None) -> Health:
    """Return the health after these polls, each of the next of so many watches, one a second."""
    health = health or Health()
    for place, outcome in enumerate(outcomes):
        note(health, outcome, name=f"w{place % names}", watches=watches, now=float(place))
    return health


def note(health: Health, outcome: Final | None, *, now: float, name: str = "w", watches: int = 10) -> bool:
    """Let a watch be asked, whoever waits, and answered at once."""
    health.probe(now=now)
    return health.note(name, outcome, watches=watches, asked_at=now, now=now)


def probed(health: Health, *outcomes: Final | None, now: float) -> list[float]:
    """Let somebody ask as soon as he may, once for each of these outcomes; return how long each had to wait."""
    waits = []
    for outcome in outcomes:
        waits.append(health.wait(now=now))
        now += waits[-1]
        note(health, outcome, now=now)
    return waits


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        pytest.param([REFUSED] * 5, Reason.UNREACHABLE, id="cannot connect"),
        pytest.param([OOPS] * 5, Reason.SERVER_ERROR, id="answers 5xx"),
        pytest.param([OOPS] * 4 + [REFUSED], Reason.UNREACHABLE, id="the last word counts"),
        pytest.param([OOPS] * 4, None, id="too few to say"),
        pytest.param([SEEN, OOPS] * 10, None, id="half is not most"),
        pytest.param([None] * 20 + [OOPS] * 10, None, id="not yet most of the recent ones"),
        pytest.param([None] * 20 + [OOPS] * 11, Reason.SERVER_ERROR, id="most of the recent ones"),
        pytest.param([GARBAGE] * 20, None, id="garbage is an answer"),
        pytest.param([Missing()] * 20, None, id="missing is an answer"),
        pytest.param([Refused(400)] * 20, None, id="refused is an answer"),
        pytest.param([Throttled(429)] * 20, None, id="throttled is an answer"),
        pytest.param([DENIED] * 5, Reason.DENIED, id="denied to all"),
        pytest.param([DENIED, SEEN] + [DENIED] * 4, None, id="denied to some only"),
        pytest.param([Broken(Reason.UNREACHABLE, fault=Fault.LOCAL)] * 20, Reason.UNREACHABLE, id="our own side"),
    ],
)
def test_a_provider_is_down_when_its_recent_polls_say_so(outcomes: list[Final | None], reason: Reason | None) -> None:
    assert told(*outcomes).reason is reason


def test_it_takes_several_watches_where_there_are_as_many() -> None:
    assert told(*[OOPS] * 20, names=2).reason is None
    assert told(*[OOPS] * 5, names=2, watches=2).reason is Reason.SERVER_ERROR
    assert told(*[DENIED] * 5, names=1, watches=1).reason is Reason.DENIED


def test_only_the_edges_are_news() -> None:
    health = Health()
    edges = [note(health, outcome, name=f"w{n}", now=0.0) for n, outcome in enumerate([OOPS] * 7 + [SEEN] * 2)]
    assert edges == [False] * 4 + [True] + [False] * 2 + [True, False]


def test_while_it_is_down_one_asks_at_a_time_and_more_and_more_seldom() -> None:
    health, now, asked = told(*[REFUSED] * 5), 4.0, []
    while now < 4.0 + 600:
        now += health.wait(now=now)
        asked.append(now)
        health.probe(now=now)
        assert health.wait(now=now) == LONGEST_PROBE  # nobody else, while it is out
        assert not health.note("w", REFUSED, watches=10, asked_at=now, now=now + 1)
        now += 1
    assert len(asked) <= 7
    assert asked[0] == 4.0 + FIRST_PROBE
    assert max(b - a for a, b in pairwise(asked)) <= LONGEST_PROBE + 1


@pytest.mark.parametrize("answer", [REFUSED, SEEN])
def test_what_was_in_flight_as_it_went_down_says_nothing_new(answer: Final) -> None:
    health = told(*[REFUSED] * 5)
    for late in range(11):
        assert not health.note(f"w{late}", answer, watches=10, asked_at=3.0, now=4.0)
    assert health.wait(now=4.0) == FIRST_PROBE
    health.probe(now=14.0)
    assert not health.note("w", answer, watches=10, asked_at=3.0, now=15.0)
    assert health.wait(now=15.0) == LONGEST_PROBE - 1
    assert health.reason is Reason.UNREACHABLE


def test_what_was_in_flight_all_the_while_does_not_take_it_down_again() -> None:
    health = told(*[REFUSED] * 5)
    assert note(health, SEEN, now=14.0)
    for late in range(11):
        assert not health.note(f"w{late}", REFUSED, watches=10, asked_at=3.0, now=18.0)
    assert health.reason is None


@pytest.mark.parametrize("answer", [None, SEEN, Missing(), GARBAGE, Throttled(429), DENIED])
def test_any_answer_ends_it(answer: Final | None) -> None:
    health = told(*[OOPS] * 5)
    assert note(health, answer, now=14.0)
    assert health.reason is None
    assert health.wait(now=14.0) == 0


def flickering(*, again_at: float = 20.0) -> Health:
    """Return the health of one that went down at 4, was probed in vain at 14, came up at 34, and went down again."""
    health = told(*[OOPS] * 5)
    assert probed(health, OOPS, SEEN, now=4.0) == [FIRST_PROBE, 2 * FIRST_PROBE]
    for name in "abcde":
        note(health, OOPS, name=name, now=34.0 + again_at)
    assert health.reason is Reason.SERVER_ERROR
    return health


def test_one_that_goes_down_again_soon_is_asked_more_and_more_seldom_as_if_it_had_never_been_up() -> None:
    assert probed(flickering(), OOPS, OOPS, OOPS, OOPS, now=54.0) == [40.0, 80.0, 160.0, 300.0]


def test_one_that_goes_down_again_soon_is_up_only_after_some_good_answers_which_are_asked_for_soon() -> None:
    health = flickering()
    assert probed(health, SEEN, SEEN, OOPS, now=54.0) == [40.0, FIRST_PROBE, FIRST_PROBE]
    assert health.reason is Reason.SERVER_ERROR
    assert probed(health, SEEN, now=114.0) == [80.0]
    assert health.reason is None


def test_one_that_was_up_for_a_while_goes_down_as_if_for_the_first_time() -> None:
    health = flickering(again_at=LONGEST_PROBE)
    assert probed(health, SEEN, now=334.0) == [FIRST_PROBE]
    assert health.reason is None


def test_a_denied_provider_is_up_only_once_it_lets_somebody_in() -> None:
    health = told(*[DENIED] * 5)
    assert not note(health, DENIED, now=9.0)
    assert not note(health, OOPS, now=9.0)
    assert note(health, SEEN, now=9.0)
    assert health.reason is None


def test_one_that_was_down_before_a_restart_is_probed_at_once() -> None:
    health = Health(Reason.UNREACHABLE)
    assert health.wait(now=0.0) == 0
    health.probe(now=0.0)
    assert health.wait(now=1.0) == LONGEST_PROBE - 1


def test_a_probe_of_one_that_is_up_keeps_nobody_waiting() -> None:
    health = Health()
    health.probe(now=0.0)
    assert health.wait(now=0.0) == 0
