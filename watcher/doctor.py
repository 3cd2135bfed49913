"""What a receiver is like: its names, addresses and certificates, and what it answers to one signed test event.

Facts only, each step bounded in time; what a person should do about them is said in `cli/`. Nothing is stored.
"""

import os
import secrets
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
from anyio import BrokenResourceError, EndOfStream
from anyio.streams.tls import TLSAttribute, TLSStream

from watcher import attempt
from watcher.core.addresses import Guard, Target, read_url
from watcher.core.delivery import Attempt, Delivery
from watcher.core.diff import merge
from watcher.core.event import number, status_changed
from watcher.core.model import Observation, State, Watch
from watcher.core.webhook import Kind, meaning, post
from watcher.core.webhook_section import Webhook
from watcher.ports import Clock
from watcher.posting import guard_of, open_posts, trust_of

TEST = "watcher-test"  # both the watch and the provider of the event, so that nobody takes it for a real one
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One test POST: the event's id, whether it was signed, what came of it, and what the answer means."""

    event_id: str
    is_signed: bool
    attempt: Attempt
    kind: Kind

    @property
    def is_accepted(self) -> bool:
        """Would it have been delivered?"""
        return self.kind is Kind.DELIVERED


@dataclass(frozen=True, slots=True)
class Named:
    """One address of the host; `why_not` is why a webhook with `private = false` does not call it."""

    address: str
    why_not: str | None


@dataclass(frozen=True, slots=True)
class Names:
    """What the look-up of the host brought, or why nothing; `duration` is in seconds, None where none was needed."""

    addresses: tuple[Named, ...] = ()
    error: str | None = None
    duration: float | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whose it is, who says so, how long, and for which names."""

    subject: str
    issuer: str
    expires_at: datetime
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tls:
    """A handshake: the `chain` as the server sends it, its own first; `error` says why we do not trust it."""

    version: str | None = None
    chain: tuple[Certificate, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was found. `refused`: why our guard, or nobody at all, would call that URL. None where nothing was."""

    names: Names
    refused: str | None = None
    tls: Tls | None = None
    trial: Trial | None = None


async def send_test(webhook: Webhook, *, clock: Clock, agent: str) -> Trial:
    """POST a test event to a webhook, just as the daemon would.

    Raises:
        ConfigError: one of its TLS files cannot be read.

    """
    async with open_posts(webhook) as transport:
        now, began = clock.now(), clock.monotonic()
        delivery = _test_delivery(now)
        request = post([delivery], webhook, now=now, agent=agent)
        answer = await transport.send(request, within=webhook.timeout)
    made = attempt.record(answer, number=1, began_at=now, duration=clock.monotonic() - began)
    means = meaning(answer, webhook=webhook, now=clock.now())
    return Trial(delivery.event.id, bool(webhook.keys), made, means.kind)


def _test_delivery(now: datetime) -> Delivery:
    seen = Observation("test", State.PENDING)
    watch = Watch(
        uid=secrets.token_hex(16),
        id=TEST,
        provider=TEST,
        params={},
        submitted_at=now,
        accepted_at=now,
        deadline=timedelta(minutes=1),
    )
    [event] = number(watch, [status_changed(None, merge(None, seen), seen)], at=now)
    return Delivery(0, TEST, event, attempts=0, due_at=now)


async def examine(webhook: Webhook, *, clock: Clock, agent: str) -> Examination:
    """Find out all there is about a webhook's URL.

    Raises:
        ConfigError: one of its TLS files cannot be read.

    """
    trust, guard = await trust_of(webhook), guard_of(webhook)
    try:
        target = read_url(webhook.url, allow_http=True)
    except ValueError as error:
        return Examination(Names(), refused=str(error))
    names = await _look_up(target, clock=clock)
    addresses = [named.address for named in names.addresses]
    refused = (guard.why_not(target) or guard.why_not_any(addresses, port=target.port)) if guard else None
    if refused or names.error:
        return Examination(names, refused)
    tls = await _shake_hands(target, addresses, trust=trust) if target.scheme == "https" else None
    return Examination(names, None, tls, await send_test(webhook, clock=clock, agent=agent))


