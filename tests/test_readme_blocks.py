"""No block of README.md stands there untried: each belongs to a test. Links and the list of contents lead somewhere."""

import importlib
import re
import tomllib
from collections import Counter
from functools import partial

import pytest
from readme import ROOT, block, blocks, commands, every_block, plain, prose, table

from watcher import __version__
from watcher.demo import timeline
from watcher.demo.receiver import Arrival
from watcher.demo.show import RUBBISH
from watcher.demo.story import ORDER_42

# The tests that try the blocks of a language under a heading, or under any, and how many blocks those are. A block that
# is new fails here until somebody has named who tries it.
ANY = ""
BY_ROOT = {"Installing": 1, "Running under systemd": 4, "Many workers, one PostgreSQL": 1, "Upgrading": 1}
TRIED_BY = {
    ("toml", ANY): (13, "test_readme:test_each_configuration_loads"),
    ("jsonl", ANY): (7, "test_readme:test_each_request_is_accepted_with_its_params"),
    ("json", ANY): (8, "test_readme_events:test_each_example_is_an_event_as_it_is_really_made"),
    ("http", "Headers"): (1, "test_readme_events:test_the_headers_are_those_of_a_real_post"),
    ("python", "Sequence and duplicates"): (
        1,
        "test_readme_verifying:test_the_receiver_keeps_the_newest_status_and_tells_repeats",
    ),
    ("python", "Verifying a webhook"): (1, "test_readme_verifying:test_what_we_sign_verifies_while_it_is_fresh"),
    ("js", "Verifying a webhook"): (1, "test_readme_verifying:test_what_we_sign_verifies_while_it_is_fresh"),
    ("bash", "Verifying a webhook"): (1, "test_readme_verifying:test_what_we_sign_verifies_while_it_is_fresh"),
    ("console", "Any other JSON status API"): (1, "test_readme_probe:test_the_probe_prints_what_the_readme_says"),
    ("console", "Commands"): (1, "test_explain:test_with_what_the_daemon_says_it_is_the_screen_of_the_readme"),
    ("sh", "Two commands"): (1, "test_readme_commands:test_each_target_of_make_is_one"),
    ("sh", "Developing"): (1, "test_readme_commands:test_each_target_of_make_is_one"),
    ("sh", "First watch in five minutes"): (
        3,
        "test_readme_first:test_what_is_typed_in_three_terminals_shows_what_the_readme_says",
    ),
    ("text", "First watch in five minutes"): (
        1,
        "test_readme_first:test_what_is_typed_in_three_terminals_shows_what_the_readme_says",
    ),
    ("sh", "Without an account"): (2, "test_readme_first:test_who_has_no_account_lets_a_folder_be_the_provider"),
    ("sh", "Configuration"): (1, "test_readme:test_each_variable_of_the_environment_sets_a_key"),
    ("sh", "When a webhook gets nothing"): (
        1,
        "test_readme_asked:test_each_command_about_a_webhook_that_gets_nothing_and_about_sending_again_is_carried_out",
    ),
    ("sh", "Sending again"): (
        1,
        "test_readme_asked:test_each_command_about_a_webhook_that_gets_nothing_and_about_sending_again_is_carried_out",
    ),
    ("sh", "Runbook"): (1, "test_readme_asked:test_the_first_look_finds_what_is_worth_a_look_in_the_log"),
    ("sh", "HTTP"): (1, "test_readme_asked:test_each_request_over_http_is_answered"),
    ("text", "Logs"): (1, "test_readme_asked:test_a_line_of_the_log_has_the_keys_that_the_readme_shows"),
    ("text", "Two commands"): (1, "test_readme_blocks:test_the_demo_s_lines_are_those_that_it_prints"),
    ("text", "How it works"): (1, "test_readme_blocks:test_the_drawing_is_made_of_what_there_is"),
    **{
        ("sh", heading): (number, "test_readme_blocks:test_what_root_is_asked_to_type_is_about_what_there_is")
        for heading, number in BY_ROOT.items()
    },
}


