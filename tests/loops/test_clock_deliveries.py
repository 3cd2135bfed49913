"""A wall clock that was wrong for a while: no delivery waits for a time that is long to come, and none is given up."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from calls import A, Calls, section
from fakes import Answer, SpiedStore
from outboxes import BAD, GOOD, Outbox, pumps
from structlog.testing import capture_logs
from virtual import VirtualClock
from worlds import turning

from watcher.core.endpoint import Endpoint, failed, paused
from watcher.core.errors import ConfigError
from watcher.core.intent import Replay
from watcher.core.webhook_section import Terms, Webhook
from watcher.keep import Keeper
from watcher.outbox import Outbox as Pumps
from watcher.ports import Transport

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


@asynccontextmanager
async def delivering(outbox: Outbox, *, retry: Sequence[str]) -> AsyncIterator[Pumps]:
    """Have what delivers in a daemon, and what keeps it in order; one event waits."""
    every = pumps(outbox.store, clock=outbox.clock, transport=outbox.transport)
    keeper = Keeper(keep=30 * DAY, store=outbox.store, outbox=every, clock=outbox.clock)
    async with every.open(), turning(keeper):
        await every.change({"ops": outbox.section(retry=retry)}, callbacks=None)
        await outbox.tell("w")
        every.wake("ops")
        yield every
        keeper.stop()


async def test_a_retry_that_a_clock_ahead_has_put_off_goes_as_the_schedule_says(
    outbox: Outbox, clock: VirtualClock
) -> None:
    outbox.transport.script("ops", BAD, GOOD)
    clock.step(HOUR)
    pump = await outbox.pump(retry=["20s"])
    clock.step(-HOUR)
    async with turning(pump):
        await outbox.tell("w")
        pump.wake()
        await anyio.sleep(2)
    async with turning(await outbox.pump(retry=["20s"])):  # a restart, or a change of the section
        await anyio.sleep(60)
    first, second = outbox.transport.times("ops")
    assert 20 <= second - first <= 24 + 2


async def test_the_same_in_a_daemon_that_runs_on(outbox: Outbox, clock: VirtualClock) -> None:
    outbox.transport.script("ops", BAD, GOOD)
    clock.step(HOUR)
    async with delivering(outbox, retry=["20s"]):
        await anyio.sleep(2)
        clock.step(-HOUR)
        await anyio.sleep(60)
        assert len(outbox.received()) == 2


@pytest.mark.parametrize("answer", [Answer(429, headers={"retry-after": "3600"}), BAD])
async def test_a_clock_that_leaps_ahead_ends_no_wait(outbox: Outbox, clock: VirtualClock, answer: Answer) -> None:
    outbox.transport.script("ops", answer, GOOD)
    async with delivering(outbox, retry=["1h"]):
        await anyio.sleep(30)
        clock.step(2 * HOUR)
        await anyio.sleep(3 * 3600)
    first, second = outbox.transport.times("ops")
    assert second - first >= 3600


async def test_a_clock_that_leaps_ahead_disables_no_webhook(outbox: Outbox, clock: VirtualClock) -> None:
    outbox.transport.script("ops", *[BAD] * 100)
    failing = replace(failed(Endpoint("ops"), now=clock.now() - 4 * DAY), failed_at=clock.now())
    await outbox.store.settle([], endpoint=failing)
    async with delivering(outbox, retry=["20s"] * 60):
        await anyio.sleep(60)
        clock.step(25 * HOUR)
        await anyio.sleep(60)
        clock.step(-25 * HOUR)
        await anyio.sleep(60)
        known = await outbox.store.endpoint("ops", ordered=True)
    assert (known.disabled, known.failing_since) == (None, failing.failing_since)
    assert len(outbox.received()) > 5


async def test_a_clock_that_is_put_back_while_the_store_does_not_answer_holds_up_nobody(
    outbox: Outbox, clock: VirtualClock
) -> None:
    every = pumps(outbox.store, clock=clock, transport=outbox.transport)
    keeper = Keeper(keep=30 * DAY, store=outbox.store, outbox=every, clock=clock)
    async with every.open(), turning(keeper):
        await every.change({"ops": outbox.section()}, callbacks=None)
        await anyio.sleep(5)
        for verb in ("endpoint", "loosen", "backlog", "heads", "hasten", "prune"):
            outbox.store.fail(verb, times=200)
        clock.step(-HOUR)
        for _ in range(15):
            await anyio.sleep(10)
            assert keeper.is_turning
        await anyio.sleep(300)
        keeper.stop()


class Posts:
    """Opens the connections of sections; not of one while a file of it is gone."""

    def __init__(self, outbox: Outbox) -> None:
        self.transport = outbox.transport
        self.gone: set[str] = set()
        self.opened: list[str] = []

    @asynccontextmanager
    async def __call__(self, terms: Terms) -> AsyncIterator[Transport]:
        assert isinstance(terms, Webhook)
        name = terms.url.rpartition("/")[2]
        if name in self.gone:
            raise ConfigError("ca_file: /etc/ca.pem: No such file or directory")
        self.opened.append(name)
        yield self.transport


async def test_who_cannot_read_its_files_as_the_clock_is_put_back_goes_on_as_it_was(
    outbox: Outbox, clock: VirtualClock
) -> None:
    posts = Posts(outbox)
    every = Pumps({}, store=outbox.store, clock=clock, agent="watcher/test", posts=posts)
    keeper = Keeper(keep=30 * DAY, store=outbox.store, outbox=every, clock=clock)
    with capture_logs() as logs:
        async with every.open(), turning(keeper):
            await every.change({"ops": outbox.section(), "audit": outbox.section("audit")}, callbacks=None)
            posts.gone, posts.opened = {"ops"}, []
            clock.step(-HOUR)
            await anyio.sleep(10)
            assert set(posts.opened) == {"audit"}
            await outbox.tell("w", to=("ops", "audit"))
            every.wake_all()
            await anyio.sleep(10)
            posts.gone, posts.opened = set(), []
            clock.step(-HOUR)
            await anyio.sleep(10)
            assert set(posts.opened) == {"ops", "audit"}
            keeper.stop()
    assert (outbox.received("ops"), outbox.received("audit")) == ([("w", 1)], [("w", 1)])
    error = "webhooks.ops.ca_file: /etc/ca.pem: No such file or directory"
    assert [line for line in logs if line["event"] == "config.rejected"] == [
        {"event": "config.rejected", "log_level": "error", "error": error}
    ]


async def test_a_rest_of_a_webhook_by_a_clock_ahead_ends_however_often_the_daemon_is_restarted(
    outbox: Outbox, clock: VirtualClock
) -> None:
    outbox.transport.script("ops", Answer(429, headers={"retry-after": "600"}), GOOD)
    clock.step(DAY)
    async with turning(pump := await outbox.pump()):
        await outbox.tell("w")
        pump.wake()
        await anyio.sleep(5)
    clock.step(-DAY)
    for _ in range(5):
        async with turning(await outbox.pump()):
            await anyio.sleep(500)
    first, second = outbox.transport.times("ops")
    assert 600 <= second - first < 700


async def test_a_rest_of_a_callback_s_origin_by_a_clock_ahead_ends(
    store: SpiedStore, clock: VirtualClock, tmp_path: Path
) -> None:
    calls = Calls(store, clock, tmp_path)
    calls.transport.script("a", Answer(429, headers={"retry-after": "1200"}), GOOD)
    clock.step(DAY)
    async with turning(origins := calls.origins(most=10)):
        await calls.tell(A, "a", wake=origins)
        await anyio.sleep(5)
    clock.step(-DAY)
    async with turning(calls.origins(most=10)):
        await anyio.sleep(3600)
    first, second = calls.transport.times("a")
    assert 1200 <= second - first <= 2500


async def test_a_replay_by_a_clock_that_was_put_right_is_sent(
    outbox: Outbox, store: SpiedStore, clock: VirtualClock
) -> None:
    await outbox.tell("old", events=2)
    clock.step(HOUR)
    await outbox.tell("ahead")
    async with turning(await outbox.pump()):
        await anyio.sleep(1)
    clock.step(-HOUR)
    async with turning(pump := await outbox.pump()):
        await store.want(Replay(0, 100, webhook="ops", since=clock.now() - HOUR))
        (intent,) = await store.intents()
        assert isinstance(intent, Replay)
        assert await store.replay(intent, now=clock.now(), limit=10) == 3
        pump.wake()
        await anyio.sleep(2)
    assert sorted(outbox.received()[3:]) == sorted(outbox.received()[:3])


async def test_a_callback_that_a_clock_ahead_has_put_off_goes_as_the_schedule_says(
    store: SpiedStore, clock: VirtualClock, tmp_path: Path
) -> None:
    calls = Calls(store, clock, tmp_path)
    calls.transport.script("a", Answer(500), GOOD)
    calls.callbacks = section(retry=["20m"])
    clock.step(DAY)
    async with turning(origins := calls.origins(most=10)):
        await calls.tell(A, "a", wake=origins)
        await anyio.sleep(5)
        clock.step(-DAY)
        await anyio.sleep(2 * 3600)
    first, second = calls.transport.times("a")
    assert 1200 <= second - first <= 2400  # the pump that is idle first ends, and its wait begins once more


async def test_a_rest_of_a_webhook_that_another_worker_learnt_by_a_clock_ahead_is_no_longer(
    outbox: Outbox, clock: VirtualClock
) -> None:
    async with turning(pump := await outbox.pump()):
        ahead = clock.now() + HOUR
        endpoint = Endpoint("ops", section=pump.known.section)
        pump.learn(replace(paused(endpoint, until=ahead + 10 * SECOND, now=ahead), version=99))
        await outbox.tell("w")
        pump.wake()
        await anyio.sleep(60)
    (sent,) = outbox.transport.times("ops")
    assert 10 <= sent <= 12
