"""`watcher explain`: a tired person reads on one screen when a watch is asked next, and why."""

import re
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import forked
import orjson
import pytest
from make import after, terms, watch
from nats_server import free_port
from readme import block
from running import stage
from store_values import a_step, a_watch, added

from watcher.cli.explain import Known, screen
from watcher.core.event import provider_changed
from watcher.core.explain import Account, next_asked
from watcher.core.model import Condition, Ending, Json, Reason, Snapshot, State, Trouble, Watch
from watcher.http.models import LastAnswer, Next
from watcher.stores.sqlite import SqliteStore

CONFIG = """
[watcher]
state = "sqlite:watcher.db"
listen = ""

[providers.d7]
type = "d7"
token = "env:T_D7"
rate = 5
poll = { min = "2s", max = "5m" }
"""
NOW = after("5m")
RUNNING = Snapshot("RUNNING", State.IN_PROGRESS, progress=40.0)
SEEN = watch(RUNNING)
TROUBLED = replace(SEEN, trouble=Trouble(Reason.DENIED, after("3m"), 401, told=True))
CUT_OFF = replace(SEEN, trouble=Trouble(Reason.UNREACHABLE, after("3m"), None, told=True))
SCHEDULED = watch(Snapshot("scheduled", State.PENDING, not_before=after("65m")))
ACCOUNT = Account(terms().pace, rate=5, watches=1)
PAUSED = replace(ACCOUNT, condition=Condition("d7", "uid", paused_until=after("15m")))
DOWN = replace(ACCOUNT, condition=Condition("d7", "uid", 1, Reason.UNREACHABLE, after("1m")))


LAST = LastAnswer(
    at=after("160s"),
    outcome="seen",
    http_status=200,
    detail=None,
    body='{"status":"RUNNING","progress":40}\n',
    is_whole=True,
)
NEXT = Next(
    id="order-42",
    provider="d7",
    due_at=after("312s"),
    in_flight=False,
    ahead=0,
    provider_free_at=None,
    paused_until=None,
    down=None,
    failures=0,
    last_answer=LAST,
)


TIMED_OUT = LAST.model_copy(
    update={"outcome": "broken", "http_status": None, "detail": "no whole answer in time", "body": ""}
)
HOSTILE = LAST.model_copy(update={"body": "\x1b]0;owned\x07\nwatcher: all is well", "is_whole": False})


def but(**other: object) -> Next:
    """Return what the daemon says, but for this."""
    return NEXT.model_copy(update=other)


def told(
    of: Watch,
    account: Account | None = ACCOUNT,
    *,
    daemon: str | None = "process 7",
    at: str = "5m",
    next: Next | None = None,
) -> str:
    """Return what is shown of a watch at a moment."""
    answer = next_asked(of, account, is_running=daemon is not None, now=after(at))
    return "\n".join(screen(Known(of, account, daemon, after(at), answer, next)))


def test_one_screen_says_it_all() -> None:
    assert told(SEEN) == (
        """\
order-42 is asked again between 07:35:00Z and 07:37:47Z, as nothing changed for 5m.

last seen: in_progress, RUNNING, 40 %
changed:   07:30:00Z (5m ago)
accepted:  07:30:00Z (5m ago)
deadline:  ends as expired 2026-11-26T07:30:00Z (in 2d 23h)
pace:      backoff: 2s and half of the time since the last change, up to 5m, with 10 % of jitter either way
rate:      5 a second for 1 open watch: at best one poll each in 0.2s
provider:  d7, not known to be down
daemon:    process 7

Only the running daemon knows what else can delay it (failures since a success),
and the last answer as it came."""
    )


def test_with_what_the_daemon_says_it_is_the_screen_of_the_readme() -> None:
    assert f"$ watcher explain order-42\n{told(SEEN, next=NEXT)}\n" == block("console", "Commands")


def test_how_and_when_it_ended() -> None:
    assert told(replace(SEEN, ending=Ending.SUCCEEDED, finished_at=after("100s"))) == (
        """\
order-42 is not asked again: it ended as succeeded 07:31:40Z (3m 20s ago).

last seen: in_progress, RUNNING, 40 %
changed:   07:30:00Z (5m ago)
accepted:  07:30:00Z (5m ago)
ended:     succeeded, 07:31:40Z (3m 20s ago)"""
    )


