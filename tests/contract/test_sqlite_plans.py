"""What SQLite does for what is asked all the time: it reads an index, and no more of it than it returns."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from store_values import LATER, NOON, a_step, a_watch, arrival, settled

from watcher.core.delivery import Decision
from watcher.core.intent import Cancel, Replay
from watcher.core.model import Ending
from watcher.stores import (
    sqlite_endpoints,
    sqlite_hasten,
    sqlite_outbox,
    sqlite_prune,
    sqlite_replay,
    sqlite_sent,
    sqlite_steps,
    sqlite_watches,
)
from watcher.stores.sqlite_endpoints import arrange, know
from watcher.stores.sqlite_file import open_owned
from watcher.stores.sqlite_intents import read_intents, write_intent
from watcher.stores.sqlite_outbox import loosen, select_heads, select_members, select_undelivered, settle
from watcher.stores.sqlite_prune import forget
from watcher.stores.sqlite_replay import replay
from watcher.stores.sqlite_requests import take_in
from watcher.stores.sqlite_steps import attempt_step

Work = Callable[[sqlite3.Connection], object]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_owned(tmp_path / "watcher.db")) as opened:
        yield opened


# --- plans ------------------------------------------------------------------------------------------------------

PLANS = {
    "load": (sqlite_watches.LOAD, "SEARCH watches USING INDEX watches_open (row>?)"),
    "heads": (sqlite_outbox.HEADS, "SEARCH d USING INDEX deliveries_heads (webhook=? AND again=? AND due_at<?)"),
    "members": (sqlite_outbox.LANE, "SEARCH d USING INDEX deliveries_lanes (webhook=? AND watch=?)"),
    "settle": (sqlite_outbox.PROMOTE, "SEARCH next USING INDEX deliveries_lanes (webhook=? AND watch=?)"),
    "loosen": (
        sqlite_outbox.LOOSENING,
        "SEARCH deliveries USING INDEX deliveries_loosening (loosens_at>? AND loosens_at<?)",
    ),
    "loosen a batch": (
        sqlite_outbox.LOOSEN_BATCH,
        "SEARCH deliveries USING INDEX deliveries_batches (webhook=? AND batch=?)",
    ),
    "hasten": (
        sqlite_hasten.LATE,
        "SEARCH deliveries USING INDEX deliveries_heads (webhook=? AND again=? AND due_at>?)",
    ),
    "make due": (
        sqlite_hasten.MAKE_DUE,
        "SEARCH d USING INDEX deliveries_heads (webhook=? AND again=? AND due_at>?)",
    ),
    "make due what was not tried": (
        sqlite_hasten.MAKE_DUE,
        "SEARCH a USING COVERING INDEX attempts_deliveries (delivery=? AND rowid>?)",
    ),
    "undelivered": (sqlite_outbox.UNDELIVERED, "SEARCH deliveries USING INDEX deliveries_waiting (webhook>?)"),
    "change the order": (
        sqlite_endpoints.NEXT,
        "SEARCH deliveries USING INDEX deliveries_waiting (webhook=? AND place<?)",
    ),
    "mark heads": (
        sqlite_endpoints.MARK,
        "SEARCH deliveries USING INDEX deliveries_lanes (webhook=? AND watch=?)",
    ),
    "commit": (sqlite_steps.DELIVER, "SEARCH d USING INDEX deliveries_lanes (webhook=? AND watch=?)"),
    "replay": (sqlite_replay.ALL, "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    "replay what was given up": (
        sqlite_replay.EXHAUSTED,
        "SEARCH d USING INDEX deliveries_exhausted (webhook=? AND event>? AND event<?)",
    ),
    "give up": (sqlite_prune.LONGEST, "SEARCH d USING INDEX deliveries_waiting (webhook=?)"),
    "forget details": (sqlite_prune.KEPT, "SEARCH watches USING COVERING INDEX watches_kept (kept_since<?)"),
    "forget origins": (
        sqlite_prune.FORGET_ORIGINS,
        "SEARCH deliveries USING INDEX deliveries_waiting (webhook=?)",
    ),
    "forget ids": (sqlite_prune.FORGET_IDS, "SEARCH watches USING INDEX watches_forgotten (finished_at<?)"),
}


def _plan(db: sqlite3.Connection, sql: str) -> list[str]:
    """Return what SQLite will do, whatever the values are."""
    named = dict.fromkeys(re.findall(r":(\w+)", sql), "[]")
    numbers = [int(number) for number in re.findall(r"\?(\d+)", sql)]
    values = named or ("[]",) * max(numbers, default=sql.count("?"))
    return [detail for *_, detail in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


@pytest.mark.parametrize("name", PLANS)
def test_what_is_asked_all_the_time_reads_its_own_index_and_sorts_nothing(db: sqlite3.Connection, name: str) -> None:
    sql, plan = PLANS[name]
    details = _plan(db, sql)
    assert plan in details
    assert not [detail for detail in details if "TEMP B-TREE" in detail or detail.startswith(("SCAN d", "SCAN e "))]


A_FEW = {
    "batch": sqlite_outbox.BATCH,
    "replay by id": sqlite_replay.NAMED,
    "deliveries of an event": sqlite_sent.OF_EVENT,
    "deliveries of a watch": sqlite_sent.OF_WATCH,
}


@pytest.mark.parametrize("name", A_FEW)
def test_what_is_asked_of_a_few_reads_no_table_through(db: sqlite3.Connection, name: str) -> None:
    details = _plan(db, A_FEW[name])
    assert not [detail for detail in details if detail.startswith("SCAN") and "json_each" not in detail]


# --- steps ------------------------------------------------------------------------------------------------------


def _fill(db: sqlite3.Connection, *, watches: int, events: int, ending: Ending | None = None) -> None:
    """Store watches, and commit so many events of each, for `ops`."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        for number in range(watches):
            watch = replace(a_watch(f"w{number}"), epoch=1)
            take_in(db, arrival(watch), now=NOON)
            assert attempt_step(db, a_step(watch, events=events, ending=ending), epoch=1) is None


