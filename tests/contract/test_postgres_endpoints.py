"""What several workers know of one webhook, on PostgreSQL: none of them undoes what another found out."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from store_values import NOON, PostgresBackend

from watcher.core.delivery import Attempt
from watcher.core.endpoint import Disabled, Endpoint, disabled
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
    await one.done(switch, disabled(known, Disabled.COMMAND, now=NOON))
    after = await two.settle([], endpoint=replace(known, last_good=GOOD), before=known)
    expected = Endpoint("ops", disabled=Disabled.COMMAND, disabled_at=NOON, last_good=GOOD)
    assert after == expected
    assert [replace(one, last_good=None) for one in await two.endpoints()] == [replace(expected, last_good=None)]
