"""A Redis stream, read as one consumer of a group (SPEC.md, section 3). The only module that imports `redis`.

An entry holds its request, a JSON object, in the field `request`, or in its only field; anything else is refused. It is
acknowledged (XACK) when the store has it, accepted or not, and stays in the stream: trimming is its owner's business
(`XADD … MAXLEN`). The user needs XREADGROUP, XAUTOCLAIM and XACK, and XGROUP CREATE where the group is not there yet.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias, TypeVar

import anyio
import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from watcher.core.request import MOST_BYTES
from watcher.ports import Batch, Item
from watcher.sources.lines import CHUNK, MOST_ITEMS
from watcher.sources.redis_address import Address

TIMEOUT = 10.0  # seconds for one answer
PATIENCE = 0.2  # how much of that the server may wait for new entries
CLAIM_AFTER = 60.0  # seconds without a sign of life until an entry is taken from its consumer
CLAIM_EVERY = 30.0
FIRST_COUNT = 10  # entries, as long as nothing is known of their size
CLOSE_WITHIN = 1.0

NO_REQUEST = "expected the request in a field `request`, or in the only field"
START, NEW = b"0-0", b">"
GROUP_IS_GONE = ("NOGROUP", "UNBLOCKED")  # the latter if the stream is deleted while we wait, before Redis 7.2

Fields: TypeAlias = Mapping[bytes, bytes]
Entries: TypeAlias = list[tuple[bytes, Fields]]  # without fields where the entry was deleted from the stream
Answer = TypeVar("Answer")


class RedisSource:
    """Reads what it had taken and not let go of, then what comes, and what dead consumers left; `ports.Source`."""

    def __init__(
        self,
        address: Address,
        *,
        stream: str,
        group: str,
        consumer: str,
        claim_after: float = CLAIM_AFTER,
        timeout: float = TIMEOUT,
    ) -> None:
        """Read `stream` as `consumer` of `group`; both times are in seconds."""
        self._address = address
        self._redis = _client(address, timeout=timeout)
        self._stream = stream
        self._group = group
        self._consumer = consumer
        self._claim_after = int(claim_after * 1000)
        self._block = int(timeout * PATIENCE * 1000)
        self._after = START  # the last of our entries that was read again; NEW once there are no more
        self._count = FIRST_COUNT
        self._claim_from = START
        self._claim_at = 0.0

    async def open(self, position: bytes | None) -> None:  # noqa: ARG002  # the group has it
        """Find out whether the stream can be read, and read again what was not acknowledged."""
        await self.close()
        self._count = FIRST_COUNT
        self._claim_from, self._claim_at = START, 0.0
        self._after = START
        # What these bring is ours from now on, and comes again from START.
        await self._claimed()
        await self._read()
        self._after = START

    async def receive(self) -> Batch | None:
        """Wait for the next entries; there are always more to come."""
        try:
            while True:
                is_free = self._after == NEW and anyio.current_time() >= self._claim_at
                batch = await self._batch(await (self._claimed() if is_free else self._read()))
                if batch.items:
                    return batch
        except BaseException:
            self._after = START  # what was on its way to us is ours already
            raise

    async def acknowledge(self, batch: Batch, *, refused: Mapping[int, str]) -> None:  # noqa: ARG002
        """Acknowledge all of it: what was refused is in the store too."""
        if isinstance(batch.receipt, tuple):
            await self._acknowledge(batch.receipt)

    async def give_back(self, batch: Batch) -> None:  # noqa: ARG002
        """Read it again: it is still ours."""
        self._after = START

    async def probe(self) -> None:
        """Acknowledge the id that no entry has: that is answered, if we may, and changes nothing."""
        try:
            with self._translated():
                await self._redis.xack(self._stream, self._group, START)
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of the connection; `open` makes another."""
        with suppress(RedisError, OSError), anyio.move_on_after(CLOSE_WITHIN, shield=True):
            await self._redis.aclose()

    async def _read(self) -> Entries:
        """Read on in what is ours; after the end of it, wait a while for new entries."""
        reply = await self._ask(
            lambda: self._redis.xreadgroup(
                self._group, self._consumer, {self._stream: self._after}, count=self._count, block=self._block
            )
        )
        entries: Entries = reply[0][1] if isinstance(reply, list) and reply else []
        if self._after != NEW:  # of our own all are there already, and none is waited for
            self._after = entries[-1][0] if entries else NEW
        return entries

    async def _claimed(self) -> Entries:
        """Take over some of the entries that nobody has cared for in a while."""
        self._claim_from, claimed, *_ = await self._ask(
            lambda: self._redis.xautoclaim(
                self._stream, self._group, self._consumer, self._claim_after, self._claim_from, count=self._count
            )
        )
        if self._claim_from == START:  # again: that was all of them
            self._claim_at = anyio.current_time() + CLAIM_EVERY
        return [one for one in claimed if one[0] is not None]  # which Redis 6 says of deleted ones

    async def _batch(self, entries: Entries) -> Batch:
        """Make items of entries, and let go of those that were deleted."""
        found = [(entry, fields) for entry, fields in entries if fields]
        gone = [entry for entry, fields in entries if not fields]
        if gone:
            await self._acknowledge(gone)
        size = sum(len(name) + len(value) for _, fields in found for name, value in fields.items())
        if size:  # the next ones are taken to be as large: COUNT is the only bound that there is
            self._count = max(1, min(MOST_ITEMS, CHUNK * len(found) // size))
        items = tuple(_item(fields, where=f"{self._stream}#{entry.decode()}") for entry, fields in found)
        return Batch(items, receipt=tuple(entry for entry, _ in found))

    async def _acknowledge(self, ids: Iterable[bytes]) -> None:
        await self._ask(lambda: self._redis.xack(self._stream, self._group, *ids))

    async def _ask(self, command: Callable[[], Awaitable[Answer]]) -> Answer:
        """Send a command; make the group first if it is missing, or was lost with all else (FLUSHALL)."""
        with self._translated():
            try:
                return await command()
            except ResponseError as error:
                if not str(error).startswith(GROUP_IS_GONE):
                    raise
            try:
                await self._redis.xgroup_create(self._stream, self._group, id=START, mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):  # somebody else has just made it
                    raise
            return await command()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, ValueError) as error:  # the latter where the answer is no Redis's
            code = getattr(error, "status_code", None)
            said = self._address.hide(f"{code} {error}" if code else str(error))
            raise OSError(f"{self._stream} at {self._address}: {said}") from None


def _item(fields: Fields, *, where: str) -> Item:
    """Find the request; of one that is too long a byte more than allowed is kept, so that intake refuses it."""
    only = next(iter(fields.values())) if len(fields) == 1 else None
    request = fields.get(b"request", only)
    if request is not None:
        return Item(request[: MOST_BYTES + 1], where)
    names = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in fields.items()}
    return Item(orjson.dumps(names)[: MOST_BYTES + 1], where, refused=NO_REQUEST)


def _client(address: Address, *, timeout: float) -> Redis:
    return Redis(
        host=address.host,
        port=address.port,
        unix_socket_path=address.path,
        db=address.database,
        username=address.username,
        password=address.password,
        ssl=address.is_encrypted,
        ssl_ca_certs=_name(address.ca_file),
        ssl_certfile=_name(address.client_cert),
        ssl_keyfile=_name(address.client_key),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),  # a lost answer may have held entries: only `open` reads them again
        protocol=2,  # and no push messages, no HELLO
        driver_info=None,  # no CLIENT SETINFO, which a narrow ACL does not allow
    )


def _name(path: Path | None) -> str | None:
    return None if path is None else str(path)
