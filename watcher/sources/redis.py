"""`[sources.<name>]` of `type = "redis"` (SPEC.md, section 3): the section alone. What it does is in `redis_stream.py`.

So a configuration can be read and shown without the package `redis`, which takes a while to import.
"""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from socket import gethostname
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from watcher.core.secret import Secret
from watcher.ports import Source
from watcher.sources.redis_address import Address

FILES = ("ca_file", "client_cert", "client_key")


def _address(url: Secret) -> Secret:
    """Refuse what is no address; one that holds no password may be shown."""
    if not url.is_resolved:
        return url
    is_harmless = Address.read(url.reveal()).password is None
    return Secret(url.reveal(), url.reveal()) if url.is_literal and is_harmless else url


Key: TypeAlias = Annotated[str, Field(min_length=1)]


class RedisSection(BaseModel):
    """A consumer in a group of a stream; `url` may hold a user and a password, and is then a secret.

    Each daemon of a group needs a `consumer` of its own, which stays the same when it starts again. `ca_file` is
    trusted beside what the system trusts; `client_cert` and `client_key` are shown to a server that asks for them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["redis"]
    url: Annotated[Secret, AfterValidator(_address)]
    stream: Key = "watcher:requests"
    group: Key = "watcher"
    consumer: Key = Field(default_factory=gethostname)
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None

    @field_validator(*FILES)
    @classmethod
    def _located(cls, written: Path | None, info: ValidationInfo) -> Path | None:
        return written and Path((info.context or {}).get("folder", ""), written)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if find_spec("redis") is None:
            raise ValueError('type: expected the package redis: pip install "watcher[redis]"')
        if self.client_key and not self.client_cert:
            raise ValueError("client_key: expected a client_cert beside it")
        if self.url.is_resolved and not self.address.is_encrypted:
            for name in FILES:
                if getattr(self, name):
                    raise ValueError(f"{name}: expected a url that begins with rediss://")
        return self

    @property
    def address(self) -> Address:
        """Where the Redis is, once the secret is resolved."""
        at = Address.read(self.url.reveal())
        return replace(at, ca_file=self.ca_file, client_cert=self.client_cert, client_key=self.client_key)

    def source(self) -> Source:
        """Return the source that the section describes; nothing is connected yet."""
        from watcher.sources.redis_stream import RedisSource  # noqa: PLC0415  # the extra `redis`, for this type only

        return RedisSource(self.address, stream=self.stream, group=self.group, consumer=self.consumer)
