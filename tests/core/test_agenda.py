from dataclasses import astuple, replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make import START, after, watch

from watcher.core.agenda import Agenda, Entry
from watcher.core.model import END_OF_TIME, Reason, Snapshot, State, Trouble
from watcher.core.rows import Opened


def entry(id: str) -> Entry:
    return Entry(uid=f"uid-{id}", id=id, params="{}", since=START.timestamp(), deadline=after("3d").timestamp())


def test_what_is_due_first_comes_first() -> None:
    agenda = Agenda()
    for name, due in [("d", 3.0), ("a", 1.0), ("b", 2.0), ("b", 2.0)]:
        agenda.push(entry(name), due=due)
    assert len(agenda) == 4
    assert [agenda.pop().id for _ in range(4)] == ["a", "b", "b", "d"]


def test_pushing_says_whether_the_entry_is_the_next_one_now() -> None:
    agenda = Agenda()
    assert [agenda.push(entry(str(due)), due=due) for due in (5.0, 7.0, 3.0)] == [True, False, True]


def test_the_agenda_is_due_when_its_first_entry_is() -> None:
    agenda = Agenda()
    assert agenda.due is None
    agenda.push(entry("a"), due=5.0)
    agenda.push(entry("b"), due=3.0)
    assert agenda.due == 3.0


def test_an_entry_that_was_dropped_is_never_due() -> None:
    agenda = Agenda()
    agenda.push(entry("a"), due=1.0)
    agenda.push(entry("b"), due=2.0)
    agenda.drop("uid-a")
    assert (agenda.due, agenda.pop().id, agenda.due) == (2.0, "b", None)


def test_an_entry_that_is_dropped_while_it_is_off_is_forgotten_once_it_is_back() -> None:
    agenda = Agenda()
    agenda.drop("uid-a")
    agenda.push(entry("a"), due=1.0)
    assert agenda.due is None
    agenda.push(entry("a"), due=2.0)
    assert agenda.due == 2.0


def test_an_entry_is_found_with_its_time_and_the_number_of_those_before_it() -> None:
    agenda = Agenda()
    found = entry("c")
    agenda.push(found, due=3.0)
    for name, due in [("d", 4.0), ("a", 1.0), ("b1", 2.0), ("b2", 2.0)]:
        agenda.push(entry(name), due=due)
    assert agenda.find("uid-c") == (3.0, 3, found)
    agenda.drop("uid-c")
    assert (agenda.find("uid-c"), agenda.find("uid-x")) == (None, None)


@pytest.mark.parametrize(
    ("changed_at", "state", "since", "known"),
    [
        pytest.param(None, None, after("1m"), State.PENDING, id="never-seen"),
        pytest.param(after("1h"), State.IN_PROGRESS, after("1h"), State.IN_PROGRESS, id="seen"),
    ],
)
def test_an_entry_begins_with_what_is_loaded(
    changed_at: datetime | None, state: State | None, since: datetime, known: State
) -> None:
    opened = Opened(7, "uid-a", "a", "d7", "{}", after("1m"), changed_at, after("3d"), state)
    made = Entry("uid-a", "a", "{}", since.timestamp(), after("3d").timestamp(), state=known)
    assert astuple(Entry.new(opened)) == astuple(made)


def test_an_entry_goes_on_with_what_is_on_disk_after_a_step() -> None:
    trouble = Trouble(Reason.DENIED, after("1h"), 401, told=True)
    scheduled = Snapshot("scheduled", State.PENDING, not_before=after("2h"))
    stored = watch(scheduled, changed_at=after("1h"), trouble=trouble)
    made = replace(
        entry("a"),
        since=after("1h").timestamp(),
        deadline=stored.deadline_at.timestamp(),
        not_before=after("2h").timestamp(),
        digest=b"of the body",
        trouble=trouble,
        state=State.PENDING,
    )
    assert astuple(entry("a").after(stored, digest=b"of the body", state=State.PENDING)) == astuple(made)
    unseen = entry("a").after(watch(), digest=None, state=State.PENDING)
    assert (unseen.not_before, unseen.since) == (None, START.timestamp())


def test_all_whose_deadline_has_passed_are_taken_off_and_those_that_were_dropped_are_not_told_of() -> None:
    agenda = Agenda()
    for place, hours in enumerate((5, 1, 3, 2, 4)):
        agenda.push(replace(entry(f"{hours}h"), deadline=after(f"{hours}h").timestamp()), due=float(place))
    agenda.drop("uid-2h")
    assert agenda.take_late(now=START, limit=9) == []
    assert [late.id for late in agenda.take_late(now=after("1h"), limit=9)] == ["1h"]
    assert [late.id for late in agenda.take_late(now=after("3h"), limit=9)] == ["3h"]
    assert [agenda.pop().id for _ in range(len(agenda))] == ["5h", "4h"]


