"""Can all that a configuration names be reached? For `watcher check --probe`: it connects, logs in, and hangs up.

Nothing is made, received, asked for or sent beyond a login, whether a daemon runs or not.
"""

import os
from collections.abc import Awaitable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import anyio
from anyio.to_thread import run_sync

from watcher.clock import SystemClock
from watcher.config import Config, SourceSection
from watcher.core.errors import ConfigError, StoreError
from watcher.core.outcome import Grant
from watcher.core.webhook_section import Webhook
from watcher.database import PostgresUrl, SqliteFile
from watcher.doctor import reach
from watcher.errand import own_of
from watcher.http.address import is_loopback
from watcher.lately import word_for
from watcher.posting import guard_of, trust_of
from watcher.providers import ProviderSection
from watcher.stores.sqlite_file import open_read_only
from watcher.tokens import Tokens
from watcher.transport import open_transport, tls_context

WITHIN = 20.0  # seconds for each

Probe: TypeAlias = Awaitable[str | None]  # what is wrong, None if nothing is


async def survey(config: Config) -> dict[str, str | None]:
    """Try all at the same time; say of each, by its path in the configuration, what is wrong, None if nothing is."""
    probes = dict(_probes(config))
    found: dict[str, str | None] = {}

    async def find_out(path: str, probe: Probe) -> None:
        found[path] = f"no answer within {WITHIN:g} s"
        with anyio.move_on_after(WITHIN):
            found[path] = await probe

    async with anyio.create_task_group() as tasks:
        for path, probe in probes.items():
            tasks.start_soon(find_out, path, probe, name=f"probe {path}")
    return {path: found[path] for path in probes}


def doubts(config: Config) -> Iterator[str]:
    """Say what is allowed and seldom meant, a line each; nothing is connected to for that."""
    state = config.watcher.state
    if isinstance(state, SqliteFile) and not state.path.parent.is_dir():
        yield f"watcher.state: {state.path.parent}: there is no such folder here, and nobody makes it"
    if not config.webhooks and config.callbacks is None:
        yield "webhooks: there is no [webhooks.NAME], so nobody is told of what changes"
    for name, provider in config.providers.items():
        for key, url in _urls(provider.model_dump()):
            if (parts := urlsplit(url)).scheme == "http" and not is_loopback(parts.hostname or ""):
                yield f"providers.{name}.{key}: http:// to another machine: credentials can be read on the way"


def _urls(section: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """List the addresses in a section, with their keys."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", url) for inner, url in _urls(value))
        elif isinstance(value, str) and "://" in value:
            yield key, value


def _probes(config: Config) -> Iterator[tuple[str, Probe]]:
    yield "watcher.state", _store(config.watcher.state)
    for name, source in config.sources.items():
        yield f"sources.{name}", _source(source)
    for name, provider in config.providers.items():
        yield f"providers.{name}", _provider(provider)
    for name, webhook in config.webhooks.items():
        yield f"webhooks.{name}", _webhook(webhook, config=config)


async def _store(state: SqliteFile | PostgresUrl) -> str | None:
    if isinstance(state, SqliteFile):
        return await run_sync(_look_at, state.path)
    from watcher.stores.postgres_probe import probe  # noqa: PLC0415  # the extra `postgres`, where it is asked for

    try:
        await probe(state.url)
    except StoreError as error:
        return str(error)
    return None


def _look_at(path: Path) -> str | None:
    """Read the store, if there is one; and see whether the daemon could write it, or make it."""
    if not path.parent.is_dir():
        return f"{path.parent}: the folder does not exist"
    is_there = path.exists()
    try:
        if is_there:
            open_read_only(path).close()
    except StoreError as error:
        return str(error)
    for place, needed in ((path.parent, os.W_OK | os.X_OK), *([(path, os.W_OK)] if is_there else [])):
        if not os.access(place, needed):
            return f"{place}: no permission to write"
    return None


async def _source(section: SourceSection) -> str | None:
    try:
        await section.source().probe()
    except OSError as error:
        return str(error)
    return None


async def _provider(provider: ProviderSection) -> str | None:
    """Log in, where there is a login, and connect to where status is asked for; no status is."""
    clock = SystemClock()
    async with open_transport() as transport:
        grant = await Tokens(provider, transport=transport, clock=clock).grant()
    if not isinstance(grant, Grant | None):
        detail = getattr(grant, "detail", "") or f"HTTP {grant.http_status}"
        return f"login {word_for(grant)}: {detail.removeprefix('login: ')}"
    return await reach(provider.base_url, trust=await run_sync(tls_context), guard=None, clock=clock)


async def _webhook(webhook: Webhook, *, config: Config) -> str | None:
    try:
        trust = await trust_of(webhook)
    except ConfigError as error:
        return str(error)
    return await reach(webhook.url, trust=trust, guard=guard_of(webhook, own=own_of(config)), clock=SystemClock())
