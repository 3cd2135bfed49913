"""The contract of the stores, once, for each: U+0000 in a text, which anybody may write, harms nothing."""

from dataclasses import replace

import pytest
from store_values import NOON, Backend, a_step, a_watch, added, head_of, refusal, settled, told

from watcher.core.delivery import Decision
from watcher.core.intent import Replay
from watcher.ports import Records
from watcher.store import Store

ODD = "a\0b"


@pytest.fixture
async def records(backend: Backend, store: Store) -> Records:
    """Read what the owner has written."""
    return await backend.records()


def shown(text: str | None) -> str | None:
    """Where a store has another character in its place, that is only for people."""
    return text and text.replace("\x1a", "\0")


async def test_labels_params_and_what_a_provider_says_are_kept_as_they_are(store: Store, records: Records) -> None:
    odd = replace(a_watch(), labels={ODD: ODD, "order": "42"}, params={"request_id": ODD})
    (watch,) = await added(store, odd)
    assert await store.commit([a_step(watch, status=ODD)]) == [None]
    found = await records.find("order-42")
    assert found is not None
    assert (found.labels, found.params, found.snapshot and found.snapshot.status) == (odd.labels, odd.params, ODD)
    assert [row.watch for row in await records.watches(labels={ODD: ODD})] == [found]
    assert await records.watches(labels={ODD: "another"}) == []


async def test_what_is_asked_for_with_it_is_not_found(store: Store, records: Records) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=1)
    assert await records.find(ODD) is None
    assert await records.watches(state=ODD) == await records.watches(provider=ODD) == []
    assert await records.events(watch=ODD) == []
    for asked in ("watch", "webhook", "status", "event"):
        assert await records.deliveries(**{asked: ODD}) == []  # type: ignore[arg-type]  # all of these are texts


@pytest.mark.parametrize("wish", [Replay(0, 1.0, events=(ODD,)), Replay(0, 1.0, webhook=ODD, since=NOON)], ids=str)
async def test_what_is_wanted_with_it_ends(store: Store, records: Records, wish: Replay) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=1, to=())
    await store.want(wish)
    (intent,) = await store.intents()
    assert isinstance(intent, Replay)
    assert (intent.events, intent.webhook) == (wish.events, wish.webhook)
    while await store.replay(intent, now=NOON, limit=9):
        pass
    assert await store.intents() == []
    assert isinstance(await records.replayable(wish), int)


async def test_why_an_attempt_failed_or_a_request_was_refused_can_be_read(store: Store, records: Records) -> None:
    (watch,) = await added(store, a_watch())
    await told(store, watch, events=2)
    for decision in (Decision.RETRY, Decision.EXHAUSTED):
        failed = settled(await head_of(store), decision)
        await store.settle([replace(failed, attempt=replace(failed.attempt, error=ODD, headers={"x": ODD}))])
    row = (await records.deliveries())[0]
    assert (row.status, shown(row.last_error)) == ("exhausted", ODD)
    attempts = await records.attempts(delivery=row.id)
    assert [(shown(each.error), each.headers) for each in attempts] == [(ODD, {"x": ODD})] * 2
    await store.add([refusal(ODD, raw=ODD.encode())])
    (refused,) = await records.rejected()
    assert (shown(refused.reason), refused.raw) == (ODD, ODD.encode())
