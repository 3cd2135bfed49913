"""What a command does by itself, straight in the store or at a provider, whether a daemon runs or not."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from watcher import __version__
from watcher.ask import Answered, Asker
from watcher.clock import SystemClock
from watcher.config import Config
from watcher.core.errors import StoreBusyError
from watcher.core.intent import Intent
from watcher.core.lease import SHARDS
from watcher.core.model import Params
from watcher.core.outcome import Final
from watcher.core.rows import Admission, Arrival
from watcher.core.standing import BY_HAND
from watcher.core.wire import NoAnswer, Request, Response
from watcher.http.address import Tcp
from watcher.intake import Desk
from watcher.opening import open_store, owner, passer_by
from watcher.outbox import Outbox
from watcher.ports import Clock, Item, Provider, Transport
from watcher.posting import guard_of, open_posts
from watcher.record import Recorder
from watcher.transport import open_transport
from watcher.wanted import Wanted

AGENT = f"watcher/{__version__}"
ALL = 10**9  # for one pass, whatever waits

Take: TypeAlias = Callable[[Iterable[Item]], Awaitable[list[tuple[Arrival, Admission]]]]


def own_of(config: Config) -> frozenset[tuple[IPv4Address | IPv6Address, int]]:
    """Return where we listen ourselves, which no caller may have us call; a name is every address of this machine."""
    address = config.watcher.address
    if not isinstance(address, Tcp):
        return frozenset()
    try:
        return frozenset({(ip_address(address.host), address.port)})
    except ValueError:
        return frozenset({(IPv4Address(0), address.port)})


def desk_of(config: Config, *, clock: Clock) -> Desk:
    """Return what checks requests against a configuration."""
    guard = guard_of(config.callbacks, own=own_of(config)) if config.callbacks else None
    return Desk(config.providers, frozenset(config.webhooks), clock, config.callbacks, guard)


@asynccontextmanager
async def taking(config: Config) -> AsyncIterator[Take]:
    """Take requests straight into the store, daemon running or not; a running one polls them within a second.

    Raises:
        StoreError: it cannot be opened; from what is yielded: none of these requests is in the store.

    """
    desk = desk_of(config, clock=SystemClock())
    store = await open_store(config, worker=passer_by())

    async def take(items: Iterable[Item]) -> list[tuple[Arrival, Admission]]:
        arrivals = [desk.read(item, source=BY_HAND) for item in items]
        return list(zip(arrivals, await store.add(arrivals), strict=True))

    try:
        yield take
    finally:
        await store.close()


async def want(config: Config, intent: Intent) -> None:
    """Write what is wanted of the owner, daemon running or not.

    Raises:
        StoreError: it is not in the store.

    """
    store = await open_store(config, worker=passer_by())
    try:
        await store.want(intent)
    finally:
        await store.close()


async def carry_out(config: Config) -> bool:
    """Carry out what is asked of the owner, if there is none: then this process is it for a moment.

    Returns:
        False if a daemon runs, which does it itself.

    """
    if await owner(config) is not None:
        return False
    store = await open_store(config, worker=passer_by())
    try:
        if len((await store.lease()).epochs) < SHARDS:  # a daemon has come meanwhile
            return False
        clock = SystemClock()
        # Not opened: nothing is sent from here.
        outbox = Outbox(
            config.webhooks, callbacks=config.callbacks, store=store, clock=clock, agent=AGENT, posts=open_posts
        )
        recorder = Recorder(store=store, webhooks=config.webhooks, callbacks=config.callbacks, wake=outbox.wake)
        wanted = Wanted(store=store, recorder=recorder, outbox=outbox, clock=clock)
        for intent in await store.intents(limit=ALL):
            while not await wanted.carry_out(intent):
                pass
    except StoreBusyError:
        return False
    finally:
        await store.close()
    return True


class _Overheard:
    """A transport that keeps the HTTP status of the last answer."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.status: int | None = None

    async def send(self, request: Request, *, within: timedelta) -> Response | NoAnswer:
        """Send one request; see `ports.Transport`."""
        answer = await self._transport.send(request, within=within)
        self.status = answer.status if isinstance(answer, Response) else None
        return answer


async def probe(provider: Provider, params: Params) -> tuple[int | None, Final]:
    """Ask once, as the daemon would; return the last answer's HTTP status and what it means. Nothing is kept.

    Raises:
        RequestError: the params name no operation there.

    """
    provider.check(params)
    async with open_transport() as opened:
        transport = _Overheard(opened)
        polled = await Asker(provider, transport=transport, clock=SystemClock()).poll(params, digest=None)
    if not isinstance(polled, Answered):
        raise TypeError("an answer cannot be unchanged where none was seen before")
    return transport.status, polled.outcome
