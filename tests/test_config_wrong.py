"""What is wrong in a configuration is said with the key, what was expected, and what stands there; all at once."""

from pathlib import Path

import pytest
from configuring import D7, OPS, complaints

from watcher.core.duration import EXPECTED
from watcher.database import EXPECTED as STATE_EXPECTED

STATES = '"pending", "in_progress", "succeeded", "partially_succeeded" or "failed"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            D7 + "\n[watcher]\nlisteners = ''\nkeep = 'long'",
            [
                (
                    "watcher.keep: expected a duration: a number of seconds, or a number with a unit: "
                    '"250ms", "0.5s", "10m", "2h", "3d", got "long"'
                ),
                (
                    "watcher.listeners: unknown key; expected one of "
                    "api_token, keep, lease, listen, log, max_watches, state, worker"
                ),
            ],
        ),
        (
            D7 + "\n[provider.x]",
            ["provider: unknown key; expected one of callbacks, providers, sources, watcher, webhooks"],
        ),
        (
            D7 + "\n[watcher.log]\nlevel = 'all'",
            ['watcher.log.level: expected "debug", "info", "warning" or "error", got "all"'],
        ),
        (D7 + "\n[watcher]\nlog = 'all'", ['watcher.log: expected a table, got "all"']),
        (D7 + "rate = 'fast'", ['providers.d7.rate: expected a number, got "fast"']),
        (D7 + "rate = 0", ["providers.d7.rate: expected a number greater than 0, got 0"]),
        (D7 + "burst = 1.5", ["providers.d7.burst: expected a whole number, got 1.5"]),
        (D7 + "base_url = 5", ["providers.d7.base_url: expected a string, got 5"]),
        (D7 + "poll.min = '3d'", ["providers.d7.poll: expected 0 < min <= max"]),
        (D7 + "poll.mode = 'fast'", ['providers.d7.poll.mode: expected "fixed" or "backoff", got "fast"']),
        (
            "[providers.x]\ntype = 'd7'\nclient_id = ''\nclient_secret = 'env:D7'",
            ["providers.x.client_id: expected at least 1 character, got an empty string"],
        ),
        ("[providers.x]\nrate = 1", ['providers.x.type: missing; expected "chime", "d7", "http", "kore" or "ukg"']),
        ("[providers.x]\ntype = 'x'", ['providers.x.type: expected "chime", "d7", "http", "kore" or "ukg", got "x"']),
        (
            "[providers.x]\ntype = 'http'\nurl = 'https://example.com/{id}'\nstatus = 'state'\nstates.ok = 'good'",
            [f'providers.x.states.ok: expected {STATES}, got "good"'],
        ),
        ("[providers]\nd7 = 5", ["providers.d7: expected a table, got 5"]),
        (
            D7 + "\n[sources.'in box']\ntype = 'file'\npath = 'x'",
            ['sources."in box": expected a name of 1 to 64 letters, digits, - and _'],
        ),
        (D7 + "\n[sources.inbox]\ntype = 'file'", ["sources.inbox.path: missing; expected a path"]),
        (
            D7 + "\n[sources.inbox]\npath = 'x'",
            ['sources.inbox.type: missing; expected "file", "directory", "nats" or "redis"'],
        ),
        (
            D7 + OPS + "concurrency = 0",
            ["webhooks.ops.concurrency: expected a number of at least 1, got 0"],
        ),
        (D7 + OPS + "unsigned = 'maybe'", ['webhooks.ops.unsigned: expected true or false, got "maybe"']),
        (D7 + OPS + "events = 'watch.*'", ['webhooks.ops.events: expected a list, got "watch.*"']),
        (D7 + OPS + "providers = ['d7', 'd8']", ["webhooks.ops.providers[1]: unknown provider; expected some of d7"]),
        (D7 + "\n[webhooks.ops]\nunsigned = true", ["webhooks.ops.url: missing; expected a string"]),
        (OPS, ["providers: missing; expected at least one section, such as [providers.d7]"]),
        (
            D7 + "\n[watcher]\nstate = 'watcher.db'",
            [f'watcher.state: {STATE_EXPECTED}, got "watcher.db"'],
        ),
        (
            D7 + "\n[watcher]\nstate = 'mysql://user:canary-7f3a@host/db'",
            [f"watcher.state: {STATE_EXPECTED}"],
        ),
        (
            D7 + "\n[watcher]\nstate = 'postgresql://user:canary-7f3a@[host/db'",
            [f"watcher.state: {STATE_EXPECTED}"],
        ),
        (
            D7 + "\n[watcher]\nworker = 'one two'",
            ['watcher.worker: expected a name of 1 to 200 letters, digits, . - _ @ and :, got "one two"'],
        ),
        (D7 + "\n[watcher]\nlease = '1ms'", ['watcher.lease: expected a duration of at least "1s", got "1ms"']),
    ],
)
def test_an_error_names_the_key_and_what_was_expected(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert complaints(tmp_path, text) == expected


def test_a_duration_is_explained(tmp_path: Path) -> None:
    [line] = complaints(tmp_path, D7 + "timeout = '5 min'")
    assert line == f'providers.d7.timeout: {EXPECTED}, got "5 min"'


def test_a_check_of_a_whole_section_names_the_key_that_it_is_about(tmp_path: Path) -> None:
    [line] = complaints(tmp_path, D7 + "[webhooks.ops]\nurl = 'https://example.com'")
    assert line.startswith("webhooks.ops.secret: expected one")


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = D7 + "rate = 'fast'\nburst = 0\n[watcher]\nstat = 1" + OPS + "timeout = []"
    assert [line.partition(":")[0] for line in complaints(tmp_path, text, environ={"WATCHER__FOO": "1"})] == [
        "WATCHER__FOO",
        "watcher.stat",
        "providers.d7.rate",
        "providers.d7.burst",
        "webhooks.ops.timeout",
    ]
