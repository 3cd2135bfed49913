"""A page in front of a daemon with a watch, and what the daemon may come to show there."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from chromium import Tab, tab
from http_api import NOW, Served, api
from make import listing, terms
from store_values import head_of, settled

from watcher.core.delivery import Decision
from watcher.core.lifecycle import advance
from watcher.core.model import Message, Observation, State
from watcher.core.outcome import Seen
from watcher.core.rows import Arrival

HOSTILE = [
    "<script>document.title = 'taken'</script>",
    '"><img src=x onerror="document.title = 1">',
    "\u202eright to left\u202c",
    "عربي",
    "w" * 10_000,
    "javascript:alert(1)",
    "&lt;b&gt;",
]


async def nothing_more(served: Served) -> None:
    """Leave the daemon with its one watch."""


@asynccontextmanager
async def page(
    folder: Path,
    browser: str,
    *,
    before: Callable[[Served], Awaitable[None]] = nothing_more,
    at: str = "",
    token: str | None = None,
) -> AsyncIterator[tuple[Served, Tab]]:
    """Serve a daemon with one watch, let something happen before, and open its page."""
    async with api(folder, token=token) as served, tab(browser) as opened:
        await served.daemon.watch()
        await before(served)
        await opened.go(f"{served.url}/{at}")
        yield served, opened


async def see(served: Served, observation: Observation, *, id: str = "order-42") -> None:
    """Let a watch be seen so, and tell webhook `ops` and whoever follows."""
    before = await served.daemon.store.watch(f"uid-{id}")
    assert before is not None
    made = advance(before, Seen(observation), now=NOW, terms=terms(), dice=0.5)
    step = replace(made, events=tuple(replace(event, to=("ops",)) for event in made.events))
    assert await served.daemon.store.commit([step]) == [None]
    served.backing.news.ring()


def messages(*statuses: str) -> Observation:
    """Make an observation of messages m1, m2 … in these statuses."""
    states = {"sent": State.IN_PROGRESS, "delivered": State.SUCCEEDED, "undelivered": State.FAILED}
    listed = (Message(f"m{place}", status, states[status]) for place, status in enumerate(statuses, start=1))
    return listing(*listed, total=9)


async def hostile(served: Served) -> None:
    """Let a provider say everything that it should not."""
    watch = "".join(letter for letter in HOSTILE[1] if letter.isprintable())
    made = await served.daemon.store.watch("uid-order-42")
    assert made is not None
    labels = {f"{place} {text[:50]}": text[:200] for place, text in enumerate(HOSTILE)}
    await served.daemon.store.add(
        [Arrival("test", "1", b"", watch=replace(made, uid=f"uid-{watch}", id=watch, labels=labels))]
    )
    said = [Message(text, text, State.FAILED, {"text": text}) for text in HOSTILE]
    await see(served, listing(*said, total=99), id=watch)
    store = served.daemon.store
    failed = settled(await head_of(store), Decision.RETRY, next_at=NOW + timedelta(hours=1))
    attempt = replace(failed.attempt, body=HOSTILE[1].encode(), error=HOSTILE[0], headers={"server": HOSTILE[2]})
    await store.settle([replace(failed, attempt=attempt)])
