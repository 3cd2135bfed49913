"""Where a NATS server is, and as whom it is asked: one of `servers` taken apart. Connects to nothing."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

EXPECTED = (
    "expected nats://[user:password@]host[:port], or tls:// for TLS;"
    " in a password, what a URL keeps for itself is written %XX"
)


@dataclass(frozen=True, slots=True)
class Address:
    """One server, and the login that stood in its URL: `user` and `password`, or a `token`."""

    host: str
    port: int
    is_encrypted: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, url: str) -> "Address":
        """Take a URL apart.

        Raises:
            ValueError: it is none of ours; the text says what was expected and nothing of what was found.

        """
        try:
            parts = urlsplit(url)
            port = 4222 if parts.port is None else parts.port
        except ValueError:  # which may quote a part of a password
            raise ValueError(EXPECTED) from None
        has_more = parts.path not in {"", "/"} or parts.query or parts.fragment
        if parts.scheme not in {"nats", "tls"} or not parts.hostname or has_more:
            raise ValueError(EXPECTED)
        # A name alone is a token: https://docs.nats.io/using-nats/developer/connecting/token
        user, password = unquote(parts.username or "") or None, unquote(parts.password or "") or None
        is_token = password is None
        return cls(
            host=parts.hostname,
            port=port,
            is_encrypted=parts.scheme == "tls",
            user=None if is_token else user,
            password=password,
            token=user if is_token else None,
        )

    @property
    def has_login(self) -> bool:
        """Does it hold a secret?"""
        return bool(self.password or self.token)

    def __str__(self) -> str:
        """Say where it is, and not as whom it is asked."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
