"""A connection to one of the servers, or one readable OSError. Knows nothing of streams."""

import random
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
from anyio.to_thread import run_sync
from nats.aio.client import Client
from nats.errors import Error, SecureConnWantedError
from nats.js.errors import APIError

from watcher.sources.nats import NatsSection
from watcher.sources.nats_address import Address
from watcher.sources.nats_credentials import Credentials

CONNECT_WITHIN = 5
HANG_UP_WITHIN = 0.5


async def connect(section: NatsSection, *, on_loss: Callable[[], None]) -> Client:
    """Connect to one of the servers; `on_loss` is called once the connection is gone, for whatever reason.

    It does not connect again by itself: whoever uses it asks for another one.

    Raises:
        OSError: none can be reached; the text says why, for each, and shows no login.

    """
    troubles = []
    for server in random.sample(section.servers, len(section.servers)):
        address = Address.read(server.reveal())
        try:
            return await _dial(address, section=section, on_loss=on_loss)
        except OSError as error:
            troubles.append(f"{address}: {error}")
    raise OSError("; ".join(troubles))


async def hang_up(client: Client) -> None:
    """Close, in whatever state the connection is; what was written is still sent."""
    with anyio.move_on_after(HANG_UP_WITHIN, shield=True):
        await client.close()


@contextmanager
def readable(client: Client, *, about: str = "") -> Iterator[None]:
    """Turn what nats-py raises into an OSError that says what happened, and to what."""
    try:
        yield
    except (Error, TimeoutError) as error:
        told = [about, reason(error)]
        # The answer to what is not allowed comes apart from the request, which just times out.
        if isinstance(error, TimeoutError) and client.last_error:
            told.append(reason(client.last_error))
        raise OSError(": ".join(filter(None, told))) from error


def reason(error: Exception) -> str:
    """Say in a few words what went wrong."""
    match error:
        case APIError():
            return error.description or "JetStream is not available"
        case TimeoutError():
            return "no answer in time"
        case _:
            return str(error).removeprefix("nats: ").strip("'") or type(error).__name__


async def _dial(address: Address, *, section: NatsSection, on_loss: Callable[[], None]) -> Client:
    client, heard = Client(), deque[Exception](maxlen=1)

    async def on_error(error: Exception) -> None:
        heard.append(error)

    async def on_close() -> None:
        on_loss()

    trust = await run_sync(_trust, section)
    guard = _Guard(trust, is_needed=bool(address.is_encrypted or section.ca_file or section.client_cert))
    credentials = Credentials.read(section.credentials.reveal()) if section.credentials else None
    try:
        with anyio.fail_after(CONNECT_WITHIN):
            await client.connect(
                f"nats://{address}",
                name="watcher",
                error_cb=on_error,
                closed_cb=on_close,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_WITHIN,
                tls=trust,
                user=guard.telling(address.user),
                password=guard.telling(address.password),
                token=guard.telling(address.token),
                user_jwt_cb=credentials.show if credentials else None,
                signature_cb=credentials.sign if credentials else None,
            )
        guard.check()
    except (Error, OSError) as error:
        cause = heard[0] if heard else error  # before hanging up, which may be heard of, too
        await hang_up(client)
        raise OSError(reason(cause)) from error
    except BaseException:
        await hang_up(client)
        raise
    return client


@dataclass(frozen=True, slots=True)
class _Guard:
    """Tells no secret to a server over a connection that should be encrypted, and is not.

    nats-py speaks TLS only if the server asks for it, whatever was wanted.
    """

    trust: ssl.SSLContext
    is_needed: bool

    def check(self) -> None:
        if self.is_needed and not self.trust.session_stats()["connect_good"]:
            raise SecureConnWantedError

    def telling(self, secret: str | None) -> Callable[[], str] | None:
        """Return what nats-py calls when it is about to log in."""
        if secret is None:
            return None

        def tell() -> str:
            self.check()
            return secret

        return tell


def _trust(section: NatsSection) -> ssl.SSLContext:
    for path in filter(None, (section.ca_file, section.client_cert, section.client_key)):
        path.open("rb").close()  # its error names the file, and OpenSSL's does not
    try:
        trust = ssl.create_default_context(cafile=section.ca_file)
        trust.minimum_version = ssl.TLSVersion.TLSv1_2  # which Debian's Python leaves to OpenSSL
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT  # which Python 3.13 turns on
        if section.client_cert:
            # The password is "", or OpenSSL would ask for one at the terminal.
            trust.load_cert_chain(section.client_cert, section.client_key, password=str)
    except ssl.SSLError as error:
        raise OSError(f"expected PEM in ca_file, client_cert and client_key, without password: {error}") from error
    return trust