@pytest.mark.parametrize(
    ("screen", "answer"),
    [
        pytest.param(
            told(watch()),
            "asked again between 07:35:00Z and 07:37:47Z, as nothing was seen of it yet, 5m after it was accepted",
            id="never-seen",
        ),
        pytest.param(
            told(TROUBLED),
            "asked again between 07:35:00Z and 07:40:00Z, as it is in trouble: "
            "denied (HTTP 401) since 07:33:00Z (2m ago)",
            id="in-trouble",
        ),
        pytest.param(
            told(CUT_OFF),
            "asked again between 07:35:00Z and 07:40:00Z, as it is in trouble: unreachable since 07:33:00Z (2m ago)",
            id="in-trouble-without-an-answer",
        ),
        pytest.param(
            told(SCHEDULED),
            "asked again between 07:35:00Z and 07:40:00Z, slowly, as it is scheduled to start 08:35:00Z (in 1h)",
            id="scheduled",
        ),
        pytest.param(
            told(SEEN, at="4319m"),
            "asked again between 07:29:00Z and 07:30:00Z, as its deadline is 07:30:00Z (in 1m)",
            id="deadline-ahead",
        ),
        pytest.param(
            told(SEEN, at="4d"),
            "asked again between 07:30:00Z and 07:30:02Z, for the last time, as its deadline passed "
            "2026-11-26T07:30:00Z (1d ago)",
            id="deadline-passed",
        ),
        pytest.param(
            told(SEEN, replace(ACCOUNT, watches=10_000)),
            "asked again between 07:35:00Z and 08:08:20Z, as it waits its turn within the provider's rate",
            id="many-watches",
        ),
        pytest.param(
            told(SEEN, PAUSED),
            "asked again between 07:45:00Z and 07:45:00Z, as d7 said to be left alone until 07:45:00Z",
            id="provider-paused",
        ),
        pytest.param(
            told(SEEN, DOWN),
            "asked again when d7 is back: down, unreachable, since 07:31:00Z (4m ago); "
            "one of its watches asks every 10s to 5m",
            id="provider-down",
        ),
        pytest.param(told(SEEN, None), "not asked: the configuration has no [providers.d7]", id="no-section"),
        pytest.param(told(SEEN, daemon=None), "not asked: no daemon is running", id="no-daemon"),
        pytest.param(told(SEEN, next=but(due_at=None, in_flight=True)), "being asked just now", id="in-flight"),
        pytest.param(
            told(SEEN, next=but(due_at=after("4m"), ahead=1234)),
            "due since 07:34:00Z and waits its turn, as 1,234 others are due before it",
            id="waits-its-turn",
        ),
        pytest.param(
            told(SEEN, next=but(due_at=after("4m"))), "asked again at once, as nothing changed for 5m", id="overdue"
        ),
        pytest.param(
            told(SEEN, PAUSED, next=but(provider_free_at=after("901s"))),
            "asked again 07:45:01Z (in 10m 1s), as d7 said to be left alone until 07:45:00Z",
            id="paused-exactly",
        ),
        pytest.param(
            told(SEEN, DOWN, next=but(provider_free_at=after("310s"), down=Reason.UNREACHABLE)),
            "asked again when d7 is back: down, unreachable, since 07:31:00Z (4m ago); "
            "one of its watches asks every 10s to 5m",
            id="down-exactly",
        ),
        pytest.param(
            told(SEEN, next=but(due_at=None)),
            "asked again between 07:35:00Z and 07:37:47Z, as nothing changed for 5m",
            id="the-daemon-does-not-ask",
        ),
    ],
)
def test_the_first_line_is_the_answer(screen: str, answer: str) -> None:
    assert screen.partition("\n")[0] == f"order-42 is {answer}."


