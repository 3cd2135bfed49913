"""Taking requests in from a command, and saying of each what became of it: one line, also for those refused."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING

import orjson
import typer

from watcher.cli.open import quiet
from watcher.cli.text import harmless
from watcher.core.rows import REFUSALS, Admission, Arrival

if TYPE_CHECKING:
    from watcher.config import Config
    from watcher.ports import Item

ON_COMMAND_LINE = "command line"


async def take_in(config: "Config", requests: "Sequence[object]", *, as_json: bool = False) -> bool:
    """Take the requests of a command line in; False if any was refused."""
    from watcher.ports import Item

    items = [Item(orjson.dumps(request), ON_COMMAND_LINE) for request in requests]
    return await _take_all(config, _once(items), as_json=as_json)


async def take_lines(config: "Config", *, as_json: bool) -> bool:
    """Take the requests on standard input in, a few hundred lines at a time; False if any was refused."""
    return await _take_all(config, _lines(), as_json=as_json)


async def _once(items: "Sequence[Item]") -> "AsyncIterator[Sequence[Item]]":
    yield items


async def _lines() -> "AsyncIterator[Sequence[Item]]":
    from watcher.core.errors import WatcherError
    from watcher.sources.standard_input import StandardInput

    source = StandardInput()
    try:
        await source.open(None)
        while (batch := await source.receive()) is not None:
            yield batch.items
    except OSError as error:
        raise WatcherError(f"standard input: {error}") from None


async def _take_all(config: "Config", batches: "AsyncIterator[Sequence[Item]]", *, as_json: bool) -> bool:
    from watcher import errand

    quiet()
    counts: Counter[Admission] = Counter()
    async with errand.taking(config) as take:
        async for items in batches:
            counts.update(_told(await take(items), as_json=as_json))
    if counts[Admission.CANCELLING]:
        await errand.carry_out(config)
    return not any(counts[each] for each in (Admission.REJECTED, *REFUSALS))


def _told(taken: "Sequence[tuple[Arrival, Admission]]", *, as_json: bool) -> Iterator[Admission]:
    """Print what became of each, and yield it."""
    from watcher.intake import refusal

    for arrival, admission in taken:
        reason = refusal(arrival, admission)
        if as_json:
            answer = {"where": arrival.where, "id": _id(arrival), "result": admission, "reason": reason}
            typer.echo(orjson.dumps(answer))
        elif reason is None:
            typer.echo(f"{_id(arrival)}  {_word(arrival, admission)}")
        else:
            typer.echo(f"{_whose(arrival)}: {harmless(reason)}", err=True)
        yield admission


def _id(arrival: Arrival) -> str | None:
    return arrival.watch.id if arrival.watch else arrival.cancel


def _word(arrival: Arrival, admission: Admission) -> str:
    match admission:
        case Admission.KNOWN:
            return "known already: nothing changed" if arrival.watch else "finished already"
        case Admission.CANCELLING:
            return "cancelled"
        case _:
            return admission.value


def _whose(arrival: Arrival) -> str:
    """Name a request that was refused: by its line, or as the command line did."""
    if arrival.where != ON_COMMAND_LINE:
        return arrival.where
    return harmless(arrival.cancel) if arrival.cancel else "watcher"
