"""Callbacks: an origin is an endpoint of its own, and what one of its watches is told is about that watch alone."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from calls import GOOD, A, B, Calls, section
from fakes import Answer, Silence, SpiedStore
from make import SECRET, whsec
from outboxes import pumps
from structlog.testing import capture_logs
from virtual import VirtualClock
from worlds import take_in

from watcher.core import endpoint
from watcher.core.callbacks import Callbacks, origin
from watcher.core.lifecycle import cancel
from watcher.core.wire import Fault, NoAnswer, Request
from watcher.demo.signature import problem, read_key
from watcher.record import Recorder

THEIRS = whsec(b"canary, a secret of a caller")


@pytest.fixture
def calls(store: SpiedStore, clock: VirtualClock, tmp_path: Path) -> Calls:
    return Calls(store, clock, tmp_path)


def verifies(request: Request, secret: str, *, now: float) -> bool:
    return problem([read_key(secret)], headers=request.headers, body=request.body, now=now) is None


# --- where they go ----------------------------------------------------------------------------------------------


async def test_each_watch_is_called_at_its_own_url_with_its_own_secret_and_in_order(calls: Calls) -> None:
    await take_in(calls.store, [calls.watch(A, "theirs", secret=THEIRS)])
    async with calls.outbox() as outbox:
        await calls.tell(A, "ours", "theirs", events=3, wake=outbox)
        await calls.tell(B, "other", wake=outbox)
        await anyio.sleep(10)

    mine = [[one for one in calls.received() if one[0] == url] for url in (f"{A}/ours", f"{A}/theirs", f"{B}/other")]
    assert mine == [[(f"{A}/ours", n) for n in (1, 2, 3)], [(f"{A}/theirs", n) for n in (1, 2, 3)], [(f"{B}/other", 1)]]
    now = calls.clock.now().timestamp()
    for sent in calls.transport.sent:
        secrets = [secret for secret in (SECRET, THEIRS) if verifies(sent.request, secret, now=now)]
        assert secrets == [THEIRS if sent.last == "theirs" else SECRET]


async def test_what_waits_is_sent_after_a_restart(calls: Calls) -> None:
    await calls.tell(A, "a", events=2)
    await calls.tell(B, "b")
    async with calls.outbox():
        await anyio.sleep(10)

    assert sorted(calls.received()) == [(f"{A}/a", 1), (f"{A}/a", 2), (f"{B}/b", 1)]


async def test_without_their_section_deliveries_wait_and_the_log_says_so_once(calls: Calls) -> None:
    await calls.tell(A, "a")
    await calls.tell(B, "b")
    with capture_logs() as logs:
        outbox = pumps(calls.store, clock=calls.clock, transport=calls.transport)
        async with outbox.open():
            await outbox.change({}, callbacks=None)
            outbox.wake(origin(A))
            await anyio.sleep(60)

    assert calls.received() == []
    assert logs == [
        {
            "event": "endpoint.paused",
            "log_level": "warning",
            "webhook": "callbacks",
            "reason": "no [callbacks] section: the deliveries of 2 origins wait",
            "origins": [origin(A), origin(B)],
        }
    ]


async def test_which_events_go_to_a_callback_is_decided_as_they_are_committed(calls: Calls) -> None:
    woken: list[str] = []

    async def end(id: str, callbacks: Callbacks | None) -> None:
        await take_in(calls.store, [calls.watch(A, id)])
        recorder = Recorder(store=calls.store, webhooks={}, callbacks=callbacks, wake=woken.append)
        await recorder.commit(watch := await calls.stored(id), cancel(watch, now=calls.clock.now(), intent=1))

    await end("yes", section())
    await end("wanted", section(events=["watch.finished"], providers=["d7"]))
    await end("another-type", section(events=["message.*"]))
    await end("another-provider", section(providers=["kore"]))
    await end("no-section", None)

    assert await calls.rows() == [("wanted", 1, "waiting", 0), ("yes", 1, "waiting", 0)]
    assert woken == [origin(A)] * 2


# --- what comes back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [Answer(410), Answer(200, headers={"webhook-delivery": "disable"})])
async def test_gone_ends_the_callback_of_that_watch_alone(calls: Calls, answer: Answer) -> None:
    calls.transport.script("gone", GOOD, answer)
    with capture_logs() as logs:
        async with calls.outbox() as outbox:
            await calls.tell(A, "gone", "other", events=4, wake=outbox)
            await anyio.sleep(10)
            await calls.tell(A, "gone", "other", wake=outbox)
            await anyio.sleep(10)

    assert (await calls.stored("gone")).callback is None
    assert await calls.rows() == [
        ("gone", 1, "delivered", 1),
        ("gone", 2, "exhausted", 1),
        ("gone", 3, "exhausted", 0),
        ("gone", 4, "exhausted", 0),
        *[("other", sequence, "delivered", 1) for sequence in (1, 2, 3, 4, 5)],
    ]
    assert not [line for line in logs if line["event"] == "endpoint.disabled"]


async def test_each_origin_has_its_own_breaker_and_pause(calls: Calls) -> None:
    for watch in ("a1", "a2", "a3"):
        calls.transport.script(watch, Answer(503))
    calls.transport.script("rest", Answer(429, headers={"retry-after": "100"}), GOOD)
    calls.transport.script("b2", Answer(500), GOOD)
    with capture_logs() as logs:
        async with calls.outbox() as outbox:
            await calls.tell(A, "a1", "a2", "a3", wake=outbox)
            await calls.tell("https://c.example", "rest", wake=outbox)
            await calls.tell(B, "b1", "b2", wake=outbox)
            await anyio.sleep(60)

    assert sorted(url for url, _ in calls.received() if url.startswith(B)) == [f"{B}/b1", f"{B}/b2", f"{B}/b2"]
    edges = [(line["event"], line["webhook"], line["reason"]) for line in logs if line["event"].startswith("endpoint")]
    assert edges == [
        ("endpoint.paused", "callback:https://c.example:443", "retry-after"),
        ("endpoint.paused", origin(A), "breaker"),
    ]


async def test_nobody_who_is_silent_for_days_ends_the_callbacks_of_an_origin(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "PATIENCE", timedelta(hours=5))  # instead of five days
    calls.transport.script("wrong", Answer(404))
    async with calls.outbox(callbacks=section(retry=["30m"] * 100)) as outbox:
        await calls.tell(A, "wrong", wake=outbox)
        await anyio.sleep(6 * 3600)
        await calls.tell(A, "right", wake=outbox)
        await anyio.sleep(10)

    assert (f"{A}/right", 1) in calls.received()


async def test_what_the_guard_forbids_fails_by_the_schedule_and_is_given_up(calls: Calls) -> None:
    calls.transport.script("inside", Silence(NoAnswer(Fault.BLOCKED, "a.example: 10.0.0.1 is a private address")))
    with capture_logs() as logs:
        async with calls.outbox(callbacks=section(retry=["1s", "2s"])) as outbox:
            await calls.tell(A, "inside", wake=outbox)
            await anyio.sleep(60)

    assert await calls.rows() == [("inside", 1, "exhausted", 3)]
    assert {line["error"] for line in logs if line["event"] == "delivery.attempted"} == {
        "blocked: a.example: 10.0.0.1 is a private address"
    }


async def test_a_callback_whose_secret_cannot_be_opened_is_not_sent_unsigned_but_fails_by_the_schedule(
    calls: Calls,
) -> None:
    await take_in(calls.store, [calls.watch(A, "theirs", secret=THEIRS)])
    another = section(secret=whsec(b"a key that came after the other"), retry=["1s"])
    with capture_logs() as logs:
        async with calls.outbox(callbacks=another) as outbox:
            await calls.tell(A, "theirs", "ours", wake=outbox)
            await anyio.sleep(60)

    assert calls.received() == [(f"{A}/ours", 1)]
    assert await calls.rows() == [("ours", 1, "delivered", 1), ("theirs", 1, "exhausted", 2)]
    assert {line["error"] for line in logs if line["log_level"] == "warning"} == {
        "blocked: the callback's secret was sealed under a secret that is no longer in [callbacks]"
    }


async def test_of_an_unordered_section_only_what_goes_to_the_same_place_shares_a_post(calls: Calls) -> None:
    await calls.tell(A, "a1", "a2", events=3)
    async with calls.outbox(callbacks=section(order="none", batch=10, concurrency=1)):
        await anyio.sleep(10)

    assert await calls.rows() == [(one, sequence, "delivered", 1) for one in ("a1", "a2") for sequence in (1, 2, 3)]
    posts = [(sent.last, sent.request.body.count(b'"type":"batch"')) for sent in calls.transport.sent]
    assert sorted(posts) == [("a1", 1), ("a2", 1)]
