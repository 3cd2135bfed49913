"""Every seam but that of the store (`store.py`), and its contract. Only `app.py` knows what is behind which."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from watcher.core.delivery import Attempt
from watcher.core.endpoint import Endpoint
from watcher.core.intent import Replay
from watcher.core.model import Condition, Params, State, Watch
from watcher.core.outcome import Ask, Broken, Denied, Grant, Outcome, Throttled
from watcher.core.rows import DeliveryRow, EventRow, Overview, RejectedRow, WatchRow
from watcher.core.schedule import Pace
from watcher.core.wire import NoAnswer, Request, Response


class Clock(Protocol):
    """Time. Delays run on `monotonic`; `now` is only stored, shown and signed."""

    def now(self) -> datetime:
        """Return the wall clock, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go back, on the event loop's own clock."""


class Transport(Protocol):
    """Sends one request and brings its answer."""

    async def send(self, request: Request, *, within: timedelta) -> Response | NoAnswer:
        """Send `request` as it is, follow nothing, keep no cookie.

        Everything ends in time, the body included; a body of more than 4 MiB, decompressed, is a
        `NoAnswer(TOO_LARGE)`. Never raises for anything that the other side or the network does.
        """


# --- providers ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AwsChain:
    """The login of a provider that takes what botocore's credential chain has, refreshed by it."""


Login: TypeAlias = Request | AwsChain | None


class Provider(Protocol):
    """One account at one status API: a configuration section that acts. Pure: no clock, no dice, no socket.

    The attributes are the section's common keys (SPEC.md, section 2); `rate` is polls per second.
    """

    @property
    def type(self) -> str:
        """The word in the configuration."""

    @property
    def rate(self) -> float:
        """Polls per second over the whole account."""

    @property
    def burst(self) -> int:
        """Polls that may be sent at once after a rest."""

    @property
    def concurrency(self) -> int:
        """Polls in flight at most."""

    @property
    def timeout(self) -> timedelta:
        """One poll, all of it."""

    @property
    def deadline(self) -> timedelta:
        """A watch older than this ends as `expired`."""

    @property
    def grace(self) -> timedelta:
        """How long a 404 after the start is "not there yet"."""

    @property
    def trouble_after(self) -> timedelta:
        """How long no answer may count before it is trouble."""

    @property
    def poll(self) -> Pace:
        """When to ask again."""

    def check(self, params: Params) -> None:
        """Accept the params of a request.

        Raises:
            RequestError: they name no operation here; the text says which key and what was expected.

        """

    def request(self, params: Params) -> Request:
        """Build the status request of checked params, without credentials."""

    def parse(self, params: Params, response: Response, *, after: Ask | None = None) -> Outcome:
        """Say what an answer means; `after` is the `Ask` that it answers. Any bytes give an outcome, never a raise."""

    def login(self, grant: Grant | None) -> Login:
        """Return how to get a grant, given the one that ran out; None where requests need none from outside."""

    def granted(self, response: Response) -> Grant | Denied | Throttled | Broken:
        """Say what the answer to a login means."""

    def authorize(self, request: Request, grant: Grant | None, *, now: datetime, nonce: str) -> Request:
        """Put credentials on a request: a header, a fresh JWT, a signature over exactly these bytes."""


# --- sources --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """One request as it came; `where` is its place for people: `watches.jsonl:12`. `refused`: it is none, and why."""

    raw: bytes
    where: str
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Some requests, and the source's position after them, to be stored with them (None: the source keeps it)."""

    items: tuple[Item, ...]
    position: bytes | None = None
    receipt: object = None


class Source(Protocol):
    """Where watch requests come from. At least once: what was not acknowledged comes again after a restart."""

    async def open(self, position: bytes | None) -> None:
        """Start behind `position`, the one stored last.

        Raises:
            OSError: it cannot be reached now; opened again later.

        """

    async def receive(self) -> Batch | None:
        """Wait for the next requests; None when there will be no more. Cancelling loses nothing.

        Raises:
            OSError: it broke; opened again later.

        """

    async def acknowledge(self, batch: Batch, *, refused: Mapping[int, str]) -> None:
        """Let go of a batch that is on disk; `refused` says why, by place in it, items were not accepted.

        Raises:
            OSError: it cannot now; opened again later.

        """

    async def give_back(self, batch: Batch) -> None:
        """Have a batch, which could not be stored, come again later; `open` may be called before it does."""

    async def probe(self) -> None:
        """Find out, instead of `open`, whether it could be read; nothing is received, claimed, made or moved by that.

        Raises:
            OSError: it could not.

        """

    async def close(self) -> None:
        """Let go of files and connections; idempotent, and `open` starts again."""


# --- what is stored, for those who look ------------------------------------------------------------------------


class Records(Protocol):
    """What the commands ask: reads only, works beside a running owner, creates nothing."""

    async def watches(
        self,
        *,
        state: State | str | None = None,
        provider: str | None = None,
        labels: Mapping[str, str] | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[WatchRow]:
        """Return watches by row. `state` is a state, an ending, `open` or `trouble`."""

    async def find(self, id: str) -> Watch | None:
        """Return the watch of a sender's id."""

    async def events(
        self, *, after: int = 0, watch: str | None = None, since: datetime | None = None, limit: int = 100
    ) -> list[EventRow]:
        """Return events by cursor."""

    async def deliveries(  # each narrows the list
        self,
        *,
        watch: str | None = None,
        webhook: str | None = None,
        status: str | None = None,
        event: str | None = None,
        since: datetime | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[DeliveryRow]:
        """Return deliveries by id; `watch` is a sender's id, `since` is of their events."""

    async def attempts(self, *, delivery: int) -> list[Attempt]:
        """Return the failed attempts of a delivery, oldest first."""

    async def replayable(self, replay: Replay) -> int:
        """Count the deliveries that a replay would make wait, were it carried out now."""

    async def endpoints(self) -> list[Endpoint]:
        """Return what is known of each webhook."""

    async def rejected(self, *, limit: int = 100) -> list[RejectedRow]:
        """Return refused requests, newest first."""

    async def overview(self) -> Overview:
        """Return the numbers of `watcher status`."""

    async def conditions(self) -> list[Condition]:
        """Return the last condition of each provider that was ever down or paused."""

    async def close(self) -> None:
        """Close; idempotent."""
