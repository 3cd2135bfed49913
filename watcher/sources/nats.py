"""`[sources.<name>]` of `type = "nats"` (SPEC.md, section 3): the section alone. What it does is in `nats_queue.py`.

So a configuration can be read and shown without the package `nats-py`.
"""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from watcher.core.secret import SCHEMES, Secret
from watcher.ports import Source
from watcher.sources.nats_address import Address


def _listed(written: object) -> object:
    return written if isinstance(written, list | tuple) else [written]


def _server(url: Secret) -> Secret:
    """Refuse what is no address; one that holds no login may be shown."""
    if not url.is_resolved:
        return url
    is_harmless = not Address.read(url.reveal()).has_login
    return Secret(url.reveal(), url.reveal()) if url.is_literal and is_harmless else url


def _file(written: object) -> object:
    """Read a plain path as the reference to a file."""
    return written if not isinstance(written, str) or written.startswith(SCHEMES) else f"file:{written}"


def _name(written: str) -> str:
    if not re.fullmatch(r"[^\s.*>/\\]+", written):
        raise ValueError("expected a name without spaces, dots, slashes and wildcards")
    return written


def _subject(written: str) -> str:
    if not re.fullmatch(r"[^\s.>]+(\.[^\s.>]+)*(\.>)?", written):
        raise ValueError("expected words with dots between them, such as watcher.requests or watcher.>")
    return written


Server: TypeAlias = Annotated[Secret, AfterValidator(_server)]
Name: TypeAlias = Annotated[str, AfterValidator(_name)]
Subject: TypeAlias = Annotated[str, AfterValidator(_subject)]


class NatsSection(BaseModel):
    """A durable consumer of a JetStream stream; both are made if they are missing, and else compared.

    A server's URL may hold a user and a password, and is then a secret. `credentials` is the path of a `.creds` file,
    or a reference to its text. `ca_file` is trusted instead of what the system trusts; `client_cert` and `client_key`
    are shown to a server that asks for them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["nats"]
    servers: Annotated[tuple[Server, ...], BeforeValidator(_listed), Field(min_length=1, validate_default=True)] = (
        Secret.literal("nats://127.0.0.1:4222"),
    )
    stream: Name = "WATCHER"
    subject: Subject = "watcher.requests"
    durable: Name = "watcher"
    credentials: Annotated[Secret | None, BeforeValidator(_file)] = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None

    @field_validator("ca_file", "client_cert", "client_key")
    @classmethod
    def _located(cls, written: Path | None, info: ValidationInfo) -> Path | None:
        return written and Path((info.context or {}).get("folder", ""), written)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not (find_spec("nats") and find_spec("cryptography")):
            raise ValueError('type: expected the packages nats-py and cryptography: pip install "watcher[nats]"')
        import_module("watcher.sources.nats_queue")  # here and now: it reads files, and the event loop must not
        if self.client_key and not self.client_cert:
            raise ValueError("client_key: expected a client_cert beside it")
        if self.credentials and self.credentials.is_resolved:
            from watcher.sources.nats_credentials import Credentials  # noqa: PLC0415  # the `nats` extra

            try:
                Credentials.read(self.credentials.reveal())
            except ValueError as error:
                raise ValueError(f"credentials: {error}") from None
        return self

    def source(self) -> Source:
        """Return the source that the section describes; nothing is connected yet."""
        from watcher.sources.nats_queue import NatsSource  # noqa: PLC0415  # the `nats` extra, for this type only

        return NatsSource(self)
