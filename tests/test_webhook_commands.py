"""`watcher webhook`: what people see of each webhook, a test POST to one, and switching one off and on."""

import base64
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from commands import Desk
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from make import SECRET
from store_values import a_watch, added, head_of, settled, told, waiting

from watcher.cli.standing import sentence
from watcher.core.delivery import Attempt, Decision
from watcher.core.endpoint import Disabled, Endpoint
from watcher.core.intent import Switch
from watcher.core.model import END_OF_TIME
from watcher.core.rows import Overview
from watcher.core.signature import SigningKey
from watcher.core.standing import standings
from watcher.core.webhook_section import Webhook
from watcher.demo.pretend import serving
from watcher.demo.receiver import Manners, Receiver
from watcher.stores import sqlite
from watcher.stores.sqlite import SqliteStore

KEY = "whsk_" + base64.b64encode(bytes(range(32))).decode()
CONFIG = """
[providers.d7]
type = "d7"
token = "env:NOT_SET"

[webhooks.ops]
url = "{url}/ops?canary"
secret = "env:OPS"

[webhooks.quiet]
url = "https://example.com/"
unsigned = true
"""
NOW = datetime(2026, 11, 23, 12, 10, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    yield Receiver([SECRET])


@pytest_asyncio.fixture
async def desk(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Desk]:
    async with serving(receiver.application()) as url:
        made = Desk(tmp_path, {"OPS": SECRET})
        made.config.write_text(CONFIG.format(url=url))
        yield made


@pytest_asyncio.fixture
async def store(desk: Desk) -> AsyncIterator[SqliteStore]:
    """The store of a daemon that runs."""
    opened = await SqliteStore.open(desk.database)
    await opened.lease()
    yield opened
    await opened.close()


# --- list -------------------------------------------------------------------------------------------------------


def standing(endpoint: Endpoint, *, has_section: bool = True) -> str:
    """Return how a webhook stands, in people's words."""
    webhooks = {"ops": Webhook(url="https://x.y/z?canary", unsigned=True)} if has_section else {}
    overview = Overview({}, {}, {"ops": 3}, {"ops": NOON}, {"ops": 1}, 0, 0, {}, None)
    [found] = standings(webhooks, [endpoint], overview, now=NOW)
    assert (found.url, found.waiting, found.exhausted) == ("https://x.y/z" if has_section else None, 3, 1)
    return sentence(found, now=NOW)


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (Endpoint("ops"), "ok"),
        (Endpoint("ops", failing_since=NOON, failed_at=NOW), "failing since 12:00:00Z (10m ago)"),
        (Endpoint("ops", paused_at=NOON, paused_until=NOON), "ok"),
        (
            Endpoint("ops", paused_at=NOON, paused_until=NOW + timedelta(minutes=5), failing_since=NOON),
            "paused until 12:15:00Z (in 5m), as it asked for",
        ),
        (
            Endpoint("ops", opened_at=NOON, probe_at=NOW + timedelta(seconds=20), failing_since=NOON),
            "breaker open since 12:00:00Z (10m ago), next probe 12:10:20Z (in 20s)",
        ),
        (
            Endpoint("ops", disabled=Disabled.GONE, disabled_at=NOON, opened_at=NOON),
            "disabled since 12:00:00Z (10m ago): it answered 410",
        ),
        (
            Endpoint("ops", disabled=Disabled.ASKED, disabled_at=NOON),
            "disabled since 12:00:00Z (10m ago): it asked for it, by webhook-delivery: disable",
        ),
        (
            Endpoint("ops", disabled=Disabled.SILENT, disabled_at=NOON),
            "disabled since 12:00:00Z (10m ago): no 2xx in 5 days",
        ),
        (
            Endpoint("ops", disabled=Disabled.COMMAND, disabled_at=NOON),
            "disabled since 12:00:00Z (10m ago): by command",
        ),
    ],
)
def test_the_worst_that_holds_is_said_of_a_webhook(endpoint: Endpoint, said: str) -> None:
    assert standing(endpoint) == said