@pytest.mark.parametrize(
    ("screen", "fact"),
    [
        pytest.param(told(watch()), "last seen: nothing yet", id="nothing-seen"),
        pytest.param(told(watch()), "changed:   never", id="nothing-changed"),
        pytest.param(told(TROUBLED), "trouble:   denied (HTTP 401) since 07:33:00Z (2m ago)", id="trouble"),
        pytest.param(told(SCHEDULED), "last seen: pending, scheduled", id="no-progress"),
        pytest.param(told(SCHEDULED), "scheduled: starts 08:35:00Z (in 1h)", id="start"),
        pytest.param(
            told(SCHEDULED), "deadline:  ends as expired 2026-11-26T08:35:00Z (in 3d 1h)", id="deadline-after-the-start"
        ),
        pytest.param(
            told(SEEN, replace(ACCOUNT, watches=10_000)),
            "rate:      5 a second for 10,000 open watches: at best one poll each in 33m 20s",
            id="turn",
        ),
        pytest.param(
            told(SEEN, replace(ACCOUNT, pace=terms(mode="fixed").pace)),
            "pace:      fixed: every 2s, in trouble up to 5m",
            id="fixed",
        ),
        pytest.param(told(SEEN, None), "provider:  d7, not in the configuration", id="no-section"),
        pytest.param(told(SEEN, daemon=None), "daemon:    none is running", id="no-daemon"),
        pytest.param(told(SEEN, next=but(failures=2)), "failures:  2 since the last success", id="failures"),
        pytest.param(
            told(SEEN, next=but(last_answer=None)),
            "answered:  nothing yet, or too long ago: a daemon keeps the 1,000 latest answers of each provider",
            id="no-answer-kept",
        ),
        pytest.param(
            told(SEEN, next=but(last_answer=TIMED_OUT)),
            "answered:  broken, 07:32:40Z (2m 20s ago): no whole answer in time",
            id="no-answer-came",
        ),
        pytest.param(
            told(SEEN, next=but(last_answer=HOSTILE)), r"\x1b]0;owned\x07\nwatcher: all is well…", id="hostile-answer"
        ),
    ],
)
def test_each_fact_has_its_line(screen: str, fact: str) -> None:
    assert fact in screen.splitlines()


# --- the command, on a store ----------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "watcher.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
async def store(config: Path) -> AsyncIterator[SqliteStore]:
    """Own the store, as a daemon does."""
    opened = await SqliteStore.open(config.with_name("watcher.db"))
    await opened.lease()
    yield opened
    await opened.close()


async def stored(store: SqliteStore) -> None:
    """Store a watch that changed five minutes ago, a finished one, and open ones of this provider and another."""
    at = datetime.now(UTC) - timedelta(minutes=5)
    fresh = replace(a_watch(), submitted_at=at, accepted_at=at, deadline=timedelta(days=3))
    ours, done, *_ = await added(store, fresh, a_watch("done"), a_watch("open"), a_watch("foreign", provider="kore"))
    step = a_step(ours)
    seen = replace(step, watch=replace(step.watch, snapshot=RUNNING, changed_at=at))
    assert await store.commit([seen, a_step(done, ending=Ending.SUCCEEDED)]) == [None, None]


