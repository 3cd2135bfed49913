"""README.md at three in the morning: no alert and no line of the log is left out, and what it says of them is so."""

import re
import shlex
import sqlite3
from pathlib import Path

import pytest
from bench.__main__ import ALONE, MEASUREMENTS
from commands import Desk
from readme import ROOT, TEXT, plain, table

from watcher.http.page.page import HEADERS
from watcher.log import EVENTS
from watcher.stores.sqlite import SqliteStore


def test_the_runbook_has_each_alert_in_order() -> None:
    rules = (ROOT / "systemd/monitoring/alerts.yml").read_text()
    assert [plain(row["alert"]) for row in table("Runbook")] == re.findall(r"(?m)^ +- alert: (\w+)$", rules)


def test_the_table_of_the_log_is_the_closed_list() -> None:
    assert sorted(plain(row["event"]) for row in table("Logs")) == sorted(EVENTS)


@pytest.mark.parametrize(
    ("heading", "least"), [("Runbook", {"what it means", "what to do"}), ("Logs", {"what it means"})]
)
def test_each_row_says_what_it_is_about(heading: str, least: set[str]) -> None:
    for row in table(heading):
        assert [column for column in least if not row[column]] == [], row


def test_what_is_no_good_news_says_what_to_do() -> None:
    good = {"daemon.ready", "daemon.stopping", "source.up", "request.accepted", "poll.done", "watch.changed"}
    good |= {"watch.recovered", "watch.finished", "provider.up", "endpoint.enabled"}
    assert {plain(row["event"]) for row in table("Logs") if not row["what to do"]} == good


async def test_a_store_of_a_newer_version_is_refused_in_the_words_of_the_readme_and_stays_as_it_is(
    tmp_path: Path,
) -> None:
    [words] = re.findall(r"an older version refuses \(`([^`]+)`, exit\s+status 1\)", TEXT)
    desk = Desk(tmp_path)
    desk.config.write_text('[watcher]\nlisten = ""\n[providers.d7]\ntype = "d7"\ntoken = "d7-pretend-token"\n')
    await (await SqliteStore.open(desk.database)).close()
    with sqlite3.connect(desk.database) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = desk.database.read_bytes()
    done = await desk.run("run")
    assert (done.status, words in done.out, desk.database.read_bytes()) == (1, True, before), done


def test_each_figure_has_the_command_that_measures_it() -> None:
    for row in table("Figures"):
        *_, word = shlex.split(plain(list(row.values())[-1]))
        assert word in ALONE or [name for name in MEASUREMENTS if word in name], row


def test_what_is_said_of_the_page_s_policy_is_in_it() -> None:
    policy = HEADERS["Content-Security-Policy"]
    for part in ("default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"):
        assert part in policy
    assert "`default-src 'none'`" in TEXT
    assert set(re.findall(r"(?:script|style|connect)-src ([^;]*);", policy)) == {"'self'"}
