"""What holds of an outlet whatever happens to it, in any order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from make import START, webhook
from outlets import ANSWERED, NEW

from watcher.core.delivery import Attempt
from watcher.core.endpoint import Disabled
from watcher.core.outlet import Outlet
from watcher.core.webhook import Kind, Meaning

WATCHES = st.sampled_from("abcdef")
ANSWERS = st.sampled_from([(kind, ANSWERED.get(kind)) for kind in Kind] + [(Kind.PAUSED, 503), (Kind.ABORTED, 200)])
FAILURES = st.sampled_from([(Kind.FAILED, 500), (Kind.OVERLOADED, None), (Kind.UNREACHABLE, None)])


@dataclass(frozen=True)
class Flight:
    watch: str
    again: bool
    began_at: datetime
    is_probe: bool


class AnyOutlet(RuleBasedStateMachine):
    """Whatever may be sent is sent, or not; whatever flies comes back, at any time, with any answer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.concurrency = 5
        self.outlet = Outlet(NEW, terms=webhook(concurrency=self.concurrency), now=START)
        self.flights: list[Flight] = []

    @rule(seconds=st.sampled_from([0, 0.5, 1, 29, 31, 600, 3600, 86400]))
    def time_goes_on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def it_is_time(self) -> None:
        wait = self.outlet.wait(now=self.now)
        self.now += timedelta(seconds=0 if wait == inf else wait)

    @rule(watch=WATCHES, first=st.booleans(), again=st.booleans())
    def something_waits(self, watch: str, *, first: bool, again: bool) -> None:
        choice = self.outlet.choose(first=first, again=again)
        if choice is None or self.outlet.wait(now=self.now) > 0:
            return
        assert again if choice else first
        self.outlet.begin(watch, again=choice)
        self.flights.append(Flight(watch, choice, self.now, is_probe=self.outlet.endpoint.is_open))

    @precondition(lambda self: self.flights)
    @rule(answer=ANSWERS | FAILURES, data=st.data())
    def one_comes_back(self, answer: tuple[Kind, int | None], data: st.DataObject) -> None:
        self._land(answer, data.draw(st.sampled_from(self.flights)))

    @precondition(lambda self: self.flights)
    @rule(answer=FAILURES)
    def all_fail(self, answer: tuple[Kind, int | None]) -> None:
        for flight in tuple(self.flights):
            self._land(answer, flight)

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def one_comes_to_nothing(self, data: st.DataObject) -> None:
        flight = data.draw(st.sampled_from(self.flights))
        self.flights.remove(flight)
        self.outlet.abandon(again=flight.again)

    @rule(on=st.booleans())
    def somebody_switches_it(self, *, on: bool) -> None:
        self.outlet.switch(on=on, now=self.now)
        assert (self.outlet.endpoint.disabled is None) == on

    @rule(section=st.sampled_from("12"))
    def its_section_is_read(self, section: str) -> None:
        self.outlet.adopt(section)
        assert self.outlet.endpoint.section == section

    def _land(self, answer: tuple[Kind, int | None], flight: Flight) -> None:
        self.flights.remove(flight)
        kind, status = answer
        means = Meaning(
            kind,
            until=self.now + timedelta(minutes=1) if kind is Kind.PAUSED else None,
            disabled=Disabled.ASKED if kind is Kind.DISABLED else None,
        )
        attempt = Attempt(1, flight.began_at, (self.now - flight.began_at).total_seconds(), status)
        self.outlet.end(flight.watch, means, again=flight.again, attempt=attempt, began_at=flight.began_at)
        endpoint = self.outlet.endpoint
        if status is not None and 200 <= status < 300 and kind is not Kind.DISABLED:
            assert not endpoint.is_open
            assert (endpoint.failing_since, endpoint.last_good) == (None, attempt)
        if kind is Kind.DISABLED:
            assert endpoint.disabled

    @invariant()
    def waits_are_never_negative(self) -> None:
        assert self.outlet.wait(now=self.now) >= 0

    @invariant()
    def what_flies_is_what_was_begun_and_did_not_come_back(self) -> None:
        flying = {again: sum(flight.again == again for flight in self.flights) for again in (False, True)}
        assert self.outlet._flying == flying
        assert len(self.flights) <= self.concurrency

    @invariant()
    def an_open_breaker_lets_one_fly_at_most(self) -> None:
        assert not self.outlet.endpoint.is_open or sum(flight.is_probe for flight in self.flights) <= 1

    @invariant()
    def a_disabled_webhook_waits_for_ever(self) -> None:
        assert not self.outlet.endpoint.disabled or self.outlet.wait(now=self.now) == inf

    @invariant()
    def what_belongs_together_is_set_together(self) -> None:
        known = self.outlet.endpoint
        assert (known.opened_at is None) == (known.probe_at is None)
        assert (known.disabled is None) == (known.disabled_at is None)
        assert (known.failing_since is None) == (known.failed_at is None)
        assert (known.paused_at is None) == (known.paused_until is None)
        assert timedelta(seconds=30) <= known.probe_wait <= timedelta(minutes=10)

    @invariant()
    def there_is_always_a_slot_and_never_more_than_the_section_says(self) -> None:
        assert 1 <= self.outlet._allowed <= self.concurrency


TestAnyOutlet = AnyOutlet.TestCase

STEPS = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), min_size=1, max_size=80)


@given(concurrency=st.integers(1, 9), steps=STEPS, is_open=st.booleans())
def test_neither_kind_is_starved_whoever_comes_and_goes(
    *, concurrency: int, steps: Sequence[tuple[bool, bool, int]], is_open: bool
) -> None:
    outlet = Outlet(NEW, terms=webhook(concurrency=concurrency), now=START)
    for watch in "abcde" if is_open else "":
        outlet.begin(watch, again=False)
        outlet.end(watch, Meaning(Kind.FAILED), again=False, attempt=Attempt(1, START, 0.0), began_at=START)
    flying: list[bool] = []
    passed = {False: 0, True: 0}  # how often the other kind went while this one waited, and had nothing in flight
    for first, again, ended in steps:
        for _ in range(min(ended, len(flying))):
            outlet.abandon(again=flying.pop(0))
        choice = outlet.choose(first=first, again=again)
        if choice is None:
            assert not (first or again) or flying
            continue
        outlet.begin("x", again=choice)
        flying.append(choice)
        is_passed = (again if choice is False else first) and (not choice) not in flying
        passed = {choice: 0, not choice: passed[not choice] + 1 if is_passed else 0}
        assert passed[False] <= 1
        assert passed[True] <= 3
