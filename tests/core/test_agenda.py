from make import START, after

from watcher.core.agenda import Agenda, Entry


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
