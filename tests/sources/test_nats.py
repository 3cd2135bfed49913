"""`type = "nats"` against a real server: what is promised of every source, and of this one."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
import pytest_asyncio
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy
from nats_server import SUBJECT, NatsServer, next_batch, publish, section, serving

from watcher.core.request import MOST_BYTES
from watcher.ports import Item, Source
from watcher.sources import nats_pull


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with serving(tmp_path) as server:
        yield server


@pytest_asyncio.fixture
async def streams(server: NatsServer) -> AsyncIterator[JetStreamContext]:
    async with server.client() as streams:
        yield streams


@pytest_asyncio.fixture
async def source(server: NatsServer) -> AsyncIterator[Source]:
    source = section(server).source()
    yield source
    await source.close()


async def take(source: Source, number: int) -> list[Item]:
    """Receive and acknowledge so many requests."""
    items: list[Item] = []
    while len(items) < number:
        batch = await next_batch(source)
        items += batch.items
        await source.acknowledge(batch, refused={})
    return items


async def settled(streams: JetStreamContext) -> None:
    """Wait until the server has heard of every acknowledgement."""
    with anyio.fail_after(5):
        while (await streams.consumer_info("WATCHER", "watcher")).num_ack_pending:
            await anyio.sleep(0.01)


async def soon_again(streams: JetStreamContext, *, ack_wait: float) -> None:
    """Make stream and consumer as the source would, but what is not acknowledged comes again much sooner."""
    await streams.add_stream(name="WATCHER", subjects=[SUBJECT])
    await streams.add_consumer("WATCHER", durable_name="watcher", filter_subject=SUBJECT, ack_wait=ack_wait)


# --- the contract ---------------------------------------------------------------------------------------------


async def test_requests_come_in_order_with_subject_and_sequence_as_their_places(
    source: Source, streams: JetStreamContext
) -> None:
    await source.open(None)
    await publish(streams, *[b"%d" % number for number in range(1, 301)])

    assert await take(source, 300) == [Item(b"%d" % number, f"{SUBJECT}#{number}") for number in range(1, 301)]


async def test_stream_and_consumer_are_made_where_they_are_missing(source: Source, streams: JetStreamContext) -> None:
    await source.open(None)

    stream = (await streams.stream_info("WATCHER")).config
    consumer: ConsumerConfig = (await streams.consumer_info("WATCHER", "watcher")).config
    assert (stream.subjects, stream.retention) == ([SUBJECT], RetentionPolicy.WORK_QUEUE)
    assert (consumer.durable_name, consumer.filter_subject) == ("watcher", SUBJECT)
    assert (consumer.ack_policy, consumer.deliver_subject, consumer.max_deliver) == (AckPolicy.EXPLICIT, None, -1)


async def test_requests_that_were_there_before_the_source_are_read(source: Source, streams: JetStreamContext) -> None:
    await streams.add_stream(name="WATCHER", subjects=["watcher.>"])
    await publish(streams, b"a", b"b")
    await source.open(None)

    assert [item.raw for item in await take(source, 2)] == [b"a", b"b"]


async def test_what_was_accepted_and_what_was_refused_never_come_again(
    source: Source, streams: JetStreamContext
) -> None:
    await soon_again(streams, ack_wait=0.2)
    await publish(streams, b"good", b"bad")
    await source.open(None)
    await source.acknowledge(await next_batch(source), refused={1: "bad"})
    await settled(streams)
    await publish(streams, b"next")

    assert [item.raw for item in await take(source, 1)] == [b"next"]
    assert (await streams.consumer_info("WATCHER", "watcher")).num_redelivered == 0


async def test_what_was_taken_but_not_acknowledged_comes_again(source: Source, streams: JetStreamContext) -> None:
    await soon_again(streams, ack_wait=0.2)
    await publish(streams, b"a", b"b")
    await source.open(None)
    first = await next_batch(source)
    await source.close()
    await source.open(None)

    assert list(first.items) == [Item(b"a", f"{SUBJECT}#1"), Item(b"b", f"{SUBJECT}#2")]
    assert await take(source, 2) == list(first.items)


async def test_a_batch_that_was_given_back_comes_again_after_a_while_with_what_was_on_its_way(
    source: Source, streams: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_pull, "RETURN_AFTER", 0.2)
    await source.open(None)
    await publish(streams, b"1", b"2")
    batch = await next_batch(source)
    await publish(streams, b"3")
    given_back_at = anyio.current_time()
    await source.give_back(batch)

    assert sorted(item.raw for item in await take(source, 3)) == [b"1", b"2", b"3"]  # the server keeps no order
    assert 0.1 < anyio.current_time() - given_back_at < 4


async def test_cancelling_loses_nothing(source: Source, streams: JetStreamContext) -> None:
    await source.open(None)
    with anyio.move_on_after(0.05):
        await source.receive()
    await publish(streams, b"a", b"b")

    assert [item.raw for item in await take(source, 2)] == [b"a", b"b"]


async def test_what_was_on_its_way_when_the_source_was_closed_comes_soon_again(
    source: Source, streams: JetStreamContext
) -> None:
    await source.open(None)
    with anyio.move_on_after(0.05):
        await source.receive()  # it has asked, and will be sent what comes
    await publish(streams, b"a", b"b")
    await source.close()
    await source.close()
    await source.open(None)

    assert [item.raw for item in await take(source, 2)] == [b"a", b"b"]
    assert (await streams.consumer_info("WATCHER", "watcher")).delivered.consumer_seq == 4


async def test_a_request_that_is_too_long_is_cut_a_byte_after_the_limit(
    source: Source, streams: JetStreamContext
) -> None:
    await source.open(None)
    await publish(streams, b"x" * 5_000_000, b"next")

    assert await take(source, 2) == [Item(b"x" * (MOST_BYTES + 1), f"{SUBJECT}#1"), Item(b"next", f"{SUBJECT}#2")]


async def test_a_batch_is_bounded_and_a_message_beyond_the_bound_still_comes(
    source: Source, streams: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_pull, "MOST_BYTES", 10_000)
    monkeypatch.setattr(nats_pull, "MOST_MESSAGES", 3)
    sizes = [100, 100, 100, 100, 8_000, 20_000, 8_000, 100, 30_000, 30_000, 100]
    await source.open(None)
    await publish(streams, *[b"x" * size for size in sizes])

    assert [len(item.raw) for item in await take(source, len(sizes))] == sizes


async def test_a_header_that_looks_like_a_word_of_the_server_is_none(source: Source, streams: JetStreamContext) -> None:
    await source.open(None)
    await streams.publish(SUBJECT, b"", headers={"Status": "409", "Description": "Consumer Deleted"})

    assert await take(source, 1) == [Item(b"", f"{SUBJECT}#1")]


async def test_an_idle_source_waits_for_longer_than_one_request_lasts(
    source: Source, streams: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_pull, "EXPIRES", 0.1)
    monkeypatch.setattr(nats_pull, "SILENCE", 0.3)
    await source.open(None)
    with anyio.move_on_after(0.8) as waiting:
        await source.receive()
    assert waiting.cancelled_caught
    await publish(streams, b"a")

    assert [item.raw for item in await take(source, 1)] == [b"a"]