async def reach(url: str, *, trust: ssl.SSLContext, guard: Guard | None, clock: Clock) -> str | None:
    """Connect to where a URL leads, shake hands if it is https, and hang up: nothing is sent.

    Returns:
        Why it cannot be reached, or may not be; None if all is well.

    """
    try:
        target = read_url(url, allow_http=True)
    except ValueError as error:
        return str(error)
    names = await _look_up(target, clock=clock)
    addresses = [named.address for named in names.addresses]
    refused = (guard.why_not(target) or guard.why_not_any(addresses, port=target.port)) if guard else None
    if refused or names.error:
        return refused or f"dns: {names.error}"
    if target.scheme == "http":
        return await _connect(target, addresses)
    tls = await _shake_hands(target, addresses, trust=trust)
    if tls is None:
        return await _connect(target, addresses) or "tls: the other side hangs up"
    return f"tls: {tls.error}" if tls.error else None


async def _connect(target: Target, addresses: Sequence[str]) -> str | None:
    """Connect to the first address that listens; say why none does."""
    trouble = "no address"
    for address in addresses:
        try:
            with anyio.fail_after(PATIENCE):
                await (await anyio.connect_tcp(address, target.port)).aclose()
        except TimeoutError:
            trouble = f"{address} port {target.port}: no connection in time"
        except OSError as error:
            trouble = f"{address} port {target.port}: {_root(error)}"
        else:
            return None
    return trouble


def _root(error: OSError) -> str:
    """Say in the system's words what went wrong."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return os.strerror(cause.errno) if cause.errno else str(cause)


# --- names ------------------------------------------------------------------------------------------------------


async def _look_up(target: Target, *, clock: Clock) -> Names:
    judge, began = Guard(), clock.monotonic()
    if not isinstance(target.host, str):
        address = str(target.host)
        return Names((Named(address, judge.why_not_address(address, port=target.port)),))
    try:
        with anyio.fail_after(PATIENCE):
            found = await anyio.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        return Names(error="no answer in time", duration=clock.monotonic() - began)
    except OSError as error:
        return Names(error=error.strerror or str(error), duration=clock.monotonic() - began)
    addresses = dict.fromkeys(str(place[0]) for *_, place in found)
    named = [Named(each, judge.why_not_address(each, port=target.port)) for each in addresses]
    return Names(tuple(named), duration=clock.monotonic() - began)


# --- certificates -----------------------------------------------------------------------------------------------


async def _shake_hands(target: Target, addresses: Sequence[str], *, trust: ssl.SSLContext) -> Tls | None:
    """Shake hands with the first address that listens; None if none does.

    Where the certificate is not to be trusted, it is looked at in a second handshake, in which nothing is sent.
    """
    for address in addresses:
        shake = partial(_shake, target, address)
        try:
            return await shake(trust)
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or (error.reason or "handshake failed").lower().replace("_", " ")
        except (OSError, EndOfStream, BrokenResourceError):
            continue
        try:
            seen = await shake(_curious())
        except (OSError, EndOfStream, BrokenResourceError):
            return Tls(error=why)
        return Tls(seen.version, seen.chain, error=why)
    return None


def _curious() -> ssl.SSLContext:
    """Trust anybody: for looking at certificates, and never for sending."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _shake(target: Target, address: str, trust: ssl.SSLContext) -> Tls:
    with anyio.fail_after(PATIENCE):
        async with await anyio.connect_tcp(address, target.port) as stream:
            wrapped = await TLSStream.wrap(
                stream, hostname=str(target.host), ssl_context=trust, standard_compatible=False
            )
            link = wrapped.extra(TLSAttribute.ssl_object)  # noqa: S610  # anyio's, not Django's
            # What `ssl` itself gives of a chain is bytes, from Python 3.13 on; `get_info` reads them.
            chain = [_certificate(each.get_info()) for each in vars(link)["_sslobj"].get_unverified_chain()]
            return Tls(link.version(), tuple(chain))


def _certificate(info: Mapping[str, object]) -> Certificate:
    expires = ssl.cert_time_to_seconds(str(info["notAfter"]))
    names = info.get("subjectAltName")
    return Certificate(
        _whose(info["subject"]),
        _whose(info["issuer"]),
        datetime.fromtimestamp(expires, UTC),
        tuple(str(name) for _, name in names) if isinstance(names, tuple) else (),
    )


def _whose(name: object) -> str:
    """Write a distinguished name: its common name, or all of it."""
    parts = {key: value for ((key, value), *_) in name if value} if isinstance(name, tuple) else {}
    return parts.get("commonName") or ", ".join(parts.values())
