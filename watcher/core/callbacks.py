"""The `[callbacks]` section: which `callback_url`s are taken, and how events go there (SPEC.md, section 7.6)."""

import re
from fnmatch import fnmatchcase
from functools import cached_property
from ipaddress import IPv6Address
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from watcher.core.addresses import Guard, Target, read_url
from watcher.core.errors import RequestError
from watcher.core.model import Callback
from watcher.core.seal import Seal
from watcher.core.secret import Secret
from watcher.core.webhook_section import Private, Terms, Webhook
from watcher.core.wire import Fault, NoAnswer

ANY_ORIGIN = "callback:"  # what the names of all origins begin with, and no section's name holds
NEEDS_EXTRA = 'needs an extra to be kept sealed: pip install "watcher[ed25519]"'
NEEDS_KEY = "the secret of [callbacks], which it is kept under, cannot be read here: `watcher check` says why"
LOST_KEY = "the callback's secret was sealed under a secret that is no longer in [callbacks]"


def origin(url: str) -> str:
    """Return the name under which all callbacks of one scheme, host and port go: `callback:https://example.com:443`."""
    target = read_url(url, allow_http=True)
    host = f"[{target.host}]" if isinstance(target.host, IPv6Address) else target.host
    return f"{ANY_ORIGIN}{target.scheme}://{host}:{target.port}"


def _host_glob(written: str) -> str:
    glob = written.lower()
    if not re.fullmatch(r"[0-9a-z._*?!\[\]-]+", glob):
        raise ValueError('expected globs on the name of a host, such as "*.example.com"')
    return glob


HostGlob: TypeAlias = Annotated[str, AfterValidator(_host_glob)]


class Callbacks(Terms):
    """How events go where their watch says; what is refused by the section now is not sent, whenever it was taken."""

    private: Private = False
    hosts: tuple[HostGlob, ...] = ("*",)

    def take(self, url: str, secret: str | None, *, nonce: bytes, guard: Guard | None) -> Callback:
        """Make the callback of a request; `guard` judges what shows without a lookup, `nonce` is 12 random bytes.

        Raises:
            RequestError: it is not taken; the text says why, and holds no secret.

        """
        try:
            target = self._read(url)
        except ValueError as error:
            raise RequestError(f"callback_url: {error}") from None
        if guard and (why := guard.why_not(target)):
            raise RequestError(f"callback_url: {why}")
        return Callback(url, None if secret is None else self._sealed(secret, url=url, nonce=nonce))

    def towards(self, callback: Callback | None) -> Webhook | NoAnswer:
        """Return the section as the webhook that a callback is, with its own secret if it has one."""
        if callback is None:
            return NoAnswer(Fault.BLOCKED, "the watch has no callback any more")
        try:
            self._read(callback.url)
        except ValueError as error:
            return NoAnswer(Fault.BLOCKED, str(error))
        if callback.secret is None:
            return self._webhook.model_copy(update={"url": callback.url})
        try:
            secret = self._seal.open(callback.secret, place=callback.url)
        except ImportError:
            return NoAnswer(Fault.BLOCKED, f"the callback's secret {NEEDS_EXTRA}")
        if secret is None:
            return NoAnswer(Fault.BLOCKED, LOST_KEY)
        return self._webhook.model_copy(update={"url": callback.url, "secret": (Secret.literal(secret),)})

    def _read(self, url: str) -> Target:
        """Read a URL that the section allows, whatever its host's addresses are."""
        target = read_url(url, allow_http=True)
        name = str(target.host).rstrip(".")
        if target.scheme == "http" and not self.allow_http and not _is_here(target):
            raise ValueError("expected https://")
        if not any(fnmatchcase(name, glob) for glob in self.hosts):
            raise ValueError("expected another host: this one is not in the `hosts` of [callbacks]")
        return target

    def _sealed(self, secret: str, *, url: str, nonce: bytes) -> str:
        if self.unsigned:
            raise RequestError(
                "callback_secret: expected none: [callbacks] is unsigned, and has no key to keep it under"
            )
        if not all(key.is_resolved for key in self.secret):
            raise RequestError(f"callback_secret: {NEEDS_KEY}")
        try:
            return self._seal.shut(secret, place=url, nonce=nonce)
        except ImportError:
            raise RequestError(f"callback_secret: {NEEDS_EXTRA}") from None

    @cached_property
    def _seal(self) -> Seal:
        return Seal(self.keys)

    @cached_property
    def _webhook(self) -> Webhook:
        """A webhook like this section, but for its address; it is only copied, so it remembers no keys."""
        keys = {name: getattr(self, name) for name in Terms.model_fields}
        return Webhook.model_validate(keys | {"url": "https://callback.invalid"})


def _is_here(target: Target) -> bool:
    return target.host == "localhost" if isinstance(target.host, str) else target.host.is_loopback
