"""What several workers know of one webhook, on PostgreSQL: none of them undoes what another found out, or began."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from store_values import NOON, PostgresBackend, added, told, waiting
from workers import SOME, as_held_by, split, two

from watcher.core.delivery import Attempt
from watcher.core.endpoint import Disabled, Endpoint, disabled, enabled
from watcher.core.intent import Switch

GOOD = Attempt(1, NOON, 0.1, 204)


@pytest.fixture
async def backend() -> AsyncIterator[PostgresBackend]:
    one = PostgresBackend()
    yield one
    await one.close()


async def test_a_webhook_that_one_worker_disabled_stays_so_though_another_is_answered_well(
    backend: PostgresBackend,
) -> None:
    one, two = await backend.store("one"), await backend.store("two")
    await one.lease()
    await two.lease()
    known = await two.endpoint("ops", ordered=True)
    await one.want(Switch(0, "ops", on=False))
    (switch,) = await one.intents()
    assert isinstance(switch, Switch)
    await one.done(switch, disabled(known, Disabled.COMMAND, now=NOON), now=NOON)
    after = await two.settle([], endpoint=replace(known, last_good=GOOD), before=known)
    expected = Endpoint("ops", disabled=Disabled.COMMAND, disabled_at=NOON, last_good=GOOD)
    assert after == expected
    assert [replace(one, last_good=None) for one in await two.endpoints()] == [replace(expected, last_good=None)]


async def test_the_steward_alone_changes_the_order_of_what_waits_for_all(backend: PostgresBackend) -> None:
    steward, other = await two(backend)
    for store in (steward, other):
        watches = await added(store, *SOME)
        mine, _ = split(watches, store)
        await told(store, await as_held_by(store, mine), events=600)
    await other.endpoint("ops", ordered=False)
    assert not await other.arrange()
    while await steward.arrange():
        pass
    assert [len(await waiting(store, limit=999)) for store in (steward, other)] == [600, 600]


async def test_who_becomes_steward_goes_on_with_what_another_began(backend: PostgresBackend) -> None:
    steward, other = await two(backend)
    mine, _ = split(await added(other, *SOME), other)
    await told(other, await as_held_by(other, mine), events=1200)
    await steward.endpoint("ops", ordered=False)
    await backend.lapse("one")
    assert (await other.renew()).is_steward
    while await other.arrange():
        pass
    assert len(await waiting(other, limit=9999)) == 1200


async def test_others_are_told_to_look_once_the_order_is_changed(backend: PostgresBackend) -> None:
    steward, other = await two(backend)
    mine, _ = split(await added(other, *SOME), other)
    await told(other, await as_held_by(other, mine), events=10)
    before = await other.endpoint("ops", ordered=True)
    await steward.endpoint("ops", ordered=False)
    assert [one.name for one in await other.endpoints(after=before.version)] == ["ops"]


@pytest.mark.parametrize("name", ["ops", "callback:https://caller.example:443"])
async def test_others_are_told_to_look_once_a_webhook_that_was_not_disabled_is_enabled(
    backend: PostgresBackend, name: str
) -> None:
    steward, other = await two(backend)
    known = await other.endpoint(name, ordered=True)
    await other.want(Switch(0, name, on=True))
    (switch,) = await steward.intents()
    assert isinstance(switch, Switch)
    await steward.done(switch, enabled(known), now=NOON)
    assert await other.endpoints(after=known.version) == [known]
