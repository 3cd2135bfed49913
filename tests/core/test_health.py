"""When a provider as a whole counts as down, and how it is asked meanwhile."""

from itertools import pairwise

import pytest

from watcher.core.health import FIRST_PROBE, LONGEST_PROBE, Health
from watcher.core.model import Broken, Denied, Final, Missing, Observation, Reason, Refused, Seen, State, Throttled
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
        health.note(f"w{place % names}", outcome, watches=watches, now=float(place))
    return health


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
    edges = [health.note(f"w{n}", outcome, watches=9, now=0.0) for n, outcome in enumerate([OOPS] * 7 + [SEEN] * 2)]
    assert edges == [False] * 4 + [True] + [False] * 2 + [True, False]


def test_while_it_is_down_one_asks_at_a_time_and_more_and_more_seldom() -> None:
    health, now, asked = told(*[REFUSED] * 5), 4.0, []
    while now < 4.0 + 600:
        now += health.wait(now=now)
        asked.append(now)
        health.probe(now=now)
        assert health.wait(now=now) == LONGEST_PROBE  # nobody else, while it is out
        assert not health.note("w", REFUSED, watches=10, now=now + 1)
        now += 1
    assert len(asked) <= 7
    assert asked[0] == 4.0 + FIRST_PROBE
    assert max(b - a for a, b in pairwise(asked)) <= LONGEST_PROBE + 1


def test_what_was_in_flight_as_it_went_down_does_not_put_the_first_probe_off() -> None:
    health = told(*[REFUSED] * 16)
    assert health.wait(now=4.0) == FIRST_PROBE


@pytest.mark.parametrize("answer", [None, SEEN, Missing(), GARBAGE, Throttled(429), DENIED])
def test_any_answer_ends_it(answer: Final | None) -> None:
    health = told(*[OOPS] * 5)
    assert health.note("w", answer, watches=10, now=9.0)
    assert health.reason is None
    assert health.wait(now=9.0) == 0


def test_a_denied_provider_is_up_only_once_it_lets_somebody_in() -> None:
    health = told(*[DENIED] * 5)
    assert not health.note("w", DENIED, watches=10, now=9.0)
    assert not health.note("w", OOPS, watches=10, now=9.0)
    assert health.note("w", SEEN, watches=10, now=9.0)
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
