"""The contract of `store.Store`, once, for every store: taking requests in."""

from dataclasses import replace
from datetime import timedelta

import pytest
from store_values import Backend, a_step, a_watch, added, arrival, cancellation, epoch_of, refusal

from watcher.core.intent import Cancel
from watcher.core.model import Callback, Ending, Watch
from watcher.core.rows import REFUSALS, Admission
from watcher.store import Store


async def test_a_watch_comes_back_as_it_was_stored(store: Store) -> None:
    epoch = epoch_of(await store.lease())
    assert await store.add([arrival(a_watch())]) == [Admission.NEW]
    assert await store.watch("uid-order-42") == replace(a_watch(), epoch=epoch)
    assert await store.watch("uid-unknown") is None


async def test_a_watch_comes_back_with_its_callback(store: Store) -> None:
    watch = replace(a_watch(), callback=Callback("https://caller.example/done", "sealed"))
    assert await added(store, watch) == [replace(watch, epoch=1)]


async def test_the_same_request_again_changes_nothing(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    again = replace(
        a_watch(),
        uid="another",
        params={"channel": "sms", "request_id": "9d056a09"},
        labels={},
        webhooks=None,
        deadline=timedelta(1),
    )
    assert await store.add([arrival(again)]) == [Admission.KNOWN]
    assert await store.watch(watch.uid) == watch
    assert await store.watch("another") is None


@pytest.mark.parametrize(
    "other", [a_watch(operation="another"), a_watch(provider="kore")], ids=["other params", "other provider"]
)
async def test_an_id_that_belongs_to_another_operation_is_a_conflict(
    store: Store, backend: Backend, other: Watch
) -> None:
    other = replace(other, uid="another")
    assert await store.add([arrival(a_watch()), arrival(other, line=2)]) == [Admission.NEW, Admission.CONFLICT]
    (row,) = await (await backend.records()).rejected()
    assert (row.where, row.reason) == ("watches.jsonl:2", REFUSALS[Admission.CONFLICT])


async def test_an_id_may_repeat_within_one_call(store: Store) -> None:
    same = replace(a_watch(), uid="same")
    other = replace(a_watch(operation="another"), uid="other")
    assert await store.add([arrival(a_watch()), arrival(same), arrival(other), cancellation("order-42")]) == [
        Admission.NEW,
        Admission.KNOWN,
        Admission.CONFLICT,
        Admission.CANCELLING,
    ]


async def test_a_finished_watch_is_known_and_not_cancelled(store: Store) -> None:
    (watch,) = await added(store, a_watch())
    await store.commit([a_step(watch, ending=Ending.SUCCEEDED)])
    assert await store.add([arrival(a_watch()), cancellation("order-42")]) == [Admission.KNOWN, Admission.KNOWN]
    assert await store.intents() == []


async def test_a_cancellation_is_one_intent_however_often_it_comes(store: Store) -> None:
    first, second = await added(store, a_watch("first"), a_watch("second"))
    wanted = [cancellation("second"), cancellation("first"), cancellation("second")]
    assert await store.add(wanted) == [Admission.CANCELLING] * 3
    intents = await store.intents()
    assert intents == [Cancel(intents[0].id, second.uid), Cancel(intents[1].id, first.uid)]


async def test_of_much_that_is_wanted_the_oldest_is_done_first(store: Store) -> None:
    await added(store, *(a_watch(f"w{number}") for number in range(5)))
    await store.add([cancellation(f"w{number}") for number in (3, 1, 4, 0, 2)])
    wanted = await store.intents(limit=2)
    assert wanted == [Cancel(wanted[0].id, a_watch("w3").uid), Cancel(wanted[1].id, a_watch("w1").uid)]
    assert len(await store.intents()) == 5


async def test_a_cancellation_of_nothing_is_refused(store: Store, backend: Backend) -> None:
    assert await store.add([cancellation("nothing")]) == [Admission.UNKNOWN]
    (row,) = await (await backend.records()).rejected()
    assert (row.source, row.where, row.reason, row.raw) == (
        "inbox",
        "watches.jsonl:1",
        REFUSALS[Admission.UNKNOWN],
        b"{}",
    )


async def test_a_refusal_is_kept_once_per_place_as_it_came(store: Store, backend: Backend) -> None:
    first, second = refusal("expected one JSON object", raw=b"\xff\x00"), refusal("expected d7 or kore", line=2)
    assert await store.add([first, second]) == [Admission.REJECTED, Admission.REJECTED]
    assert await store.add([refusal("said again", raw=b"\xff\x00")]) == [Admission.REJECTED]
    assert await store.add([refusal("after a rotation", raw=b"other")]) == [Admission.REJECTED]
    rows = await (await backend.records()).rejected()
    assert [(row.where, row.reason, row.raw) for row in rows] == [
        ("watches.jsonl:1", "after a rotation", b"other"),
        ("watches.jsonl:2", "expected d7 or kore", b"rubbish"),
        ("watches.jsonl:1", "expected one JSON object", b"\xff\x00"),
    ]


async def test_a_sources_position_is_stored_with_its_batch(store: Store) -> None:
    assert await store.position("inbox") is None
    await store.add([arrival(a_watch())], source="inbox", position=b"\x00first")
    await store.add([], source="spool", position=b"other")
    await store.add([], source="inbox", position=b"\x00second")
    await store.add([], source="inbox", position=None)
    assert [await store.position("inbox"), await store.position("spool")] == [b"\x00second", b"other"]


async def test_requests_come_in_beside_a_running_owner(store: Store, backend: Backend) -> None:
    command = await backend.store()
    assert await command.add([arrival(a_watch()), cancellation("order-42")]) == [Admission.NEW, Admission.CANCELLING]
    (intent,) = await store.intents()
    assert intent == Cancel(intent.id, "uid-order-42")
    assert [opened.id for opened in await store.load(after=0, limit=10)] == ["order-42"]