def test_what_waits_for_a_section_that_is_gone_is_listed_too() -> None:
    assert standing(Endpoint("ops", failing_since=NOON), has_section=False) == "no such section"


async def test_webhooks_are_listed_with_what_waits_and_their_last_good_answer(desk: Desk, store: SqliteStore) -> None:
    [watch] = await added(store, a_watch())
    await told(store, watch, events=2)
    good = Attempt(1, NOON, 0.1, 204)
    endpoint = replace(await store.endpoint("ops", ordered=True), last_good=good, failing_since=NOON)
    await store.settle([settled(await head_of(store), Decision.DELIVERED)], endpoint=endpoint)
    done = await desk.run("webhook", "list")
    assert (done.status, done.err, "canary" in done.out) == (0, "", False)
    rows = [re.split(r"  +", re.sub(r":\d+/ops| \(.* ago\)|2026-11-23T", "", row)) for row in done.out.splitlines()]
    assert rows == [
        ["NAME", "URL", "WAITING", "OLDEST", "GIVEN UP", "LAST GOOD", "STATE"],
        ["ops", "http://127.0.0.1", "1", "12:00:02Z", "0", "12:00:00Z", "failing since 12:00:00Z"],
        ["quiet", "https://example.com/", "0", "-", "0", "-", "ok"],
    ]


async def test_programs_get_the_list_as_json(desk: Desk, store: SqliteStore) -> None:
    endpoint = await store.endpoint("quiet", ordered=True)
    await store.settle([], endpoint=replace(endpoint, disabled=Disabled.GONE, disabled_at=NOON))
    found = (await desk.run("webhook", "list", "--json")).json
    assert isinstance(found, list)
    assert found[1] == {
        "name": "quiet",
        "url": "https://example.com/",
        "state": "disabled",
        "reason": "gone",
        "since": "2026-11-23T12:00:00.000000Z",
        "until": None,
        "waiting": 0,
        "oldest_waiting": None,
        "exhausted": 0,
        "ended": 0,
        "last_good_at": None,
    }


# --- test -------------------------------------------------------------------------------------------------------


async def test_a_test_post_is_signed_and_printed_with_its_answer(desk: Desk, receiver: Receiver) -> None:
    done = await desk.run("webhook", "test", "ops")
    [arrival] = receiver.arrivals
    assert (arrival.problem, arrival.watch) == (None, "watcher-test")
    assert (done.status, done.err, desk.database.exists()) == (0, "", False)
    facts = dict(done.facts)
    assert facts.pop("test") == f"{arrival.id}, of the watch watcher-test, signed"
    assert re.fullmatch(r"\d+ ms \(connect \d+ ms, first byte \d+ ms\)", facts.pop("took"))
    assert re.fullmatch(r"127\.0\.0\.1:\d+", facts.pop("address"))
    assert facts == {"status": "204", "means": "delivered"}


async def test_a_test_post_that_is_not_taken_ends_with_1(desk: Desk, receiver: Receiver) -> None:
    receiver.manners = Manners(fail=None, status=503)
    done = await desk.run("webhook", "test", "ops")
    assert (done.status, dict(done.facts)["status"], dict(done.facts)["means"]) == (1, "503", "overloaded")


async def test_a_secret_that_only_the_daemon_can_read_is_named_and_another_may_be_given(
    desk: Desk, receiver: Receiver
) -> None:
    desk.environ.clear()
    done = await desk.run("webhook", "test", "ops")
    expected = "webhooks.ops.secret: expected a secret in the environment variable OPS, which is not set\n"
    assert (done.status, done.out, done.err.endswith(expected)) == (2, "", True)
    desk.environ["MINE"] = SECRET
    assert (await desk.run("webhook", "test", "ops", "--secret", "env:MINE")).status == 0


# --- enable and disable -----------------------------------------------------------------------------------------


