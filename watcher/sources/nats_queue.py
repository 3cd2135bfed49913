"""A JetStream stream as a source (SPEC.md, section 3): one request a message, acknowledged once the store has it."""

from collections.abc import Mapping

from nats.aio.msg import Msg

from watcher.bell import Bell
from watcher.core.request import MOST_BYTES
from watcher.ports import Batch, Item
from watcher.sources.nats import NatsSection
from watcher.sources.nats_connection import connect, hang_up
from watcher.sources.nats_pull import Pull
from watcher.sources.nats_stream import prepare


class NatsSource:
    """Reads what a durable consumer brings; `ports.Source`. The server keeps the position."""

    def __init__(self, section: NatsSection) -> None:
        """Read what the section describes; nothing is connected yet."""
        self._section = section
        self._pull: Pull | None = None

    async def open(self, position: bytes | None) -> None:  # noqa: ARG002  # the server keeps it
        """Connect, and see that stream and consumer are what is needed."""
        await self.close()
        bell = Bell()
        client = await connect(self._section, on_loss=bell.ring)
        try:
            await prepare(client, self._section)
        except BaseException:
            await hang_up(client)
            raise
        self._pull = Pull(client, stream=self._section.stream, durable=self._section.durable, bell=bell)

    async def receive(self) -> Batch:
        """Wait for the next messages; there is always more to come."""
        messages = await self._opened().receive()
        return Batch(tuple(map(_item, messages)), receipt=messages)

    async def acknowledge(self, batch: Batch, *, refused: Mapping[int, str]) -> None:
        """Have what was accepted forgotten, and what was refused terminated."""
        await self._opened().acknowledge(_messages(batch), terminated=refused)

    async def give_back(self, batch: Batch) -> None:
        """Have a batch come again, and with it what was on its way, so that the order stays."""
        await self._opened().give_back(_messages(batch))

    async def probe(self) -> None:
        """Connect, and compare stream and consumer, if they are there, with what is needed."""
        client = await connect(self._section, on_loss=lambda: None)
        try:
            await prepare(client, self._section, is_making=False)
        finally:
            await hang_up(client)

    async def close(self) -> None:
        """Give back what was on its way, and close the connection."""
        pull, self._pull = self._pull, None
        if pull is not None:
            await pull.close()

    def _opened(self) -> Pull:
        if self._pull is None:
            raise OSError("it is not open")
        return self._pull


def _item(message: Msg) -> Item:
    """Make a request of a message; one that is too long is cut a byte later, so that intake refuses it."""
    return Item(message.data[: MOST_BYTES + 1], f"{message.subject}#{message.metadata.sequence.stream}")


def _messages(batch: Batch) -> list[Msg]:
    return batch.receipt if isinstance(batch.receipt, list) else []
