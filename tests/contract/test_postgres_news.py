"""What several workers tell each other at once on PostgreSQL, and find all the same where nobody tells them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest
from store_values import (
    NOON,
    PostgresBackend,
    a_watch,
    added,
    arrival,
    cancellation,
    refusal,
    sent,
    told,
)
from workers import SOME, as_held_by, split, two

from watcher.core.delivery import Attempt
from watcher.core.endpoint import Disabled, Endpoint, disabled, failed, paused
from watcher.core.event import provider_changed
from watcher.core.intent import Replay, Switch
from watcher.core.lease import News
from watcher.core.model import Condition, Reason
from watcher.stores.postgres import PostgresStore

GOOD = Attempt(1, NOON, 0.1, 204)
CONDITION = Condition("d7", uid="condition of d7")


@pytest.fixture
async def backend() -> AsyncIterator[PostgresBackend]:
    one = PostgresBackend()
    yield one
    await one.close()


async def news(store: PostgresStore) -> set[News]:
    """Take all that was told until now: the server sends it before it answers."""
    async with store._leaser.transaction():
        pass
    with anyio.move_on_after(0.005):
        return set(await store.news())
    return set()


async def news_of(store: PostgresStore, write: Awaitable[object]) -> set[News]:
    await news(store)
    await write
    return await news(store)


async def test_others_are_told_at_once_what_they_would_else_find_later(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    known = await one.endpoint("ops", ordered=True)
    (watch,) = await added(one, a_watch("old"))
    down = provider_changed(CONDITION, reason=Reason.DENIED, at=NOON, watches=1)
    is_paused = replace(down.condition, paused_until=NOON)
    off = disabled(known, Disabled.COMMAND, now=NOON)
    writes: list[tuple[set[News], Callable[[], Awaitable[object]]]] = [
        ({News.WANTED}, lambda: one.add([arrival(a_watch())])),
        (set(), lambda: one.add([arrival(a_watch()), refusal("no JSON")])),
        ({News.WANTED}, lambda: one.add([cancellation(watch.id)])),
        ({News.WANTED}, lambda: one.want(Switch(0, "ops", on=False))),
        ({News.KNOWN}, lambda: one.report(down)),
        ({News.KNOWN}, lambda: one.pause(is_paused)),
        (set(), lambda: one.settle([], endpoint=replace(known, last_good=GOOD), before=known)),
        ({News.KNOWN}, lambda: one.settle([], endpoint=off, before=known)),
        (set(), one.renew),
        ({News.SHARED}, lambda: one.release([0])),
        ({News.SHARED}, one.release),
        ({News.SHARED}, one.lease),
    ]
    told = [(await news_of(other, write()), expected) for expected, write in writes]
    assert [found for found, _ in told] == [expected for _, expected in told]


async def test_who_was_cut_off_is_told_again_once_it_has_renewed(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    await news(other)
    other._leaser._drop()
    await one.add([arrival(a_watch())])
    assert await news(other) == set()
    await other.renew()
    assert await news_of(other, one.add([arrival(a_watch("next"))])) == {News.WANTED}


async def test_a_word_that_a_newer_version_tells_is_passed_over(backend: PostgresBackend) -> None:
    one, _ = await two(backend)
    assert await news_of(one, backend.execute("SELECT pg_notify(current_schema(), 'what')")) == set()


# --- what is read of webhooks -------------------------------------------------------------------------------------


class Reader:
    """Reads what is new of webhooks since it read last."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._newest = -1

    async def read(self) -> list[str]:
        endpoints = await self._store.endpoints(after=self._newest)
        self._newest = max((one.version for one in endpoints), default=self._newest)
        return [endpoint.name for endpoint in endpoints]


async def test_of_webhooks_only_what_has_changed_is_read_again(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    reader = Reader(other)
    ops, _ = await one.endpoint("ops", ordered=True), await one.endpoint("audit", ordered=False)
    assert [await reader.read(), await reader.read()] == [["audit", "ops"], []]
    rested = paused(ops, until=NOON + timedelta(hours=1), now=NOON)
    after = await one.settle([], endpoint=rested, before=ops)
    assert after is not None
    assert await other.endpoints(after=ops.version) == [Endpoint("audit"), rested]
    assert [await reader.read(), await reader.read()] == [["ops"], []]
    await one.settle([], endpoint=replace(after, last_good=GOOD), before=after)
    assert await reader.read() == []
    await one.settle([], endpoint=failed(after, now=NOON), before=after)
    assert await reader.read() == ["ops"]


async def test_what_one_worker_made_wait_for_a_webhook_others_find_in_their_shards(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    for name in ("ops", "audit"):
        await one.endpoint(name, ordered=True)
    mine, _ = split(await added(one, *SOME), one)
    await told(one, await as_held_by(one, mine), events=1)
    await sent(one)
    reader = Reader(other)
    await reader.read()
    await one.want(Replay(0, rate=100, webhook="ops", since=NOON - timedelta(days=1)))
    (replay,) = await one.intents()
    assert isinstance(replay, Replay)
    await one.replay(replay, now=NOON, limit=10)
    assert await reader.read() == ["ops"]
    down = provider_changed(CONDITION, reason=Reason.DENIED, at=NOON, watches=1)
    await one.report(replace(down, event=replace(down.event, to=("audit",))))
    assert await reader.read() == ["audit"]


async def test_nothing_new_of_webhooks_is_ever_missed_however_many_write(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    reader, names = Reader(other), [f"hook-{number}" for number in range(20)]
    found: list[str] = []

    async def write(store: PostgresStore, some: list[str]) -> None:
        for name in some:
            await store.endpoint(name, ordered=True)

    writing = asyncio.gather(write(one, names[::2]), write(other, names[1::2]))
    while not writing.done():
        found += await reader.read()
    found += await reader.read()
    assert sorted(found) == sorted(names)


async def test_who_only_asks_for_what_is_known_of_a_webhook_waits_for_nobody(backend: PostgresBackend) -> None:
    one, other = await two(backend)
    await one.endpoint("ops", ordered=False)
    async with other._writer._connection.transaction() as db:
        await db.execute("SELECT FROM shards FOR SHARE")
        with anyio.fail_after(5):
            assert await one.endpoint("ops", ordered=False) == Endpoint("ops")