def test_only_those_that_are_ours_are_kept() -> None:
    agenda = Agenda()
    for place, name in enumerate("abcde"):
        agenda.push(entry(name), due=float(place))
    agenda.drop("uid-d")
    assert agenda.keep(lambda _: True) == []
    assert [gone.id for gone in agenda.keep({"uid-a", "uid-c"}.__contains__)] == ["b", "e"]
    assert [agenda.pop().id for _ in range(len(agenda))] == ["a", "c"]


def test_of_those_whose_deadline_has_passed_so_many_are_taken_off_as_are_asked_for() -> None:
    agenda = Agenda()
    for place, name in enumerate("abc"):
        agenda.push(entry(name), due=float(place))
    late = [agenda.take_late(now=END_OF_TIME, limit=2) for _ in range(2)]
    assert [[one.id for one in some] for some in late] == [["c", "b"], ["a"]]


def test_what_has_ended_already_is_late_once_it_is_due() -> None:
    agenda = Agenda()
    agenda.push(replace(entry("a"), ended=True), due=5.0)
    assert agenda.take_late(now=END_OF_TIME, limit=9, at=4.0) == []
    assert [one.id for one in agenda.take_late(now=END_OF_TIME, limit=9, at=5.0)] == ["a"]


def test_of_very_many_only_some_are_looked_at_in_one_go() -> None:
    agenda, looks = Agenda(), 10_000
    for place in range(looks + 1):
        hours = 1 if place in {0, looks} else 3
        agenda.push(replace(entry(str(place)), deadline=after(f"{hours}h").timestamp()), due=float(place))
    late = [[one.id for one in agenda.take_late(now=after("2h"), limit=9)] for _ in range(3)]
    assert late == [[str(looks)], ["0"], []]


@given(
    hours=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40),
    limit=st.integers(1, 5),
    looks=st.integers(1, 40),
)
def test_every_late_one_is_taken_off_part_by_part_and_the_others_stay_in_order(
    hours: list[tuple[int, int]], limit: int, looks: int
) -> None:
    agenda, late = Agenda(), list[str]()
    for number, (due, deadline) in enumerate(hours):
        agenda.push(replace(entry(str(number)), deadline=after(f"{deadline}h").timestamp()), due=float(due))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("watcher.core.agenda.LOOKS", looks)
        for _ in range(2 * len(hours) + 1):
            taken = agenda.take_late(now=after("4h"), limit=limit)
            assert len(taken) <= min(limit, looks)
            late += [one.id for one in taken]
            if agenda.is_swept:
                break
    assert agenda.is_swept
    assert sorted(late, key=int) == [str(number) for number, (_, deadline) in enumerate(hours) if deadline <= 4]
    dues = [hours[int(agenda.pop().id)][0] for _ in range(len(agenda))]
    assert dues == sorted(due for due, deadline in hours if deadline > 4)


def test_those_that_come_and_go_while_it_is_swept_are_found_by_the_next_sweep_at_last() -> None:
    agenda = Agenda()
    for place in range(6):
        agenda.push(entry(f"old-{place}"), due=float(place))
    assert [one.id for one in agenda.take_late(now=END_OF_TIME, limit=1)] == ["old-5"]
    agenda.push(entry("new"), due=9.0)
    assert [agenda.pop().id for _ in range(4)] == ["old-0", "old-1", "old-2", "old-3"]
    assert sorted(one.id for _ in range(2) for one in agenda.take_late(now=END_OF_TIME, limit=9)) == ["new", "old-4"]
    assert (len(agenda), agenda.is_swept) == (0, True)


def test_what_is_known_of_a_watch_here_is_doubted_once_others_had_it() -> None:
    doubted = replace(entry("a"), digest=b"of the body", trouble=Trouble(Reason.DENIED, after("1h"), 401, told=True))
    doubted.doubt()
    assert astuple(doubted) == astuple(entry("a"))


def test_one_that_was_dropped_and_is_not_put_on_again_is_waited_for_no_longer() -> None:
    agenda = Agenda()
    agenda.drop("uid-a")
    assert (agenda.forget("uid-a"), agenda.forget("uid-a")) == (True, False)
