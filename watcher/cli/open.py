"""What most commands begin with: the configuration, the store to read, and a loop to run in."""

import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import typer

if TYPE_CHECKING:
    from watcher.config import Config
    from watcher.ports import Records

P = ParamSpec("P")
R = TypeVar("R")


def configuration(context: typer.Context, *, resolve: bool = False) -> "Config":
    """Read the configuration that the command line names; secrets are followed only if `resolve`."""
    from watcher.config import find, load

    explicit = context.obj if isinstance(context.obj, Path) else None
    return load(find(explicit, os.environ), environ=os.environ, resolve=resolve)


@asynccontextmanager
async def records(context: typer.Context) -> AsyncIterator["Records"]:
    """Open the store to read; it is never created."""
    from watcher.stores.sqlite_records import SqliteRecords

    opened = await SqliteRecords.open(configuration(context).watcher.database)
    try:
        yield opened
    finally:
        await opened.close()


def in_loop(command: Callable[P, Awaitable[R]]) -> Callable[P, R]:
    """Make a command of an async function."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        import anyio
        import structlog

        # What a command does on the way is for the daemon's log; a command prints its result.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))

        async def call() -> R:
            return await command(*args, **kwargs)

        return anyio.run(call)

    return run