def _steps(db: sqlite3.Connection, work: Work) -> int:
    """Return how many instructions SQLite's machine takes for some work, by tens."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    db.set_progress_handler(count, 10)
    work(db)
    db.set_progress_handler(None, 0)
    return taken


def _refuse_all(db: sqlite3.Connection) -> None:
    heads = select_heads(db, "ops", again=False, now=LATER, limit=1000, but=())
    with db:
        db.execute("BEGIN IMMEDIATE")
        settle(db, [settled(head, Decision.RETRY, loosens_at=NOON + timedelta(days=1)) for head in heads])


def _heads(db: sqlite3.Connection) -> object:
    return select_heads(db, "ops", again=False, now=LATER, limit=16, but=range(1, 2000, 7))


def _members(db: sqlite3.Connection) -> object:
    return select_members(db, select_heads(db, "ops", again=False, now=LATER, limit=1, but=())[0], limit=8)


def _settle(db: sqlite3.Connection) -> None:
    head = select_heads(db, "ops", again=False, now=LATER, limit=1, but=())[0]
    settle(db, [settled(head, Decision.DELIVERED)])


@pytest.mark.parametrize("work", [_heads, _members, _settle, select_undelivered])
def test_what_waits_behind_costs_nothing(tmp_path: Path, work: Work) -> None:
    taken = []
    for events in (20, 2000):
        with closing(open_owned(tmp_path / f"{events}.db")) as db:
            _fill(db, watches=10, events=events)
            taken.append(_steps(db, work))
    assert taken[1] <= taken[0] * 1.1 + 1


def test_what_waits_for_others_costs_nothing(tmp_path: Path) -> None:
    taken = []
    for watches in (20, 2000):
        with closing(open_owned(tmp_path / f"{watches}.db")) as db:
            _fill(db, watches=watches, events=2)
            taken.append([_steps(db, work) for work in (_heads, _members, _settle, select_undelivered)])
    assert all(many <= few * 1.1 + 1 for few, many in zip(*taken, strict=True))


def test_order_none_costs_no_more_than_lanes(tmp_path: Path) -> None:
    taken = []
    for ordered in (True, False):
        with closing(open_owned(tmp_path / f"{ordered}.db")) as db:
            know(db, "ops", ordered=ordered, limit=1)
            _fill(db, watches=10, events=200)
            taken.append(_steps(db, _settle))
    assert taken[1] <= taken[0]


def _forget(db: sqlite3.Connection) -> object:
    return forget(db, before=LATER, ids_before=LATER, limit=20)


def _loosen(db: sqlite3.Connection) -> object:
    return loosen(db, now=LATER, limit=20)


def _arrange(db: sqlite3.Connection) -> object:
    return arrange(db, limit=20)


def _replay(db: sqlite3.Connection) -> object:
    (intent,) = read_intents(db, limit=2)
    assert isinstance(intent, Replay)
    return replay(db, intent, now=NOON, limit=20)


@pytest.mark.parametrize("work", [_arrange, _forget, _loosen, _replay])
def test_a_step_of_much_work_is_as_small_as_a_step_of_little(tmp_path: Path, work: Work) -> None:
    taken = []
    for watches in (50, 1000):
        with closing(open_owned(tmp_path / f"{watches}.db")) as db:
            _fill(db, watches=watches, events=2, ending=Ending.SUCCEEDED)
            if work is _loosen:
                _refuse_all(db)
            know(db, "ops", ordered=False, limit=1)
            write_intent(db, Replay(0, rate=1.0, webhook="new"))
            _replay(db)  # the first step also looks for the beginning
            taken.append(_steps(db, work))
    assert taken[1] <= taken[0] * 1.2 + 1


def test_what_many_want_is_read_a_few_at_a_time(tmp_path: Path) -> None:
    taken = []
    for watches in (50, 1000):
        with closing(open_owned(tmp_path / f"{watches}.db")) as db:
            _fill(db, watches=watches, events=1)
            for number in range(watches):
                write_intent(db, Cancel(0, a_watch(f"w{number}").uid))
            taken.append(_steps(db, lambda db: read_intents(db, limit=20)))
    assert taken[1] <= taken[0] * 1.1 + 1


def test_nothing_to_forget_is_soon_found(tmp_path: Path) -> None:
    taken = []
    for watches in (50, 1000):
        with closing(open_owned(tmp_path / f"{watches}.db")) as db:
            _fill(db, watches=watches, events=2, ending=Ending.SUCCEEDED)
            old = NOON - timedelta(days=1)
            taken.append(_steps(db, lambda db: forget(db, before=old, ids_before=old, limit=500)))  # noqa: B023
    assert taken[1] <= taken[0] + 1