async def test_a_running_daemon_is_asked_to_switch_a_webhook(desk: Desk, store: SqliteStore) -> None:
    off, on = await desk.run("webhook", "disable", "ops"), await desk.run("webhook", "enable", "ops")
    assert (off.status, off.out) == (0, "ops  disabled within a second, by the running daemon\n")
    assert (on.status, on.out) == (0, "ops  enabled within a second, by the running daemon\n")
    assert [replace(each, id=0) for each in await store.intents() if isinstance(each, Switch)] == [
        Switch(0, "ops", on=False),
        Switch(0, "ops", on=True),
    ]


async def test_without_a_daemon_it_is_done_at_once_and_status_tells_it(desk: Desk) -> None:
    off = await desk.run("webhook", "disable", "ops")
    assert (off.status, off.out, off.err) == (0, "ops  disabled\n", "")
    status = await desk.run("status")
    assert re.search(r"^  webhook ops is disabled \(by command\) since \S+ \(.* ago\)$", status.out, re.MULTILINE)
    assert (await desk.run("webhook", "enable", "ops")).out == "ops  enabled\n"
    found = (await desk.run("status", "--json")).json
    assert isinstance(found, dict)
    assert found["problems"] == ["no daemon is running"]
    assert isinstance(found["webhooks"], list)
    assert [each["state"] for each in found["webhooks"] if isinstance(each, dict)] == ["ok", "ok"]


async def test_without_a_daemon_all_that_waits_for_its_time_is_due_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "FEW", 2)
    store = await SqliteStore.open(desk.database)
    await store.lease()
    for watch in await added(store, *(a_watch(str(number)) for number in range(5))):
        await told(store, watch, events=1)
    heads = await waiting(store)
    await store.settle([settled(head, Decision.RETRY, next_at=END_OF_TIME) for head in heads])
    await store.close()
    assert (await desk.run("webhook", "enable", "ops")).out == "ops  enabled\n"
    again = await SqliteStore.open(desk.database)
    due = [head.due_at < END_OF_TIME for head in await waiting(again, now=END_OF_TIME)]
    assert (due, await again.intents()) == ([True] * 5, [])
    await again.close()


@pytest.mark.parametrize("command", ["enable", "disable", "test"])
async def test_a_webhook_that_nobody_knows(desk: Desk, command: str) -> None:
    done = await desk.run("webhook", command, "opps")
    problem = "watcher: there is no webhook 'opps'; expected one of ops, quiet\n"
    assert (done.status, done.out, done.err, desk.database.exists()) == (1, "", problem, False)


# --- keys -------------------------------------------------------------------------------------------------------


async def test_a_fresh_pair_of_keys_fits_together(desk: Desk) -> None:
    done = await desk.run("secret", "new", "--asymmetric")
    private, public = done.out.splitlines()
    assert (done.status, done.err, len(base64.b64decode(private.removeprefix("whsk_")))) == (0, "", 64)
    verifier = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    verifier.verify(SigningKey.read(private).sign(b"exactly this"), b"exactly this")
    assert (await desk.run("secret", "new", "--asymmetric")).out != done.out


def test_without_its_extra_a_pair_of_keys_is_refused_with_its_name() -> None:
    without = "import sys; sys.modules['cryptography'] = None; from watcher.cli import main; main()"
    command = [sys.executable, "-c", without, "secret", "new", "--asymmetric"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'watcher: signing with ed25519 needs the extra: pip install "watcher[ed25519]"\n'


async def test_check_prints_the_public_key_that_belongs_to_a_signing_key(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {"NOT_SET": "t", "OPS": SECRET, "KEY": KEY})
    text = CONFIG.format(url="https://x.y").replace('"env:OPS"', '"env:OPS"\nsigning_key = "env:KEY"')
    desk.config.write_text(text)
    done = await desk.run("check")
    assert (done.status, done.err, KEY in done.out) == (0, "", False)
    assert f"# webhooks.ops.signing_key: {SigningKey.read(KEY).public}\n" in done.out


async def test_a_c_behind_the_command_gets_a_hint(desk: Desk) -> None:
    done = await desk.run("list", "-c", "watcher.toml")
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith("-c goes before the command: watcher -c FILE list …\n")
