"""What is too large for a webhook goes thin or in halves, and what waits goes in batches, each under one id."""

from pathlib import Path

import anyio
import orjson
from fakes import Answer
from outboxes import BAD, GOOD, Outbox
from recorded import IDS, rows
from worlds import turning

from watcher.core.wire import Request


def members(request: Request) -> list[tuple[str, int]]:
    body = orjson.loads(request.body)
    each = body["data"] if body["type"] == "batch" else [body]
    return [(event["data"]["watch"], event["data"]["sequence"]) for event in each]


async def test_what_is_too_large_goes_thin_at_once_under_the_same_id(outbox: Outbox, tmp_path: Path) -> None:
    outbox.transport.script("ops", Answer(413), GOOD)
    await outbox.tell("w")
    async with turning(await outbox.pump(retry=[])):
        await anyio.sleep(1)

    full, thin = (sent.request for sent in outbox.transport.sent)
    assert full.headers["webhook-id"] == thin.headers["webhook-id"]
    assert "labels" in orjson.loads(full.body)["data"]
    assert orjson.loads(thin.body)["data"] == {"watch": "w", "sequence": 1}
    assert await rows(tmp_path) == [("delivered", 2)]


async def test_what_waits_of_one_watch_goes_in_batches_and_a_retry_has_the_same_members(outbox: Outbox) -> None:
    outbox.transport.script("ops", BAD, GOOD)
    await outbox.tell("w", events=5)
    pump = await outbox.pump(batch=3)
    async with turning(pump):
        await anyio.sleep(0.5)
        await outbox.tell("w")
        pump.wake()
        await anyio.sleep(5)

    posts = [sent.request for sent in outbox.transport.sent]
    first = [("w", 1), ("w", 2), ("w", 3)]
    assert [members(post) for post in posts] == [first, first, [("w", 4), ("w", 5), ("w", 6)]]
    assert posts[0].headers["webhook-id"] == posts[1].headers["webhook-id"]
    assert posts[0].headers["webhook-id"].startswith("bat_")
    assert not [name for name in posts[0].headers if name.startswith("ce-")]


async def test_without_order_what_waits_of_any_watch_goes_in_one_post(outbox: Outbox, tmp_path: Path) -> None:
    outbox.transport.script("ops", BAD, GOOD)
    await outbox.tell(*IDS)
    async with turning(await outbox.pump(batch=16, order="none", concurrency=1)):
        await anyio.sleep(20)

    sizes = [len(members(sent.request)) for sent in outbox.transport.sent]
    assert sizes[0] == 16
    assert len(sizes) == 3
    assert await rows(tmp_path, status="delivered") == [("delivered", 2)] * 16 + [("delivered", 1)] * 4


async def test_what_waits_of_several_watches_goes_together_however_few_and_a_batch_is_never_in_flight_twice(
    outbox: Outbox,
) -> None:
    outbox.transport.script("ops", Answer(500, takes=1), Answer(204, takes=1))
    await outbox.tell(*IDS[:6])
    async with turning(await outbox.pump(batch=16, order="none", concurrency=8)):
        await anyio.sleep(10)

    posts = [sorted(members(sent.request)) for sent in outbox.transport.sent]
    assert posts == [[(each, 1) for each in IDS[:6]]] * 2


async def test_what_is_on_its_way_goes_with_nothing_else_though_batches_were_made_smaller(outbox: Outbox) -> None:
    outbox.transport.script("ops", BAD, Answer(204, takes=5))
    await outbox.tell("a", "b", "c", "d")
    for size in (4, 3):
        async with turning(await outbox.pump(batch=size, order="none", retry=["60s"])):
            await anyio.sleep(100 if size == 3 else 5)

    posts = [[watch for watch, _ in members(sent.request)] for sent in outbox.transport.sent]
    assert posts == [["a", "b", "c", "d"], ["a", "b", "c"], ["d"]]


async def test_a_batch_that_is_too_large_is_halved_until_it_fits(outbox: Outbox, tmp_path: Path) -> None:
    outbox.transport._otherwise = lambda request: Answer(413) if len(members(request)) > 2 else GOOD
    await outbox.tell("w", events=8)
    async with turning(await outbox.pump(batch=8, retry=[])):
        await anyio.sleep(5)

    accepted = [each for sent in outbox.transport.sent if len(each := members(sent.request)) <= 2]
    assert [one for each in accepted for one in each] == [("w", number) for number in range(1, 9)]
    assert {status for status, _ in await rows(tmp_path)} == {"delivered"}