async def command(config: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    return await forked.run("-c", str(config), "explain", "order-42", *options, environ={})


async def first_line(config: Path) -> str:
    """Run the command and return its answer, with `T` for each moment that the clock makes."""
    done = await command(config)
    assert (done.returncode, done.stderr) == (0, b"")
    return re.sub(r"\S+Z", "T", done.stdout.decode().partition("\n")[0])


async def test_a_watch_of_a_running_daemon(config: Path, store: SqliteStore) -> None:
    await stored(store)
    assert (await first_line(config)).startswith("order-42 is asked again between T and T, as nothing changed for 5m")


async def test_without_a_daemon_it_says_so(config: Path, store: SqliteStore) -> None:
    await stored(store)
    await store.close()
    assert await first_line(config) == "order-42 is not asked: no daemon is running."


async def test_a_provider_that_was_taken_out_of_the_configuration(config: Path, store: SqliteStore) -> None:
    await anyio.Path(config).write_text(CONFIG.replace("providers.d7", "providers.other"))
    await stored(store)
    assert await first_line(config) == "order-42 is not asked: the configuration has no [providers.d7]."


async def test_programs_get_the_same_as_json(config: Path, store: SqliteStore) -> None:
    await stored(store)
    await store.report(provider_changed(Condition("d7", "uid"), reason=Reason.DENIED, at=NOW, watches=1))
    shown = orjson.loads((await command(config, "--json")).stdout)
    moments = {key for key, value in shown.items() if isinstance(value, str) and re.match(r"\d{4}-", value)}
    assert moments == {"accepted_at", "changed_at", "deadline_at", "down_since"}
    assert {key: value for key, value in shown.items() if key not in {*moments, "daemon"}} == {
        "id": "order-42",
        "provider": "d7",
        "why": "down",
        "earliest": None,
        "latest": None,
        "state": "in_progress",
        "status": "RUNNING",
        "progress": 40.0,
        "scheduled_at": None,
        "trouble": None,
        "trouble_since": None,
        "outcome": None,
        "finished_at": None,
        "down": "denied",
        "poll": {"min": 2.0, "max": 300.0, "mode": "backoff"},
        "rate": 5.0,
        "watches": 2,
        "turn": 0.4,
        "paused_until": None,
        "only_the_daemon_knows": ["failures since the last success", "the last answer as it came"],
        "due_at": None,
        "in_flight": None,
        "ahead": None,
        "provider_free_at": None,
        "failures": None,
        "last_answer": None,
    }


async def test_the_moments_of_json_are_the_window(config: Path, store: SqliteStore) -> None:
    await stored(store)
    shown = orjson.loads((await command(config, "--json")).stdout)
    earliest, latest = datetime.fromisoformat(shown["earliest"]), datetime.fromisoformat(shown["latest"])
    quiet = earliest - datetime.fromisoformat(shown["changed_at"])
    longest = 1.1 * (timedelta(seconds=2) + quiet / 2)
    assert shown["why"] == "quiet"
    assert abs(latest - earliest - longest) < timedelta(milliseconds=1)


async def test_an_id_that_nobody_knows(config: Path, store: SqliteStore) -> None:
    done = await command(config)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"watcher: there is no watch 'order-42'\n")


# --- the command, beside a daemon that listens ------------------------------------------------------------------

JOB: Json = {"request_id": "job", "total_recipients": 1, "messages": []}
API = """
[providers.slow]
type = "d7"
base_url = "{url}"
client_id = "{id}"
client_secret = "env:T_D7"
poll = {{ min = "1h", max = "1h" }}
"""


@pytest.mark.parametrize("listen", ["127.0.0.1:{port}", "unix:http.sock"])
async def test_the_running_daemon_says_the_very_moment_and_its_last_answer(tmp_path: Path, listen: str) -> None:
    async with stage(tmp_path) as world:
        world.vendors.d7.script("job", [(0.0, JOB)])
        config = anyio.Path(world.config)
        address = listen.format(port=free_port())
        text = (await config.read_text()).replace('listen = ""', f'listen = "{address}"\napi_token = "env:T_API"')
        await config.write_text(text + API.format(url=world.vendors.d7.url, id=world.vendors.d7.client_id))
        world.environ["T_API"] = "canary-7f3a"
        async with world.daemon():
            await world.call("add", "slow", "request_id=job", "--id", "job")
            await world.until("watch.changed")
            shown = orjson.loads((await world.call("explain", "job", "--json")).stdout)
            screen = (await world.call("explain", "job")).stdout.decode()
            del world.environ["T_API"]
            unknown = await world.call("explain", "job")
    answered = datetime.fromisoformat(shown["last_answer"].pop("at"))
    wait = datetime.fromisoformat(shown["due_at"]) - answered
    assert timedelta(minutes=59) < wait < timedelta(minutes=61)
    assert shown["last_answer"] == {
        "outcome": "seen",
        "http_status": 200,
        "detail": None,
        "body": shown["last_answer"]["body"],
        "is_whole": True,
    }
    assert orjson.loads(shown["last_answer"]["body"]) == JOB
    assert (shown["in_flight"], shown["failures"], shown["only_the_daemon_knows"]) == (False, 0, [])
    assert re.match(r"job is asked again \S+Z \(in (59m \d+s|1h)\), as nothing changed for ", screen)
    assert (unknown.returncode, unknown.stderr) == (0, b"")
    assert b"Only the running daemon knows" in unknown.stdout
    assert "canary" not in world.log.read_text() + screen
