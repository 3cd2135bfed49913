"""What most commands begin with: the configuration, the store to read, and a loop to run in."""

import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from watcher.config import Config
    from watcher.core.secret import Secret
    from watcher.core.webhook_section import Terms, Webhook
    from watcher.ports import Records

P = ParamSpec("P")
R = TypeVar("R")
Section = TypeVar("Section", bound="BaseModel")


def configuration(context: typer.Context, *, resolve: bool = False) -> "Config":
    """Read the configuration that the command line names; what it refers to is read only if `resolve`."""
    from watcher.config import find, load

    path = find(_explicit(context), os.environ)
    config = load(path, environ=os.environ, resolve=resolve)
    if resolve:
        _check_trust(config, path=path)
    return config


def _check_trust(config: "Config", *, path: Path) -> None:
    from watcher.core.errors import ConfigError
    from watcher.posting import distrusted

    if wrong := [f"{path}: {problem}" for problem in distrusted(config.receivers)]:
        raise ConfigError("\n".join(wrong))


def _explicit(context: typer.Context) -> Path | None:
    return context.obj if isinstance(context.obj, Path) else None


def named(config: "Config", name: str) -> "Webhook":
    """Return the section of a webhook."""
    from watcher.core.errors import WatcherError

    if name not in config.webhooks:
        raise WatcherError(f"there is no webhook {name!r}; expected one of {', '.join(config.webhooks)}")
    return config.webhooks[name]


def named_or_origin(config: "Config", name: str) -> "Terms":
    """Return the section by which a webhook is sent to, or an origin that callbacks go to."""
    from watcher.core.callbacks import ANY_ORIGIN

    return config.callbacks if config.callbacks and name.startswith(ANY_ORIGIN) else named(config, name)


def resolved(context: typer.Context, name: str, *, secret: str | None) -> "Webhook":
    """Return the section of a webhook with its own references followed; `secret` goes before what it says."""
    section = named(configuration(context), name)
    return _followed(context, section, place=f"webhooks.{name}", besides=_signing(secret))


def sealing(context: typer.Context) -> "Config":
    """Read the configuration, and follow what `[callbacks]` refers to if it can be read: only some requests need it."""
    from watcher.core.errors import ConfigError

    config = configuration(context)
    if config.callbacks is None:
        return config
    try:
        return config.model_copy(update={"callbacks": _followed(context, config.callbacks, place="callbacks")})
    except ConfigError:
        return config


def token(context: typer.Context) -> "Secret | None":
    """Return the API's token, if there is one.

    Raises:
        ConfigError: it cannot be read.

    """
    return _followed(context, configuration(context).watcher, place="watcher").api_token


def _followed(
    context: typer.Context, section: Section, *, place: str, besides: Mapping[str, object] = MappingProxyType({})
) -> Section:
    """Read a section once more, with its own references followed."""
    from watcher.config import find, follow

    path = find(_explicit(context), os.environ)
    return follow(
        {key: getattr(section, key) for key in section.model_fields_set} | {**besides},
        model=type(section),
        place=f"{path}: {place}.",
        folder=path.absolute().parent,
        environ=os.environ,
    )


def unwritten(url: str, *, secret: str | None) -> "Webhook":
    """Return a webhook that no configuration has."""
    from watcher.config import follow
    from watcher.core.webhook_section import Webhook

    written = {"url": url, "allow_http": True, "unsigned": True} | _signing(secret)
    return follow(written, model=Webhook, place="", folder=Path.cwd(), environ=os.environ)


def _signing(secret: str | None) -> dict[str, object]:
    """Write the keys that say what to sign with; a path is one of this folder, not of the configuration's."""
    if secret is None:
        return {}
    path = secret.removeprefix("file:")
    return {"secret": secret if path == secret else f"file:{Path(path).absolute()}", "unsigned": False}


@asynccontextmanager
async def records(context: typer.Context) -> AsyncIterator["Records"]:
    """Open the store to read; it is never created."""
    from watcher.opening import open_records

    opened = await open_records(configuration(context))
    try:
        yield opened
    finally:
        await opened.close()


def quiet() -> None:
    """Log nothing: what a command does on the way is for the daemon's log; a command prints its result."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))


def in_loop(command: Callable[P, Awaitable[R]]) -> Callable[P, R]:
    """Make a command of an async function."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        import anyio

        async def call() -> R:
            return await command(*args, **kwargs)

        return anyio.run(call)

    return run
