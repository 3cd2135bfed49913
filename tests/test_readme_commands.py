"""README.md's commands, log lines and paths: each is there, and each that is there is named."""

import re
import shlex
from collections.abc import Iterator

import pytest
from readme import ROOT, TEXT, blocks, plain, prose, table
from typer.testing import CliRunner

import watcher
from watcher.cli import app
from watcher.log import EVENTS, FAULT

COMMAND = r"(?:^|`|\$\(|\S=\S+ |sudo -u watcher |(?<=\| ))(?:/opt/watcher/bin/)?watcher ([^`|)&#<>\n]+)"


def command_lines() -> Iterator[str]:
    """Yield every command line of the README, in a shell block or in running text."""
    typed = re.findall(r"^\$ (.*)$", "\n".join(block.text for block in blocks("console")), re.MULTILINE)
    shell = "\n".join([*(block.text for block in blocks("sh")), *typed])
    spans = "\n".join(f"`{span}`" for span in re.findall(r"`([^`\n]+)`", prose()))
    for found in re.findall(COMMAND, f"{shell}\n{spans}", re.MULTILINE):
        if "COMMAND" not in found and found.strip() != "--version":
            yield found.strip()


def names(group: str = "") -> list[str]:
    """Return what `watcher --help` lists, with a family's commands in place of the family."""
    listed = CliRunner().invoke(app, [*group.split(), "--help"]).output.partition("Commands:")[2]
    found = [f"{group} {name}".strip() for name in re.findall(r"^  ([a-z]+) ", listed, re.MULTILINE)]
    return [inner for name in found for inner in (names(name) or [name])]


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_each_command_line_is_understood(line: str) -> None:
    """`--help` ends a command before it begins, but after its name and its options were found good."""
    result = CliRunner().invoke(app, [*shlex.split(line.replace("…", "")), "--help"])
    assert (result.exit_code, result.output.startswith("Usage:")) == (0, True), result.output


def test_an_option_that_does_not_exist_would_be_noticed() -> None:
    assert CliRunner().invoke(app, ["list", "--colour", "red", "--help"]).exit_code == 2
    assert CliRunner().invoke(app, ["frobnicate", "--help"]).exit_code == 2


def test_the_table_of_commands_is_the_list_of_help() -> None:
    assert sorted(plain(row["command"]) for row in table("Commands")) == sorted(f"watcher {name}" for name in names())


def test_what_is_promised_of_json_holds_for_whatever_lists() -> None:
    listing = {"add", "status", "list", "show", "explain", "events", "deliveries", "rejected"}
    listing |= {"webhook list", "webhook doctor"}
    assert {
        name for name in names() if "--json" in CliRunner().invoke(app, [*name.split(), "--help"]).output
    } == listing


def test_the_table_of_the_log_has_every_event_that_is_written_and_no_other() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "watcher").rglob("*.py") if path.name != "log.py")
    called = set(
        re.findall(r"(?:\w\.|\btell)(?:debug|info|warning|error|exception|critical)?\(\s*\"(\w+\.\w+)\"", source)
    )
    assert {plain(row["event"]) for row in table("Logs")} == (called & EVENTS) | {FAULT}


def test_each_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"(?<![\w/])((?:watcher|tests|systemd)/[\w./@]*\w/?)", TEXT))
    ours = {path for path in named if "acme" not in path and path != "watcher/0.1.0"}
    assert len(ours) > 15
    assert [path for path in sorted(ours) if not (ROOT / path).exists()] == []


def test_each_target_of_make_is_one() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", "\n".join(block.text for block in blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_code_map_names_each_module_and_no_other() -> None:
    package = ROOT / "watcher"
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", watcher.__doc__ or ""))
    assert [name for name in sorted(named) if not (package / name).exists()] == []
    modules = {path.name for path in package.glob("[a-z]*.py")} | {
        f"{path.parent.name}/" for path in package.glob("*/__init__.py")
    }
    assert sorted(modules - named) == []
