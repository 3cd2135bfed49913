"""`type = "nats"` where something is wrong: each trouble is one OSError that says what, in time, and leaves nothing."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
import pytest_asyncio
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats_server import SUBJECT, NatsServer, free_port, next_batch, publish, section, serving

from watcher.ports import Source
from watcher.sources import nats_connection, nats_pull, nats_stream
from watcher.sources.nats import NatsSection

CONSUMER = "consumer watcher of stream WATCHER: "


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


async def trouble_of_opening(source: Source) -> str:
    with anyio.fail_after(5), pytest.raises(OSError) as caught:  # noqa: PT011  # what it says is compared
        await source.open(None)
    return str(caught.value)


async def trouble_of_receiving(source: Source) -> str:
    with anyio.fail_after(5), pytest.raises(OSError) as caught:  # noqa: PT011, PT012  # what it says is compared
        while True:
            await source.receive()
    return str(caught.value)


# --- what differs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"deliver_subject": "elsewhere"}, "it is a push consumer, expected a pull consumer"),
        ({"ack_policy": AckPolicy.NONE}, "its ack policy is none, expected explicit"),
        ({"max_deliver": 5}, "it delivers a message 5 times at most, expected no limit"),
        ({"headers_only": True}, "it delivers headers only, expected whole messages"),
        ({"filter_subject": "watcher.other"}, f"it brings watcher.other, expected {SUBJECT}"),
        ({"filter_subject": None}, f"it brings watcher.>, expected {SUBJECT}"),
    ],
)
async def test_a_consumer_that_cannot_be_used_is_named_with_what_differs(
    source: Source, streams: JetStreamContext, found: dict[str, object], text: str
) -> None:
    await streams.add_stream(name="WATCHER", subjects=["watcher.>"])
    wanted = ConsumerConfig(durable_name="watcher", filter_subject=SUBJECT)
    await streams.add_consumer("WATCHER", wanted.evolve(**found))

    assert await trouble_of_opening(source) == CONSUMER + text


async def test_a_stream_that_takes_other_subjects_is_named_with_them(source: Source, streams: JetStreamContext) -> None:
    await streams.add_stream(name="WATCHER", subjects=["orders.*", "parcels"])

    assert (
        await trouble_of_opening(source) == f"stream WATCHER takes orders.*, parcels; expected one that takes {SUBJECT}"
    )


async def test_a_subject_that_belongs_to_another_stream_is_said(source: Source, streams: JetStreamContext) -> None:
    await streams.add_stream(name="OTHER", subjects=["watcher.>"])

    assert await trouble_of_opening(source) == "stream WATCHER: subjects overlap with an existing stream"


@pytest.mark.parametrize(
    ("pattern", "subject", "does"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.*", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a.>", True),
        (">", "a", True),
        ("*.*", "a.b", True),
        ("a.b", "a.c", False),
        ("a.b", "a.*", False),
        ("a.*", "a.>", False),
        ("a.*", "a.b.c", False),
        ("a.>", "a", False),
        ("a.>", "b.c", False),
        ("a.b.>", "a.*.c", False),
    ],
)
def test_a_stream_covers_a_subject_where_all_of_it_goes_there(pattern: str, subject: str, does: bool) -> None:  # noqa: FBT001
    assert nats_stream._covers(pattern, subject) is does


# --- who is not there -----------------------------------------------------------------------------------------


async def test_a_server_that_is_not_there_is_an_error_with_its_place_and_leaves_nothing_behind(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    both = [f"nats://{first}", f"nats://ann:hidden@{second}"]
    source = NatsSection.model_validate({"type": "nats", "servers": both}).source()
    with caplog.at_level(logging.DEBUG):
        text = await trouble_of_opening(source)
    await source.close()
    await asyncio.sleep(0)

    assert sorted(part.partition(": ")[0] for part in text.split("; ")) == sorted([first, second])
    assert text.count("[Errno 111] ") == 2
    assert "hidden" not in text
    assert (capfd.readouterr(), caplog.messages) == (("", ""), [])
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_one_of_several_servers_is_enough(server: NatsServer, streams: JetStreamContext) -> None:
    servers = [f"nats://127.0.0.1:{free_port()}", server.url, f"nats://127.0.0.1:{free_port()}"]
    source = section(server, servers=servers).source()
    for _ in range(5):
        await source.open(None)
    await publish(streams, b"a")

    assert [item.raw for item in (await next_batch(source)).items] == [b"a"]
    await source.close()


async def test_a_server_that_takes_connections_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_connection, "CONNECT_WITHIN", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections wait there to be taken
        place = "{}:{}".format(*silent.getsockname())
        source = NatsSection.model_validate({"type": "nats", "servers": f"nats://{place}"}).source()
        assert await trouble_of_opening(source) == f"{place}: no answer in time"
        with anyio.move_on_after(0.1):
            await source.open(None)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_server_without_jetstream_is_said(tmp_path: Path) -> None:
    async with serving(tmp_path, jetstream=False) as server:
        source = section(server).source()
        assert await trouble_of_opening(source) == "stream WATCHER: JetStream is not available"


async def test_what_may_not_be_asked_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_stream, "ANSWER_WITHIN", 0.3)
    may = '{ publish: ["$JS.ACK.>"], subscribe: ["_INBOX.>"] }'
    extra = f"authorization {{ users: [{{ user: ann, password: hidden, permissions: {may} }}] }}"
    async with serving(tmp_path, extra=extra) as server:
        source = section(server, servers=server.url.replace("//", "//ann:hidden@")).source()
        text = await trouble_of_opening(source)

    assert text.lower() == (
        'stream watcher: no answer in time: permissions violation for publish to "$js.api.stream.info.watcher"'
    )


# --- who goes away --------------------------------------------------------------------------------------------


async def test_a_server_that_dies_is_noticed_at_once(
    source: Source, server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    await source.open(None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.stop)
        with anyio.fail_after(nats_pull.SILENCE - 1):
            assert (await trouble_of_receiving(source)).startswith("the connection is lost: ")
    await source.close()
    await asyncio.sleep(0)

    assert caplog.messages == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_server_that_falls_silent_is_noticed_in_time_and_let_go_of(
    source: Source, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_pull, "SILENCE", 0.3)
    monkeypatch.setattr(nats_pull, "EXPIRES", 0.1)
    await source.open(None)
    server.freeze()

    assert await trouble_of_receiving(source) == "no answer in time"
    with anyio.fail_after(5):
        await source.close()
    server.thaw()


async def test_what_cannot_be_acknowledged_is_an_error(
    source: Source, server: NatsServer, streams: JetStreamContext
) -> None:
    await source.open(None)
    await publish(streams, b"a")
    batch = await next_batch(source)
    await server.stop()
    await trouble_of_receiving(source)

    with pytest.raises(OSError, match="connection closed"):
        await source.acknowledge(batch, refused={})
    await source.give_back(batch)


@pytest.mark.parametrize("is_asking", [True, False])
async def test_a_consumer_that_was_deleted_is_noticed_and_made_again(
    source: Source, streams: JetStreamContext, *, is_asking: bool
) -> None:
    await source.open(None)
    if is_asking:
        with anyio.move_on_after(0.1):
            await source.receive()
    await streams.delete_consumer("WATCHER", "watcher")

    assert await trouble_of_receiving(source) == (
        "it brings no more: Consumer Deleted" if is_asking else "the consumer is gone"
    )
    await source.open(None)
    await publish(streams, b"a")
    assert [item.raw for item in (await next_batch(source)).items] == [b"a"]