def test_each_block_belongs_to_a_test() -> None:
    found = Counter((each.language, each.heading) for each in every_block())
    wholly = {language for language, heading in TRIED_BY if heading == ANY}
    counted = Counter[tuple[str, str]]()
    for (language, heading), number in found.items():
        counted[language, ANY if language in wholly else heading] += number
    assert dict(counted) == {place: number for place, (number, _) in TRIED_BY.items()}


@pytest.mark.parametrize("test", sorted({test for _, test in TRIED_BY.values()}))
def test_each_of_these_tests_is_there(test: str) -> None:
    module, _, name = test.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


# --- finding one's way ------------------------------------------------------------------------------------------


def anchor(heading: str) -> str:
    """Name a heading as the places that show Markdown do."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def headings(*, level: str = "#+") -> list[str]:
    return re.findall(rf"^{level} (.*)$", prose(), re.MULTILINE)


def test_each_link_within_the_readme_leads_to_a_heading() -> None:
    anchors = Counter(map(anchor, headings()))
    assert [link for link in re.findall(r"\]\(#([^)]+)\)", prose()) if anchors[link] != 1] == []


def test_the_list_of_contents_has_each_chapter() -> None:
    """What stands before the list one has seen already."""
    _, _, behind = prose().partition("\n## Contents\n")
    contents, _, _ = behind.partition("\n## ")
    chapters = {anchor(heading) for heading in re.findall(r"^## (.*)$", behind, re.MULTILINE)}
    assert chapters <= set(re.findall(r"\]\(#([^)]+)\)", contents))


# --- pictures, and what only root may do ------------------------------------------------------------------------


def arrival(answered: int, attempt: int, *change: object) -> Arrival:
    kind, message, before, after = change
    known = {"id": "evt_1", "sequence": 1, "problem": None, "is_repeat": False, "is_in_order": True, "headers": {}}
    make = partial(Arrival, at=0.0, watch="order-42", provider="d7", body=b"", **known)  # type: ignore[arg-type]
    return make(type=kind, message=message, before=before, after=after, answered=answered, attempt=attempt)  # type: ignore[arg-type]


def test_the_demo_s_lines_are_those_that_it_prints() -> None:
    """The times are another's; the story is the demo's own, whose first POST is answered 503."""
    possible = {"append to watches.jsonl: order-42 of d7", f"append to watches.jsonl: {RUBBISH}"}
    for change in ORDER_42.expected:
        possible |= {timeline.event(0, arrival(204, attempt, *change)).plain[9:] for attempt in (1, 2)}
    possible.add(timeline.event(0, arrival(503, 1, *ORDER_42.expected[0])).plain[9:])
    shown = block("text", "Two commands").splitlines()
    assert [line for line in shown if not re.match(r" +\d+\.\d\ds  ", line) or line[9:] not in possible] == []


def test_the_drawing_is_made_of_what_there_is() -> None:
    words = set(re.findall(r"[a-z]+", block("text", "How it works")))
    named = {"source": "sources", "store": "stores", "poll": "poll.py", "deliver": "deliver.py"}
    named |= {"schedule": "core/schedule.py", "advance": "core/lifecycle.py"}
    assert named.keys() | {"commit"} <= words
    assert [place for place in named.values() if not (ROOT / "watcher" / place).exists()] == []


def test_what_root_is_asked_to_type_is_about_what_there_is() -> None:
    """`make systemd-test` and `make dist` type the most of it, on machines of their own."""
    typed = [words for each in blocks("sh") if each.heading in BY_ROOT for words in commands(each.text)]
    named = [word for words in typed for word in words]
    assert [word for word in named if word.startswith("systemd/") and not (ROOT / word).exists()] == []
    assert {word for word in named if word.startswith("dist/")} == {f"dist/watcher-{__version__}-py3-none-any.whl[all]"}
    units = {
        re.sub(r"@\d+$", "@", word) for words in typed if "systemctl" in words for word in words if "watcher" in word
    }
    assert units == {"watcher", "watcher@"}
    assert [unit for unit in units if not (ROOT / f"systemd/{unit}.service").exists()] == []


def test_the_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [plain(row["extra"]) for row in table("Installing")] == sorted(
        project["optional-dependencies"], key="all".__eq__
    )
