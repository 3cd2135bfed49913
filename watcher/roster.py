"""Loops by the names of their sections: they come, stay and go as these do, and none waits for another.

Here is nothing of what a section says or a loop does.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import anyio
import structlog
from anyio.abc import TaskStatus

from watcher.core.errors import ConfigError, LeaseLostError, StoreError

CHANGE_WITHIN = 5.0  # what is in flight longer is cut off: asked again, or sent again under the same id
PATIENCE = 1.0  # with a store that does not answer

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Loop(Protocol):
    """What is started, stopped, and watched over."""

    async def run(self) -> None:
        """Turn until stopped."""

    def stop(self) -> None:
        """Begin nothing new; `run` ends when what is in flight is finished."""

    @property
    def is_turning(self) -> bool:
        """Has it turned lately, or is it rightly busy?"""


S = TypeVar("S")
L = TypeVar("L", bound=Loop)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Turn(Generic[S, L]):
    """A loop at work, or one that has ended by itself; and what it was made from."""

    section: S
    loop: L
    scope: anyio.CancelScope
    ended: anyio.Event = field(default_factory=anyio.Event)


class Roster(Generic[S, L]):
    """The loops of one kind, while `open` lasts: one for each section, and never two of one name.

    `make` makes the loop of a section, and lets go of what it needs when it has ended; where it meets a `StoreError`,
    or a `ConfigError` because a file of the section is just being replaced, it is asked again. `forget` is called with
    each name that is gone.
    """

    def __init__(
        self,
        verb: str,
        make: Callable[[str, S], AbstractAsyncContextManager[L]],
        *,
        forget: Callable[[str], None],
    ) -> None:
        self._verb = verb
        self._make = make
        self._forget = forget
        self._turns: dict[str, _Turn[S, L]] = {}
        self._tasks = anyio.create_task_group()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Let loops turn while the block lasts; then stop them, and wait for what is in flight."""
        async with self._tasks:
            yield
            self.stop()

    @property
    def loops(self) -> dict[str, L]:
        """Those that turn, or turned until they had nothing more to do, by name."""
        return {name: turn.loop for name, turn in self._turns.items()}

    @property
    def stuck(self) -> list[str]:
        """What those do that do not turn: `poll d7`."""
        return [f"{self._verb} {name}" for name, loop in self.loops.items() if not loop.is_turning]

    def stop(self) -> None:
        """Have them all begin nothing new."""
        for loop in self.loops.values():
            loop.stop()

    async def change(self, sections: Mapping[str, S]) -> None:
        """End the loops of sections that are gone or changed, and start those that are new; return when these turn."""
        names = self._turns.keys() | sections.keys()
        async with anyio.create_task_group() as changing:
            for name in names:
                section = sections.get(name)
                if name not in self._turns or self._turns[name].section != section:
                    changing.start_soon(self._replace, name, section, name=f"change {self._verb} {name}")

    async def renew(self, name: str) -> None:
        """End a loop, if there is one, and start another one for the same section; return when it turns."""
        if name in self._turns:
            await self._replace(name, self._turns[name].section)

    async def _replace(self, name: str, section: S | None) -> None:
        if name in self._turns:
            await self._end(self._turns[name])
            del self._turns[name]
        if section is None:
            self._forget(name)
        else:
            await patiently(lambda: self._tasks.start(self._turn, name, section, name=f"{self._verb} {name}"))

    async def _end(self, turn: _Turn[S, L]) -> None:
        """Wait until a loop has ended, and cut off what takes too long."""
        turn.loop.stop()
        with anyio.move_on_after(CHANGE_WITHIN):
            await turn.ended.wait()
            return
        turn.scope.cancel()
        await turn.ended.wait()

    async def _turn(self, name: str, section: S, *, task_status: TaskStatus[None]) -> None:
        async with self._make(name, section) as loop:
            with anyio.CancelScope() as scope:
                turn = self._turns[name] = _Turn(section, loop, scope)
                task_status.started()
                await loop.run()
        turn.ended.set()


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do what needs the store, as soon as it answers, or a file that is just being replaced."""
    is_slow = False
    while True:
        try:
            return await work()
        except LeaseLostError:
            raise
        except (StoreError, ConfigError) as error:
            if not is_slow:
                what = "store.slow" if isinstance(error, StoreError) else "config.rejected"
                log.error(what, error=str(error))  # noqa: TRY400  # no bug of ours
            is_slow = True
        await anyio.sleep(PATIENCE)
